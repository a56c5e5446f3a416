"""The one exception of this room."""


class RealmodelsError(ValueError):
    """One line that tells the person which file, line and field, what was expected and what to do."""


UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
)  # JSON of an earlier run that is not what it wrote
