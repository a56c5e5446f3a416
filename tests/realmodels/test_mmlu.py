import numpy as np
import pytest

from realmodels.errors import RealmodelsError
from realmodels.mmlu import Item, chosen, continuations, correct, description, prompt, read_items
from realmodels.rows import read_rows

STAR = Item(" Which is a star?\n", ("Vega ", "Mars", "", "Io, a moon"), "A")
MOON = Item("Which is a moon?", ("Vega", "Mars", "Sol", "Io"), "D")


def test_the_prompt_to_the_byte():
    head = "The following are multiple choice questions (with answers) about us foreign policy.\n\n"
    star = "Which is a star?\nA. Vega \nB. Mars\nC. \nD. Io, a moon\nAnswer:"
    moon = "Which is a moon?\nA. Vega\nB. Mars\nC. Sol\nD. Io\nAnswer:"
    assert description("us_foreign_policy") == head
    assert prompt("us_foreign_policy", STAR) == head + star
    assert prompt("us_foreign_policy", STAR, [MOON, STAR]) == f"{head}{moon} D\n\n{star} A\n\n{star}"
    assert continuations() == (" A", " B", " C", " D")


def test_scoring_by_letter():
    logprobs = np.log([[0.4, 0.1, 0.1, 0.4], [0.1, 0.2, 0.3, 0.4], [0.0001, 0.3, 0.2, 0.1]])
    assert chosen(logprobs).tolist() == [0, 3, 1]
    assert correct(logprobs, [STAR, MOON, MOON]).tolist() == [True, True, False]
    assert chosen([[-np.inf, -5.0, -np.inf, -np.inf]]).tolist() == [1]


@pytest.mark.parametrize(
    ("logprobs", "items", "says"),
    [
        (np.zeros((2, 3)), [STAR, STAR], "shape (items, 4), got (2, 3)"),
        (np.zeros(4), [STAR], "got (4,)"),
        ([[0.0, np.nan, 0.0, 0.0]], [STAR], "NaN"),
        (np.zeros((2, 4)), [STAR], "2 rows of log-probabilities for 1 items"),
    ],
)
def test_wrong_scores(logprobs, items, says):
    with pytest.raises(RealmodelsError) as error:
        correct(logprobs, items)
    assert says in str(error.value)


def test_a_folder_by_split_and_name(tmp_path):
    for name, text in {
        "test/b_c_test.csv": "q1,1,1,2,3,A\n",
        "dev/b_c_dev.csv": '"q\n2, really?",1,2,3,4,B\n',
        "test/a_test.csv": "q3,1,2,3,4,C\n",
        "test/readme.csv": "x\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = read_rows(tmp_path)
    assert (found.adapter, found.kind) == ("mmlu", "csv-bare")
    assert found.columns == ("question", "A", "B", "C", "D", "answer")
    assert [(row.relation, row.line, row.answers) for row in found.rows] == [
        ("b_c", 1, ("B",)),
        ("a", 1, ("C",)),
        ("b_c", 1, ("A",)),
    ]
    assert found.rows[0].question == "q\n2, really?\nA. 1\nB. 2\nC. 3\nD. 4"
    assert found.rows[0].subject is None
    assert dict(found.rows[2].original) == dict(
        zip(found.columns, ["q1", "1", "1", "2", "3", "A"], strict=True)
    )
    assert {name: len(items) for name, items in read_items(tmp_path).items()} == {"b_c": 2, "a": 1}
    assert read_items(tmp_path / "test" / "a_test.csv") == {"a": (Item("q3", ("1", "2", "3", "4"), "C"),)}


def test_a_file_is_known_by_its_first_row(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('"two\nlines",1,1,3,4,D\nq,1,2,3,4,A\n')
    assert [row.relation for row in read_rows(path).rows] == ["mine", "mine"]
    path.write_text("question,A,B,C,D,answers\nq,1,2,3,4,A\n")
    assert read_rows(path).adapter == "plain"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q,1,2,3,4,A\nq,1,2,3,4,E\n", ("a_test.csv:2", "'answer'", "A, B, C, D", '"E"')),
        ("q,1,2,3,4,A\n ,1,2,3,4,A\n", ("a_test.csv:2", "'question'", "empty")),
        ("q,1,2,3,4,A\nq,1,2,3,A\n", ("a_test.csv:2", "expected 6 fields", "got 5")),
    ],
)
def test_wrong_files(tmp_path, text, says):
    path = tmp_path / "a_test.csv"
    path.write_text(text)
    with pytest.raises(RealmodelsError) as error:
        read_rows(path)
    assert all(part in str(error.value) for part in says)


def test_a_folder_without_items(tmp_path):
    with pytest.raises(RealmodelsError, match="no MMLU files"):
        read_items(tmp_path)


def test_the_real_files(data):
    found = {split: read_items(data / "mmlu" / split) for split in ("dev", "val", "test")}
    assert {split: sum(map(len, items.values())) for split, items in found.items()} == {
        "dev": 285,
        "val": 1542,
        "test": 14079,
    }
    assert all(len(items) == 57 for items in found.values())
    assert all(len(items) == 5 for items in found["dev"].values())
    assert len(read_rows(data / "mmlu" / "test")) == 14079
    for subject, items in found["test"].items():
        text = prompt(subject, items[0], found["dev"][subject])
        assert text.startswith(
            f"The following are multiple choice questions (with answers) about {subject.split('_')[0]}"
        )
        assert text.count("\nAnswer:") == 6
        assert text.endswith("\nAnswer:")
