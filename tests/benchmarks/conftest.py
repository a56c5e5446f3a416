from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line in spite of the capture."""

    def out(line: str) -> None:
        with capsys.disabled():
            print(line)

    return out
