"""The pictures of findings show the records: the CSV beside each holds their means, titles follow the verdicts."""

import csv
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from figures.curves import GRID
from figures.errors import FiguresError
from figures.everything import draw
from figures.findings import PICTURES
from figures.forest import forest, stored
from figures.forest_marks import HEADLINES, RUNGS, headline
from figures.halves import mechanism, trajectories
from figures.mixes import categories, fitting, shares
from figures.runs import read_runs
from figures.style import KINDS
from figures.validity import waterfall
from figures.words import because, packed, unit_of
from tests.house import ladder
from theory.claims import CLAIMS, evaluate
from theory.claims.decompose import STRATA
from theory.claims.interval import over
from theory.intervals import t_interval
from theory.records import Record, RecordWriter

SEEDS = (100, 101, 102, 103)
LAB = "synthetic/R2-2layer"
CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def record(
    study,
    seed,
    on,
    value,
    *,
    arm="all",
    step=10,
    prompt="zero",
    split="test",
    stratum="all",
    metric="accuracy",
):
    noise = 0.001 * ((seed * 7 + len(on) + len(stratum)) % 5)
    return Record(LAB, study, "r1", seed, arm, step, on, prompt, split, stratum, metric, value + noise, 100)


def salience(seed, gap):
    for on, last in (("best", 0.6), ("lesser", 0.6 - gap), ("whole", 0.6), ("random", 0.55)):
        for step, share in ((1, 0.2), (5, 1.0), (10, 0.9)):
            yield record("salience", seed, on, share * last, step=step, split="dev")
            yield record("salience", seed, on, share * last, step=step)
            yield record("salience", seed, on, 0.5, step=step, metric="attention_subject", prompt="own")
    yield record("salience", seed, "none", 0.7, arm="base", step=0, metric="attention_subject", prompt="own")
    yield record("salience", seed, "lesser", 0.4, arm="patch:attention:best")
    yield record("salience", seed, "lesser", 0.5, arm="patch:values:best")


def slick(seed):
    for share in (0, 0.25, 0.5, 0.75, 1):
        for step, left in ((1, 0.1), (5, 0.8), (10, 0.6)):
            for split in ("dev", "test"):
                yield record(
                    "slick", seed, f"mix:{share:g}", left * (1 - 0.5 * share), step=step, split=split
                )
            for known, speed in (("yes", 1.0), ("no", 0.5)):
                fitted = min(1.0, speed * step / 8)
                yield record(
                    "slick",
                    seed,
                    f"mix:{share:g}",
                    fitted,
                    step=step,
                    split="train",
                    metric="fitted",
                    stratum=f"known={known}",
                )
        for step, left in ((5, 0.8), (10, 0.7)):
            for split in ("dev", "test"):
                yield record(
                    "slick", seed, f"known-only:{share:g}", left * (1 - 0.3 * share), step=step, split=split
                )
    for i, train in enumerate(CATEGORIES):
        for step in (5, 10):
            for split in ("dev", "test"):
                left = 0.5 - 0.1 * i - 0.01 * (step - 5)
                yield record("slick", seed, f"category:{train}", left, step=step, split=split)
            for j, test in enumerate(CATEGORIES):
                yield record(
                    "slick", seed, f"category:{train}", 0.8 - 0.2 * j, step=step, stratum=f"category={test}"
                )


def validity(seed):
    gaps = dict(zip(STRATA, (0.4, 0.3, 0.12, 0.1), strict=True))
    for stratum, gap in gaps.items():
        label = stratum.replace("both|neither|both-or-neither", "both")
        for on, value in (("known", 0.2 + gap), ("unknown", 0.2)):
            yield Record(
                LAB, "validity", "r1", seed, "all", 10, on, "zero", "test", label, "accuracy", value, 50
            )


def written(folder, records):
    folder.mkdir(parents=True)
    with RecordWriter(folder / "records.jsonl") as out:
        out.write_many(records)
    return folder


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    written(folder / "salience-1", (r for seed in SEEDS for r in salience(seed, 0.3)))
    written(folder / "slick-1", (r for seed in SEEDS for r in slick(seed)))
    written(folder / "validity-1", (r for seed in SEEDS for r in validity(seed)))
    return read_runs([folder])


