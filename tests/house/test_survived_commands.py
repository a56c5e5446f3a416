"""Every line of what was survived names a command that can be run again."""

import importlib
import re
import shlex

import pytest

from tests.hardening import starve
from tests.hardening.survived import read


@pytest.mark.parametrize("command", sorted({one.command for one in read()}))
def test_what_was_survived_can_be_run_again(command):
    """The script is there and understands the words: those of a `choices` are still known."""
    python, script, *words = shlex.split(command)
    assert python == "python"
    assert re.fullmatch(r"tests/hardening/\w+\.py", script)
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    assert module.parser().parse_args(words)


@pytest.mark.parametrize("words", ["--want none", "--command 'theory nothing'", "--kept"])
def test_a_command_that_nobody_understands_would_be_seen(words, capsys):
    with pytest.raises(SystemExit):
        starve.parser().parse_args(shlex.split(words))
    assert "error" in capsys.readouterr().err
