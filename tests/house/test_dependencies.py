"""What pyproject.toml asks for is what is used, no more and no less, and its licences go with ours."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.hardening import bounds
from tests.house import licences, page
from tests.house.requirements import BASE, BUILD, ROOT, declared, direct, imported, lower

# By extra who imports what it brings.
USERS = {
    "synthetic": ("synthetic",),
    "realmodels": ("realmodels",),
    "figures": ("figures",),
    "quant": ("realmodels",),
    "cluster": ("realmodels",),
    "test": ("tests",),
    BASE: ("theory",),
}
# Used where it is found, asked for by no extra: what needs it says so.
BY_THE_WAY = {
    "realmodels": {"vllm", "datasets"},
    "tests": {"pillow"},  # matplotlib writes its PNGs with it
}
# No test imports these: what calls them, and the words with which it does.
CALLED = {
    "pytest-benchmark": ("Makefile", "--benchmark-columns"),
    "pytest-xdist": ("Makefile", "--dist loadfile"),
    "pytest-cov": ("Makefile", "--cov-fail-under"),
    "mypy": ("Makefile", "-m mypy"),
    "ruff": ("Makefile", "-m ruff"),
    "build": (".ci/run", "-m build"),
    # transformers reads tokenizer.model with them
    "sentencepiece": ("tests/realmodels/test_tokens.py", '"sentencepiece"'),
    "protobuf": ("tests/realmodels/test_tokens.py", '"google"'),
}


@pytest.fixture(scope="module")
def used():
    """By room, and for the tests, what is imported there."""
    return {name: imported(ROOT / name) for name in ("theory", "synthetic", "realmodels", "figures", "tests")}


def names(*groups):
    return {canonicalize_name(one.name) for group in groups for one in declared()[group]}


def test_every_extra_is_known_here():
    assert set(declared()) - {BUILD, "all"} == set(USERS)


@pytest.mark.parametrize("extra", USERS)
def test_nothing_is_asked_for_that_nobody_imports(used, extra):
    here = set().union(*(used[user] for user in USERS[extra]))
    if extra == BASE:  # tqdm and tyro serve all commands
        here |= used["synthetic"].keys() & used["realmodels"].keys()
    for name in names(extra) - here:
        assert extra == "test", f"{name}: no line of {' or '.join(USERS[extra])} imports it"
        place, words = CALLED[name]
        if (ROOT / place).exists():  # .ci is not in an archive of the source
            assert words in (ROOT / place).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("room", ["theory", "synthetic", "realmodels", "figures", "tests"])
def test_everything_imported_is_asked_for(used, room):
    extras = set(USERS) if room == "tests" else {extra for extra, users in USERS.items() if room in users}
    allowed = names(BASE, *extras) | BY_THE_WAY.get(room, set())
    wrong = {
        name: sorted(str(path.relative_to(ROOT)) for path in paths) for name, paths in used[room].items()
    }
    assert not {name: paths for name, paths in wrong.items() if name not in allowed}


def test_one_package_has_one_range_of_versions():
    ranges = {}
    for one in direct():
        assert ranges.setdefault(canonicalize_name(one.name), one.specifier) == one.specifier, one.name
        assert lower(one)


def test_the_oldest_environment_is_at_the_lower_bounds_and_the_newest_at_the_pin_of_the_makefile():
    oldest = dict(line.split("==") for line in bounds.constraints("oldest"))
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    numpy = next(Requirement(line) for line in content["project"]["dependencies"] if line.startswith("numpy"))
    assert f"numpy>={oldest['numpy']}" == str(numpy)
    assert {canonicalize_name(name) for name in oldest} == names(*declared())
    (pin,) = bounds.constraints("newest")
    assert pin.startswith("torch==")
    assert f"TORCH  ?= {pin}" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f'"{pin}"' in page.README.read_text(encoding="utf-8")


def test_the_part_of_the_suite_that_is_run_at_both_ends_is_there():
    for path in (*bounds.PART, *bounds.LEFT_OUT):
        assert (ROOT / path).exists(), path


# ---------------------------------------------------------------- licences


def test_every_package_that_is_installed_has_a_licence_that_goes_with_ours():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert content["project"]["license"] == "Apache-2.0"  # what licences.WELCOME is about
    assert {"numpy", "torch", "transformers"} <= set(licences.installed())


def test_the_licences_on_the_page_are_those_of_the_packages():
    told = licences.read(page.between(page.text(), page.LICENCES))
    assert set(told) == {one.name for one in direct()}
    for name, (version, found) in licences.installed().items():
        assert told[name][0] != version or told[name][1] == found, name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MPL-2.0 AND MIT", ("MIT", "MPL-2.0")),
        ("License :: OSI Approved :: Apache Software License", ("Apache-2.0",)),
        ("3-Clause BSD License", ("BSD",)),
        ("License agreement for matplotlib versions 1.3.0 and later", ("PSF",)),
        ("BSD-3-Clause AND 0BSD AND Zlib", ("0BSD", "BSD", "Zlib")),
    ],
)
def test_licences_are_told_from_what_metadata_say(text, found):
    assert licences.licences("some", text) == found


@pytest.mark.parametrize(
    "text",
    ["GPL-3.0-only", "MIT AND LGPL-2.1-or-later", "GNU Affero General Public License", "Proprietary", ""],
)
def test_an_unwelcome_licence_is_refused(text):
    with pytest.raises(licences.Unwelcome, match="some: its licence is"):
        licences.licences("some", text)


def test_a_table_of_licences_is_read_as_it_was_written():
    found = {
        "a": ("1.0", ("MIT",)),
        "b": ("2", ("MIT",)),
        "c-d": ("0.1", ("BSD", "Zlib")),
    }
    assert licences.read(licences.table(found)) == found
    assert "| MIT | a 1.0, b 2 |" in licences.table(found)
