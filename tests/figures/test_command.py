"""What a person sees who names the wrong thing."""

import json

import pytest

from figures.cli import COMMANDS
from theory.command import USAGE_ERROR, main


def said(capfd, *words):
    code = main("figures", "", COMMANDS, [str(word) for word in words])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, out + err


def test_a_forest_of_no_scoreboard_is_refused(tmp_path, capfd):
    code, text = said(capfd, "forest", "-o", tmp_path / "o")
    assert code == USAGE_ERROR
    assert "expected one or more files scoreboard.csv" in text


def test_a_forest_of_a_folder_names_the_file_in_it(tmp_path, capfd):
    code, text = said(capfd, "forest", tmp_path, "-o", tmp_path / "o")
    assert code == USAGE_ERROR
    assert f"{tmp_path}: is a folder; give a kept scoreboard, such as {tmp_path / 'scoreboard.csv'}" in text


@pytest.mark.parametrize("output", [".", "there"])
def test_a_report_is_a_file(tmp_path, monkeypatch, capfd, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    code, text = said(capfd, "report", "nowhere", "-o", output, "--instances", "1")
    assert code == USAGE_ERROR
    assert "is a folder; expected the page to write, such as" in text


def test_one_seed_has_pictures_and_is_told_why_no_forest(tmp_path, capfd):
    run = tmp_path / "slick-0a1b2c3d4e"
    run.mkdir()
    lines = []
    for share in ("0", "0.25", "0.5", "0.75", "1"):
        for split, step in (("dev", 1), ("test", 1), ("dev", 2), ("test", 2)):
            lines.append(
                {
                    "lab": "synthetic/R2-2layer", "study": "slick", "run": run.name, "seed": 200,
                    "arm": "all", "step": step,
                    "trained_on": f"mix:{share}", "prompt": "zero", "split": split, "stratum": "all",
                    "metric": "accuracy",
                    "value": 0.5 - 0.3 * float(share), "n": 40,
                }
            )  # fmt: skip
    (run / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, text = said(capfd, "all", run, "-o", tmp_path / "o", "--workers", "1")
    assert code == 0
    assert "no forest: no effect has an interval; it takes two seeds or the records of items" in text
    assert list((tmp_path / "o").glob("*.png"))
    assert not list((tmp_path / "o").glob("forest-*"))