def table(paths, name):
    (path,) = (path for path in paths if path.suffix == ".csv" and path.stem.startswith(name))
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mean_of(runs, **where):
    mask = runs.table.mask(**where)
    return float(runs.table.numbers["value"][mask].mean())


def test_every_picture_is_three_files_and_its_numbers(runs, tmp_path):
    paths = [
        path
        for draw_one in (trajectories, mechanism, fitting, shares, categories, waterfall)
        for path in draw_one(runs, tmp_path)
    ]
    assert {path.suffix for path in paths} == {".png", ".pdf", ".svg", ".csv"}
    assert len(paths) == 6 * 4
    assert all(path.stat().st_size > 100 for path in paths)
    assert all(path.stem.endswith("synthetic-R2-2layer") for path in paths)


def test_curves_end_at_the_mean_of_the_last_step_and_pass_the_others(runs, tmp_path):
    rows = [
        row
        for row in table(trajectories(runs, tmp_path), "trajectories")
        if row["series"] == "lesser known half" and row["panel"] == "accuracy"
    ]
    assert [float(row["x"]) for row in rows] == pytest.approx((100 * GRID).tolist())
    last = 100 * mean_of(runs, trained_on="lesser", split="dev", step=10)
    half = 100 * mean_of(runs, trained_on="lesser", split="dev", step=5)
    assert float(rows[-1]["mean"]) == pytest.approx(last)
    assert float(rows[len(rows) // 2]["mean"]) == pytest.approx(half)
    assert rows[0]["mean"] == "nan"  # before the first look nothing is drawn
    assert float(rows[-1]["low"]) < last < float(rows[-1]["high"])
    assert {row["n"] for row in rows} == {"4"}


def test_the_bars_of_the_waterfall_add_up(runs, tmp_path):
    bars = {row["series"]: float(row["mean"]) for row in table(waterfall(runs, tmp_path), "waterfall")}
    assert bars["raw"] == pytest.approx(40)
    assert bars["raw"] - bars["copying"] - bars["answer support"] - bars["guessing"] == pytest.approx(
        bars["rest"]
    )
    assert (bars["copying"], bars["answer support"], bars["guessing"]) == pytest.approx((10, 18, 2))


def forest_table(paths):
    """The lines of all pictures' tables."""
    return [row for path in paths if path.suffix == ".csv" for row in table([path], path.stem)]


def test_the_forest_shows_what_the_claims_say(runs, tmp_path):
    rows = {row["claim"]: row for row in forest_table(forest(runs, tmp_path))}
    board = evaluate(runs.table)
    for verdict in board.verdicts:
        row = rows[verdict.claim.id]  # every claim has one
        if verdict.answer == "missing":
            assert (row["mean"], row["verdict"]) == ("", "missing")
            continue
        part = next(one for one in verdict.parts if one.part.name == headline(verdict.claim))
        found = part.interval
        if found is None:  # another part is opposed
            assert (row["mean"], row["verdict"], verdict.answer) == ("", "contradicted", "contradicted")
            continue
        assert (row["part"], row["verdict"], row["outcome"]) == (part.part.name, verdict.answer, part.outcome)
        assert float(row["mean"]) == pytest.approx(found.mean)
        ends = [float(row[name] or sign * math.inf) for name, sign in (("low", -1), ("high", 1))]
        assert ends == pytest.approx([found.low, found.high])
        assert row["paper_low"] == (str(part.part.published.low) if part.part.published else "")
        assert row["follows_from"].split("; ")[0] in [one.part.name for one in verdict.parts]
        assert row["seeds"] == str(len(SEEDS))
    assert {"A1", "C1", "V1"} <= set(rows)


def test_the_forests_in_the_gallery_show_what_the_committed_scoreboards_do():
    """Verdicts, the headline part of each rule, its numbers and the paper's; and what the verdict follows from."""
    kept = {}
    for folder in ladder.BOARDS:
        with open(ladder.ROOT / folder / "scoreboard.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["verdict"] != "missing":
                    kept.setdefault((row["claim"], row["lab"], row["run"]), []).append(row)
    rows = {}
    for path in (ladder.ROOT / "figures" / "gallery").glob("forest-*.csv"):
        rows |= {
            (row["claim"], row["lab"], row["run"]): row for row in table([path], path.stem) if row["mean"]
        }
    assert set(rows) == set(kept)  # what is missing at a rung has no mark there
    parts, other = {}, 0
    for key, row in rows.items():
        name = headline(CLAIMS[key[0]])
        (first,) = (one for one in kept[key] if one["part"] == name)
        assert [row[name] for name in ("verdict", "part", "outcome", "seeds")] == [
            first[name] for name in ("verdict", "part", "outcome", "seeds")
        ]
        for name, column in (("mean", "effect"), ("low", "low"), ("high", "high"), ("adjusted_p", "adjusted_p"),
                             ("paper_low", "published_low"), ("paper_high", "published_high")):  # fmt: skip
            wanted = first[column] and float(first[column])
            if name in ("low", "high") and first["unit"] == "correlation" and wanted:
                wanted = max(-1.0, min(1.0, wanted))  # a correlation lies no further, and is drawn no further
            assert (row[name] and float(row[name])) == wanted, (key, name)
        outcomes = {one["part"]: one["outcome"] for one in kept[key]}
        wanted = {"reproduced": "supported", "contradicted": "opposed", "inconclusive": "open"}[
            row["verdict"]
        ]
        assert {outcomes[name] for name in row["follows_from"].split("; ")} == {wanted}, key
        other += row["part"] not in row["follows_from"].split("; ")
        parts.setdefault(row["claim"], set()).add(row["part"])
    assert {
        claim for claim, names in parts.items() if len(names) > 1
    } == set()  # one part in every laboratory
    assert other > 20  # and the verdict is often another part's


def test_the_rungs_of_the_forest_are_those_of_the_front_page():
    headings = {"tiny Llama": "tiny Llama", "the same": "tiny Llama", "longer texts read": "tiny Llama"}
    for heading, labs in ladder.RUNGS.items():
        rung = re.search(r"R\d", labs)[0]
        heading = heading.partition(",")[0]
        assert headings.get(heading, heading) == RUNGS[rung]


def test_kept_scoreboards_stand_side_by_side_by_rung_and_where_one_says_nothing_the_reason_stands(
    catch, tmp_path
):
    boards = [ladder.ROOT / room / "results" / "scoreboard.csv" for room in ("synthetic", "realmodels")]
    found = {one.name: one.figure for one in catch(lambda: stored(boards, tmp_path))}
    figure = found["forest-D1"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"tiny Llama", "small real model", "rows are missing"} <= set(
        said
    )  # nobody asked SmolLM2's states
    told = [
        "gap at the end minus gap at the early stop",
        "gap in the nearest minus gap in the farthest quarter",
    ]
    over = [text.get_text() for axes in found["forest-B1"].axes for text in axes.texts]
    assert {f"{part} [points]" for part in told} <= set(
        over
    )  # what their titles say, not that there is a gap
    assert "(B1 and B2: what its title says)" in found["forest-B1"].legends[0].get_title().get_text()
    part = "claim precision, believed minus all generated text in a domain not trained on [points]"
    assert part in " ".join(reversed(said))  # the lines over a row, from the lowest
    assert headline(CLAIMS["D4"]) == "the same in a domain not trained on"
    assert all(headline(CLAIMS[one]) in [part.name for part in CLAIMS[one].parts[1:]] for one in HEADLINES)
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "the paper's number" not in legend  # there is none in this one
    assert "the paper's number" in " ".join(
        text.get_text() for text in found["forest-C1"].legends[0].get_texts()
    )
    (tmp_path / "none.csv").write_text((boards[0].read_text(encoding="utf-8").splitlines()[0]) + "\n")
    with pytest.raises(FiguresError, match="no effect in it has an interval"):
        stored([tmp_path / "none.csv"], tmp_path)


@pytest.mark.parametrize(
    ("adjusted", "low", "words"),
    [
        (0.24, 0.1, "(p = 0.24 after Holm's correction within each letter of a run)"),
        (math.nan, 0.1, "(not after Holm's correction within each letter of a run)"),
        (0.01, 0.1, "(the bootstrap's interval does not agree)"),
        (0.24, -0.1, "points"),
    ],
)
def test_an_open_part_whose_interval_lies_on_one_side_says_why_it_is_open(runs, adjusted, low, words):
    verdict = next(one for one in runs.board.verdicts if one.claim.id == "A1")
    part = replace(
        verdict.parts[0],
        outcome="open",
        adjusted=adjusted,
        interval=replace(verdict.parts[0].interval, mean=1, low=low, high=3),
    )
    said = because(replace(verdict, answer="inconclusive", parts=(part,)))
    assert said.endswith(words)


def test_a_share_is_told_in_percent_and_what_shares_differ_by_in_points(runs):
    percent = {
        (claim.id, part.name)
        for claim in CLAIMS.values()
        for part in claim.parts
        if unit_of(part) != part.unit
    }
    assert {unit_of(part) for claim in CLAIMS.values() for part in claim.parts} > {
        "%",
        "points",
        "correlation",
    }
    assert {claim for claim, _ in percent} == {"C2", "C8", "C9", "X1"}
    assert ("C8", "accuracy on Unknown test facts after the natural mixture, end") in percent
    assert ("X1", "training sets whose attention moves as predicted") in percent
    assert not any(" minus " in name for _, name in percent)
    verdict = next(one for one in runs.board.verdicts if one.claim.id == "A1")
    told = []
    for part in (CLAIMS["X1"].parts[0], CLAIMS["A1"].parts[0]):
        judged = replace(verdict.parts[0], part=part, outcome="supported", note="")
        told.append(because(replace(verdict, answer="reproduced", parts=(judged,))))
    assert told[0].endswith("] %")
    assert told[1].endswith("] points")
    lines = [line for width in range(40, 120) for line in packed(told[0], width).split("\n")]
    assert not any(line.startswith("%") for line in lines)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ((), "over seeds"),
        (("t", "t over seeds (one item)"), "over seeds"),
        (("crossed seeds x items",), "over seeds crossed with items"),
        (("crossed seeds x items", "t"), "over seeds or over seeds crossed with items"),
        (("items of one seed (seeds not covered)",), "over the items of one seed"),
    ],
)
def test_intervals_are_said_to_go_over_what_they_do(methods, words):
    found = t_interval(np.array([1.0, 2.0, 3.0]))
    assert over(replace(found, method=method) for method in methods) == words


def test_pictures_say_of_the_sets_what_the_records_do(runs, tmp_path, catch):
    def words():
        (one,) = catch(lambda: waterfall(read_runs([tmp_path / "runs"]), tmp_path))
        return [axes.get_title(loc="left") for axes in one.figure.axes]

    assert words() == [""]
    loose = [
        replace(one, trained_on=f"{one.trained_on}:by-relation", run="r1")
        for seed in SEEDS
        for one in validity(seed)
    ]
    written(tmp_path / "runs" / "validity-2", loose)
    assert [one.partition(":")[0].partition(",")[0] for one in words()] == [
        "Sets matched in relation and answer",
        "Sets matched in relation alone",
    ]
    drawn = catch(lambda: trajectories(read_runs([equal_halves(tmp_path)]), tmp_path))
    said = drawn[0].figure._suptitle.get_text()
    assert said == "Tuning on the best and on the lesser known half (A1: inconclusive)"


def equal_halves(folder):
    return written(folder / "equal", (r for seed in SEEDS for r in salience(seed, 0.0)))


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (0.3, "Lesser-known rows hurt (A1)"),
        (-0.3, "Not found: Lesser-known rows hurt (A1)"),
        (0.0, "While tuning (A1: inconclusive)"),
    ],
)
def test_a_title_says_the_finding_only_if_the_verdict_does(tmp_path, gap, words):
    folder = written(tmp_path / "salience-1", (r for seed in SEEDS for r in salience(seed, gap)))
    runs = read_runs([folder])
    (rows,) = runs.of("salience")
    assert runs.title("A1", rows, "While tuning") == words


