"""The one exception of this room."""


class FiguresError(ValueError):
    """Bad input, said in one line: which file or column, what was expected and what to do."""
