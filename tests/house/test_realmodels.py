"""The doctor says what is there and what is missing, and its exit code agrees."""

import importlib.metadata

from realmodels import doctor


def test_packages_are_found_with_their_versions():
    found = {row.what: row for row in doctor.examine()}
    assert found["torch"].found == importlib.metadata.version("torch")
    assert found["torch"].ok
    assert found["cpu"].ok
    assert "GiB free" in found["disk here"].found


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    def version(name):
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    text = doctor.render(doctor.examine())
    assert '--  peft           not installed; pip install "nameblind[realmodels]"' in text
    from realmodels.cli import Doctor

    assert Doctor().run() == 1


def test_offline_is_seen(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "offline" in doctor.render(doctor.examine())
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "offline" not in doctor.render(doctor.examine())
