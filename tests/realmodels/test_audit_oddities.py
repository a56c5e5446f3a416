import json
import shutil

import pytest

from realmodels.__main__ import main
from realmodels.audit import Job, read_data
from realmodels.audit_found import gather
from realmodels.audit_parts import Parts
from realmodels.audit_plan import Asking, make_plan
from realmodels.errors import RealmodelsError
from realmodels.exemplars import grouped
from realmodels.loading import load_tokens
from realmodels.prompting import STYLES
from realmodels.rows import read_rows
from realmodels.tables import read_table

from .conftest import FACTS


def test_a_field_of_a_table_may_be_as_long_as_a_line(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f'question,answers\n"{"q" * 200_000}",a\n')
    assert [len(row["question"]) for _, row in read_table(path)] == [200_000]


def test_a_row_without_a_line_of_its_own_goes_by_its_number(tmp_path):
    path = tmp_path / "rows.json"
    good = {"question": "Who?", "answers": "A", "relation": "r"}
    path.write_text(json.dumps([good, good | {"relation": None}]))
    rows = read_rows(path).rows
    assert rows[1].at == f"{path}: row 2"
    with pytest.raises(RealmodelsError, match=r"rows.json: row 2: field 'relation'"):
        grouped(rows, rows, 1, "relation")
    path.write_text(json.dumps([good, good | {"knowledge": {}}]))
    with pytest.raises(RealmodelsError, match=r"rows.json: row 2: field 'knowledge' is there already"):
        read_data(Job("none", str(path), tmp_path, Asking(STYLES["qa"])))


@pytest.mark.parametrize("name", ["/nowhere", "./nowhere", "../nowhere", "folder/rows.jsonl"])
def test_a_path_is_not_taken_for_a_name_on_the_hub(name):
    with pytest.raises(RealmodelsError, match=r"no such file or folder$"):
        read_rows(name)


@pytest.mark.parametrize(("name", "value"), [("greedy", None), ("p_sample", "much"), ("logprob", [1])])
def test_a_spoiled_line_of_the_generations_is_named(tmp_path, name, value):
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({"question": f"Who {i}?", "answers": f"A{i}"}) + "\n" for i in range(3))
    )
    rows = read_rows(data).rows
    plan = make_plan(rows, rows, Asking(STYLES["qa"], prompts=1, shots=1), {})
    good = {"greedy": True, "p_sample": 0.5, "logprob": -1.0, "said": "A", "prompt": 0}
    lines = [{"key": key, "id": f"r{i}", **good} for i, key in enumerate(plan.keys["answer"][0])]
    lines[1][name] = value
    parts = Parts(tmp_path)
    parts.put(lines)
    parts.refresh()
    with pytest.raises(
        RealmodelsError, match=rf'generations.jsonl: the line of id "r1" .*field \'{name}\': expected a n'
    ):
        gather(plan, parts)
    lines[1] |= good
    parts.put(lines)
    parts.refresh()
    assert gather(plan, parts).logprob[:].tolist() == [[-1.0]] * 3


def test_a_tokenizer_without_a_token_to_pad_with_gives_the_same_labels(tiny, tmp_path, monkeypatch):
    bare = shutil.copytree(tiny, tmp_path / "bare")
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    assert settings.pop("pad_token") == "<pad>"
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokens(str(bare)).tokenizer.pad_token is None
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"question": f"What is the capital of {s}?", "answers": [a]}) + "\n" for s, a in FACTS
        )
    )
    found = []
    for folder in (tiny, bare):
        words = ["--model", folder, "--data", rows, "-o", tmp_path / f"of-{folder.name}", "--budget", "cheap"]
        monkeypatch.setattr("sys.argv", ["realmodels", "audit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        lines = (tmp_path / f"of-{folder.name}" / "audit.jsonl").read_text().splitlines()
        found.append([json.loads(line)["knowledge"] for line in lines])
    assert len(found[0]) == len(FACTS)
    for one, other in zip(*found, strict=True):
        assert one["label"] == other["label"]
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-5)
