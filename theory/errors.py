"""The one exception of this room, and what tells that memory ran out."""

import errno


class TheoryError(ValueError):
    """Bad input, said in one line: where it is, what was found, what was expected and what to do."""


def out_of_memory(problem: BaseException) -> bool:
    """Memory ran out in Python, or in torch and the system, which have no exception of their own for it."""
    if isinstance(problem, OSError):
        return problem.errno == errno.ENOMEM
    said = (
        "out of memory",
        "not enough memory",
        "allocate memory",
        "status_alloc_failed",  # of cuBLAS and cuDNN
        "can't start new thread",
        "failed to map segment",
        "without exception set",  # what Python itself says where it had no room for its own exception
        "without setting an exception",
    )
    text = str(problem).lower()
    return isinstance(problem, MemoryError) or (
        isinstance(problem, RuntimeError | ImportError | SystemError) and any(one in text for one in said)
    )


def unread(problem: SyntaxError) -> str:
    """A module that was installed whole and is no Python: the parser says so where memory ran out while it read."""
    return (
        f"error: {problem.filename}: is read as no Python ({problem.msg}), which a lack of memory can do; "
        "give it more, or install it again"
    )