def test_without_rows_there_is_no_picture_and_the_reason_is_said(tmp_path):
    one = written(tmp_path / "x-1", [record("salience", 100, "best", 0.5)])
    runs = read_runs([one / "records.jsonl"])
    for picture in (*PICTURES.values(), forest):
        assert picture(runs, tmp_path / "out") == []
    with pytest.raises(FiguresError, match="no picture can be drawn"):
        list(draw([one], tmp_path / "out"))
    with pytest.raises(FiguresError, match=r"no records\.jsonl in it or in its folders"):
        read_runs([tmp_path / "nothing"])
    with pytest.raises(FiguresError, match="no run given"):
        read_runs([])
    assert not (tmp_path / "out").exists()


def test_a_single_seed_is_drawn_without_intervals(tmp_path):
    for name, records in (
        ("salience", salience(100, 0.3)),
        ("slick", slick(100)),
        ("validity", validity(100)),
    ):
        written(tmp_path / "runs" / f"{name}-1", records)
    paths = list(draw([tmp_path / "runs"], tmp_path / "out"))
    assert {"mechanism", "categories", "waterfall", "shares"} <= {
        path.stem.partition("-")[0] for path in paths
    }
    rows = table(paths, "mechanism")
    assert (rows[0]["x"], rows[0]["low"]) == ("after best known rows", "-inf")
    assert (rows[-1]["series"], rows[-1]["x"]) == ("accuracy", "best known rows")
    assert -25 < float(rows[0]["mean"]) < -15  # of 70
    curve = [row for row in table(paths, "trajectories") if row["panel"] == "accuracy"]
    assert curve[-1]["low"] == "-inf"
    assert np.isfinite(float(curve[-1]["mean"]))


