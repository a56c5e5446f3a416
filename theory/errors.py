"""The one exception of this room."""


class TheoryError(ValueError):
    """Bad input, said in one line: where it is, what was found, what was expected and what to do."""
