"""The examples in the docstrings of what each room offers by name give what they say."""

import doctest
import inspect
from importlib import import_module

import pytest

ROOMS = {
    "theory": 3,
    "synthetic": 2,
    "realmodels": 3,
    "figures": 2,
}  # and how many examples there are at least


def examples(room):
    """The examples of everything that the room's short list offers, with the names that its home knows."""
    package = import_module(room)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in package.__all__:
        one = getattr(package, name)
        if inspect.isclass(one) or inspect.isfunction(one):
            home = import_module(one.__module__)
            for test in finder.find(one, name, home, vars(home)):
                if test.examples:
                    found[test.name] = test
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_examples_give_what_they_say(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = examples(room)
    assert len(found) >= ROOMS[room], sorted(found)
    said = []
    for test in found.values():
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, out=said.append)
    assert said == []


def test_a_wrong_example_is_seen():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1