def test_claims_without_a_mark_are_named_below_the_forests_with_the_reason(runs, tmp_path, catch):
    drawn = catch(lambda: forest(runs, tmp_path))
    beside = {text.get_text().split()[0] for one in drawn for axes in one.figure.axes for text in axes.texts
              if text.get_fontweight() == "bold"}  # fmt: skip
    told = [one.figure.legends[0].get_title().get_text() for one in drawn]
    lacking, nobody = (
        {
            name
            for text in told
            for name in re.findall(r"\b[A-Z]\d\b", "".join(re.findall(f"{words}([^a-z]*)", text)))
        }
        for words in ("rows are lacking of", "the studies of")
    )
    assert {"A1", "V1"} <= beside
    assert "A5" in lacking  # it asks for rows that this study lacks
    assert {"B1", "B7", "D1"} <= nobody
    assert beside | lacking | nobody == set(CLAIMS)
    assert not beside & lacking
    assert not (beside | lacking) & nobody


def test_a_long_name_of_a_laboratory_stays_on_the_paper_and_one_seed_has_no_interval(tmp_path, catch):
    lab = "synthetic/R2-" + "very-long-" * 12
    for name, seeds in (("many", SEEDS), ("one", SEEDS[:1])):
        rows = (replace(row, lab=lab) for seed in seeds for row in salience(seed, 0.3))
        runs = read_runs([written(tmp_path / name, rows)])
        drawn = catch(lambda runs=runs: [*forest(runs, tmp_path), *trajectories(runs, tmp_path)])
        assert len(drawn) == (3 if name == "many" else 1)
        for one in drawn:
            one.figure.canvas.draw()
            box = one.figure.legends[0].get_window_extent()
            assert one.figure.bbox.x0 <= box.x0 < box.x1 <= one.figure.bbox.x1, one.name
            told = " ".join(one.figure.legends[0].get_title().get_text().split())
            assert "inf]" not in told
    assert re.search(r"half at the early stop, (29|30)\.\d\d points \(1 paired seed", told)
    assert "(1 paired seed, 3 are" in told


def test_equal_records_give_equal_files(runs, tmp_path):
    one, two = (forest(runs, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert np.isfinite([float(row["mean"]) for row in forest_table(one) if row["mean"]]).all()


def test_two_processes_draw_the_same_files_in_the_same_order(tmp_path):
    folder = tmp_path / "runs"
    written(folder / "salience-1", (r for seed in SEEDS for r in salience(seed, 0.3)))
    token = KINDS.set(("svg",))
    try:
        found = [list(draw([folder], tmp_path / f"by-{workers}", workers=workers)) for workers in (1, 2)]
    finally:
        KINDS.reset(token)
    names = [[path.name for path in paths] for paths in found]
    assert names[0] == names[1]
    assert len(names[0]) > 6
    for one, other in zip(*found, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_no_worker_is_refused(tmp_path):
    with pytest.raises(FiguresError, match="workers is 0; give a whole number of at least 1"):
        list(draw([tmp_path], tmp_path, workers=0))
