"""What a run finds of an earlier one and cannot read is refused in one line or made again, however deep it is."""

import json
from types import SimpleNamespace

import pytest

from realmodels.audit import CONFIG, _check_folder
from realmodels.errors import RealmodelsError
from realmodels.fingerprints import ABOUT, left_by_train
from realmodels.places import Place
from realmodels.study_arms import read_result
from realmodels.train_watch import Watch

DEEP = "[" * 100_000


def test_the_config_of_an_audit(tmp_path):
    (tmp_path / CONFIG).write_text(DEEP)
    with pytest.raises(RealmodelsError, match="expected model, adapter and data of an audit"):
        _check_folder(SimpleNamespace(output=tmp_path, overwrite=False))


def test_what_train_left_beside_an_adapter(tmp_path):
    (tmp_path / ABOUT).write_text(DEEP)
    assert left_by_train(Place("mine", str(tmp_path))) == {}


def test_the_result_of_a_study_s_arm(tmp_path):
    (tmp_path / "result.json").write_text(DEEP)
    with pytest.raises(RealmodelsError, match=r"result\.json: is no finished arm; remove it"):
        read_result(tmp_path / "result.json")


@pytest.mark.parametrize("line", ['{"a": 1}', "3", '{"step": "2"}', DEEP, '{"step": 2'])
def test_records_of_a_training_end_where_a_line_cannot_be_read(tmp_path, line):
    path = tmp_path / "records.jsonl"
    whole = json.dumps({"step": 1})
    path.write_text(f"{whole}\n{line}\n{whole}\n")
    Watch(path, None, None, print).go_on(5, {})
    assert path.read_text() == f"{whole}\n"
