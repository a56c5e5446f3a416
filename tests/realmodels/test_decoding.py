"""Tokens drawn from few of the likeliest, held against a sort of them all."""

import numpy as np
import pytest
import torch

from realmodels.decoding import FEW, drawn_by
from realmodels.scoring import Draw


def sorted_whole(found, uniforms, temperature):
    said = []
    for logits, height in zip(found.double(), uniforms, strict=True):
        order = torch.argsort(logits, descending=True)
        heights = torch.softmax(logits[order] / temperature, 0).cumsum(0).numpy()
        said.append(int(order[min(np.searchsorted(heights, height, side="right"), len(order) - 1)]))
    return said


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_draw_from_all_tokens_is_that_of_a_whole_sort(temperature):
    rng = np.random.default_rng(int(10 * temperature))
    found = torch.tensor(rng.normal(size=(200, 4 * FEW)), dtype=torch.float32)
    heights = np.concatenate([rng.random(190), np.linspace(0.9, 1, 10)])
    wanted = sorted_whole(found, heights, temperature)
    places = [int((found[i] > found[i, token]).sum()) for i, token in enumerate(wanted)]
    assert max(places) >= FEW > min(places)  # both ways are gone
    choose = drawn_by(heights[:, None], Draw(temperature, 0))
    assert choose(found, range(len(heights)), 0) == wanted


def test_height_zero_is_the_likeliest_and_few_words_are_enough():
    found = torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 1.0]])
    assert drawn_by(np.zeros((2, 1)), Draw(1.0, 0))(found, [0, 1], 0) == [1, 0]
    assert drawn_by(np.ones((2, 1)), Draw(1.0, 0))(found, [0, 1], 0) == [0, 1]
