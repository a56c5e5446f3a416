"""Specs: what is refused and in which words, canonical form, readers, the laws that follow from a spec."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from theory.errors import TheoryError
from theory.world_spec import (
    WorldSpec,
    popularity_law,
    prior_law,
    read_spec,
    spec_from_mapping,
    unseen_law,
)

REFUSED = [
    ({"answers": 1}, "WorldSpec.answers: expected an integer >= 2, got 1"),
    ({"answers": 2.0}, "WorldSpec.answers: expected an integer >= 2, got 2.0"),
    ({"types": True}, "WorldSpec.types: expected an integer >= 1, got True"),
    ({"types": 0}, "WorldSpec.types: expected an integer >= 1, got 0"),
    ({"subjects": 0}, "WorldSpec.subjects: expected an integer >= 1, got 0"),
    ({"never_seen": -1}, "WorldSpec.never_seen: expected an integer >= 0, got -1"),
    ({"relations": "8"}, "WorldSpec.relations: expected an integer >= 1, got '8'"),
    ({"word_reuse": 0}, "WorldSpec.word_reuse: expected an integer >= 1, got 0"),
    ({"derived": 8}, "WorldSpec.derived: expected fewer than relations = 8, got 8"),
    ({"derived": 9}, "WorldSpec.derived: expected fewer than relations = 8, got 9"),
    (
        {"derived_answers": 25},
        "WorldSpec.derived_answers: expected at most answers = 24, which it is a function of, got 25",
    ),
    ({"dominant": 8}, "WorldSpec.dominant: expected at most relations - derived = 7, got 8"),
    ({"dominant_share": 1.2}, "WorldSpec.dominant_share: expected a number > 0 and < 1, got 1.2"),
    (
        {"dominant": 1, "dominant_share": 0.2},
        "WorldSpec.dominant_share: expected more than 0.2648, which the prior",
    ),
    ({"unseen": 1.0}, "WorldSpec.unseen: expected a number >= 0 and < 1, got 1.0"),
    ({"unseen": -0.1}, "WorldSpec.unseen: expected a number >= 0 and < 1, got -0.1"),
    ({"unseen": float("nan")}, "WorldSpec.unseen: expected a number >= 0 and < 1, got nan"),
    ({"unseen": False}, "WorldSpec.unseen: expected a number >= 0 and < 1, got False"),
    ({"unseen": "0.1"}, "WorldSpec.unseen: expected a number >= 0 and < 1, got '0.1'"),
    (
        {"unseen": 0.9999},
        "WorldSpec.unseen: expected a share that leaves a fact stated (it leaves 0.48 of 4800)",
    ),
    ({"derived_unseen": 1.5}, "WorldSpec.derived_unseen: expected a number >= 0 and <= 1, got 1.5"),
    (
        {"popularity": "pareto"},
        "WorldSpec.popularity: expected one of 'zipf', 'two-level', 'log-normal', got 'pareto'",
    ),
    ({"zipf_exponent": 11}, "WorldSpec.zipf_exponent: expected a number >= 0 and <= 10, got 11.0"),
    ({"level_ratio": 0.5}, "WorldSpec.level_ratio: expected a number >= 1 and <= 1e+09, got 0.5"),
    ({"mean_exposure": 0}, "WorldSpec.mean_exposure: expected a number > 0 and <= 1e+09, got 0.0"),
    ({"mean_exposure": 1.0}, "WorldSpec.mean_exposure: expected more than 1 when every fact not withheld"),
    ({"at_least_once": 1}, "WorldSpec.at_least_once: expected true or false, got 1"),
    (
        {"copy_share": 0.2},
        "WorldSpec.copy_share: expected at most 1 / relations = 0.125, one fact a subject, got 0.2",
    ),
    (
        {"subject_words": ()},
        "WorldSpec.subject_words: expected a sequence of word counts, each 1, 2 or 3, got ()",
    ),
    ({"subject_words": (1, 4)}, "WorldSpec.subject_words: expected a sequence of word counts"),
    ({"answer_words": (True,)}, "WorldSpec.answer_words: expected a sequence of word counts"),
    ({"answer_words": 2}, "WorldSpec.answer_words: expected a sequence of word counts"),
    (
        {"answers": 10**12, "derived": 0},
        "WorldSpec.answers: expected a world of at most 100,000,000 answers, got one of 16,000,000,000,000",
    ),
    (
        {"subjects": 10**7},
        "WorldSpec.subjects: expected a world of at most 100,000,000 facts, got one of 160,000,640",
    ),
]


@pytest.mark.parametrize(("knobs", "words"), REFUSED, ids=[f"{list(k.items())}" for k, _ in REFUSED])
def test_a_bad_value_is_refused_with_field_expectation_and_value(knobs: dict, words: str) -> None:
    with pytest.raises(TheoryError) as caught:
        WorldSpec(**knobs)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "knobs",
    [
        {"derived": 0, "derived_answers": 100},  # idle knobs may hold anything
        {"dominant": 0, "dominant_share": 0.01},
        {"dominant": 7, "dominant_share": 0.27},
        {"copy_share": 1 / 8},
        {"mean_exposure": 0.01, "at_least_once": False},
        {"derived_unseen": 1.0},
        {"types": 1, "subjects": 1, "relations": 1, "derived": 0, "unseen": 0.0},
    ],
)
def test_a_value_at_the_edge_is_taken(knobs: dict) -> None:
    spec = WorldSpec(**knobs)
    assert all(getattr(spec, name) == value for name, value in knobs.items())


def test_every_field_is_checked() -> None:
    for field in fields(WorldSpec):
        with pytest.raises(TheoryError, match=f"WorldSpec.{field.name}: "):
            WorldSpec(**{field.name: object()})


def test_equal_specs_have_equal_text() -> None:
    plain = WorldSpec(unseen=0.0, subjects=5, subject_words=(1, 2))
    odd = WorldSpec(unseen=0, subjects=np.int32(5), subject_words=[1, 2])  # type: ignore[arg-type]
    assert plain == odd
    assert plain.to_json() == odd.to_json()
    assert hash(plain) == hash(odd)
    assert type(odd.subjects) is int
    assert plain.to_json() != WorldSpec(unseen=0.0, subjects=5).to_json()


def test_sizes_follow_from_the_spec() -> None:
    spec = WorldSpec(types=3, subjects=7, never_seen=2, relations=5, derived=2, answers=11, derived_answers=4)
    assert (spec.plain, spec.n_seen, spec.n_subjects, spec.n_relations) == (3, 21, 27, 15)
    assert spec.n_answers == 3 * (3 * 11 + 2 * 4)
    assert spec.n_facts == 27 * 5
    assert spec.derived_share_unseen == spec.unseen
    assert WorldSpec(derived_unseen=0.0).derived_share_unseen == 0.0


def test_unknown_fields_name_the_nearest() -> None:
    with pytest.raises(
        TheoryError, match=r"^WorldSpec: unknown field 'unsen'; the nearest known one is 'unseen'$"
    ):
        spec_from_mapping({"unsen": 0.1})
    with pytest.raises(TheoryError, match=r"unknown field 'zzz'; the nearest known one is '.+'"):
        spec_from_mapping({"zzz": 0.1})


def test_a_mapping_sets_what_it_names() -> None:
    spec = spec_from_mapping({"subjects": 9, "subject_words": [2], "popularity": "two-level"})
    assert spec == WorldSpec(subjects=9, subject_words=(2,), popularity="two-level")
    assert spec_from_mapping({}) == WorldSpec()
    with pytest.raises(TheoryError, match=r"^WorldSpec\.answers: expected an integer >= 2, got 0$"):
        spec_from_mapping({"answers": 0})
    with pytest.raises(TheoryError, match=r"^my lab: WorldSpec\.answers: expected"):
        spec_from_mapping({"answers": 0}, where="my lab")


def test_a_toml_file_is_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text('subjects = 40\nunseen = 0\npopularity = "log-normal"\nsubject_words = [1, 3]\n')
    assert read_spec(file) == WorldSpec(
        subjects=40, unseen=0.0, popularity="log-normal", subject_words=(1, 3)
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"subject = 40\n", "unknown field 'subject'; the nearest known one is 'subjects'"),
        (b"subjects = 40\nanswers = 1\n", "WorldSpec.answers: expected an integer >= 2, got 1"),
        (b"subjects = \n", "expected TOML such as `subjects = 300`: Invalid value (at line 1"),
        (b"\xff\xfe", "expected TOML such as `subjects = 300`: 'utf-8' codec"),
    ],
)
def test_a_bad_toml_file_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "world.toml"
    file.write_bytes(content)
    with pytest.raises(TheoryError) as caught:
        read_spec(file)
    assert str(caught.value).startswith(f"{file}: {words}")


def test_a_missing_toml_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TheoryError, match=r"nowhere\.toml: cannot be read: No such file"):
        read_spec(tmp_path / "nowhere.toml")


def test_the_prior_law_is_zipf_and_a_dominant_answer_takes_its_share() -> None:
    spec = WorldSpec(answers=50, prior_exponent=1.0, dominant=1, dominant_share=0.6)
    law = prior_law(spec)
    assert law.sum() == pytest.approx(1)
    np.testing.assert_allclose(law, law[0] / np.arange(1, 51), rtol=1e-12)
    assert law[0] == pytest.approx(0.2223, abs=1e-4)  # 1 / (1 + 1/2 + ... + 1/50)
    dominant = prior_law(spec, dominant=True)
    assert dominant[0] == 0.6
    assert dominant.sum() == pytest.approx(1)
    np.testing.assert_allclose(dominant[1:] / dominant[1], law[1:] / law[1], rtol=1e-12)
    np.testing.assert_allclose(prior_law(WorldSpec(answers=4, derived=0, prior_exponent=0)), 0.25)


def test_popularity_laws_have_their_shapes() -> None:
    pure = popularity_law(WorldSpec(subjects=100, zipf_exponent=1.5, zipf_offset=0))
    np.testing.assert_allclose(pure[0] / pure, np.arange(1, 101) ** 1.5, rtol=1e-12)
    shifted = popularity_law(WorldSpec(subjects=100, zipf_exponent=1.0, zipf_offset=15))
    np.testing.assert_allclose(shifted[0] / shifted, (np.arange(1, 101) + 15) / 16, rtol=1e-12)
    levels = popularity_law(WorldSpec(subjects=7, popularity="two-level", level_ratio=50))
    np.testing.assert_allclose(levels / levels[-1], [50, 50, 50, 1, 1, 1, 1])
    spread = np.log(popularity_law(WorldSpec(subjects=4001, popularity="log-normal", popularity_sigma=0.8)))
    assert spread.std() == pytest.approx(0.8, rel=1e-3)
    assert np.all(np.diff(spread) < 0)
    for law in (pure, shifted, levels):
        assert law.sum() == pytest.approx(1)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("shape", ["zipf", "two-level", "log-normal"])
def test_the_unseen_law_keeps_its_mean_and_tilts_by_log_odds(share: float, shape: str) -> None:
    spec = WorldSpec(subjects=1000, popularity=shape, unseen=share, unseen_tilt=3.0)  # type: ignore[arg-type]
    p = unseen_law(spec, share)
    assert p.mean() == pytest.approx(share, abs=1e-9)
    odds = np.log(p / (1 - p))
    assert np.all(np.diff(odds) > -1e-12)
    # of the whole rise, two levels are half a population apart and a strict order nearly all of it
    assert odds[-1] - odds[0] == pytest.approx(1.5 if shape == "two-level" else 2.997, abs=1e-6)


def test_without_a_tilt_or_a_choice_the_unseen_law_is_flat() -> None:
    assert np.all(unseen_law(WorldSpec(), 0.15) == 0.15)
    tilted = WorldSpec(unseen_tilt=2.0)
    assert np.all(unseen_law(tilted, 0.0) == 0.0)
    assert np.all(unseen_law(tilted, 1.0) == 1.0)
    even = WorldSpec(unseen_tilt=2.0, zipf_exponent=0)  # nobody is more popular than anybody
    np.testing.assert_allclose(unseen_law(even, 0.3), 0.3, atol=1e-12)
