"""What fails without each assumption of T1 to T3: small models, really stepped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import softmax

from theory.attention import margin, others, push, score_gradient, two_token_gradient
from theory.one_layer import OneLayer, one_hot
from theory.theorems.instances import score_slopes
from theory.thresholds import score_shift, threshold, transfer_kernel

# Values over three answers, the first being the right one unless said otherwise.
GENERIC = [2.0, 0.0, 0.0]  # a relation's
WEAK, KNOWN, RARE = [0.5, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]  # subjects'
LOUD = [0.5, -2.0, -2.0]  # of a subject that also speaks against the wrong answers
BAD = [0.0, 6.0, 0.0]  # a filler's


def _attention(model: OneLayer, tokens: list[int]) -> float:
    """Attention on the first token of one prompt."""
    return float(model.alphas(np.array([tokens]))[0, 0])


def gradient_of_linear_attention() -> Mapping[str, Any]:
    scores, values, y = np.array([0.5, 0.5]), np.array([[1.0, 0.0, 0.0], [2.0, 0.0, -1.0]]), np.array(0)
    true, formula = score_slopes(scores, values, y, attention="linear"), score_gradient(scores, values, y)
    return {"true": true, "formula": formula, "breaks": bool(np.abs(true - formula).max() > 0.1)}


def gradient_of_squared_error() -> Mapping[str, Any]:
    alphas, values, y = np.array([0.5, 0.5]), np.array([[1.0, 0.0, 0.0], [2.0, 0.0, -1.0]]), np.array(0)
    z = alphas @ values
    by_alpha = values @ (2.0 * (z - np.eye(3)[0]))  # of sum_a (z_a - 1[a = y])^2
    true, formula = alphas * (by_alpha - alphas @ by_alpha), score_gradient(alphas, values, y)
    return {"true": true, "formula": formula, "breaks": bool(np.sign(true[0]) != np.sign(formula[0]))}


def two_token_form_with_a_third_token() -> Mapping[str, Any]:
    scores, y = np.zeros(3), np.array(0)
    values = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    true, form = score_slopes(scores, values, y)[0], float(two_token_gradient(softmax(scores), values, y))
    return {"true": float(true), "two_token_form": form, "breaks": bool(np.sign(true) != np.sign(form))}


def below_threshold_with_linear_attention() -> Mapping[str, Any]:
    model = one_hot([WEAK, GENERIC], [[0.0, 0.5], [0.0, 0.5]], attention="linear")
    tau = float(threshold(0.5, GENERIC, 0))
    after = model.descend([[0, 1]], [0], kq_rate=1.0)
    before, now = _attention(model, [0, 1]), _attention(after, [0, 1])
    return {
        "sigma": 0.5,
        "tau": tau,
        "attention": before,
        "after": now,
        "breaks": bool(tau > 0.5 and now > before),
    }


def below_threshold_with_a_filler() -> Mapping[str, Any]:
    values, prompt = [WEAK, BAD, GENERIC], [0, 1, 2]
    model = one_hot(values)
    z = model.forward([prompt])[0]
    q = others(z, 0)
    sig, tau = float(margin(values[0], q, 0)), float(margin(values[2], q, 0))
    before, now = _attention(model, prompt), _attention(model.descend([prompt], [0], kq_rate=1.0), prompt)
    return {
        "Sig": sig,
        "tau": tau,
        "attention": before,
        "after": now,
        "breaks": bool(sig < tau and now > before),
    }


def below_threshold_with_value_noise() -> Mapping[str, Any]:
    model = one_hot([LOUD, GENERIC])
    tau = float(threshold(0.5, GENERIC, 0))
    before, now = _attention(model, [0, 1]), _attention(model.descend([[0, 1]], [0], kq_rate=1.0), [0, 1])
    return {
        "sigma": 0.5,
        "tau": tau,
        "attention": before,
        "after": now,
        "breaks": bool(tau > 0.5 and now > before),
    }


def relation_without_embedding() -> Mapping[str, Any]:
    embed, readout = np.diag([1.0, 0.0, 0.0])[:2], np.eye(3)[1:]
    model = OneLayer(embed, readout, np.zeros((3, 3)), np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 0, 0]]))
    before, now = _attention(model, [0, 1]), _attention(model.descend([[0, 1]], [0], kq_rate=1.0), [0, 1])
    return {"Sig": 2.0, "tau": 0.0, "attention": before, "after": now, "breaks": bool(now <= before)}


def _unseen_prompt(
    model: OneLayer, train: list[list[int]], y: list[int], probe: list[int], rate: float = 1.0
) -> dict[str, Any]:
    """Attention on the first token of `probe` around a step on `train`: T3 breaks if it does not fall."""
    before = _attention(model, probe)
    after = _attention(model.descend(train, y, kq_rate=rate), probe)
    return {"attention": before, "after": after, "breaks": bool(after >= before)}


def subjects_on_opposite_sides() -> Mapping[str, Any]:
    basis = np.eye(5)
    embed = np.stack([basis[0] + basis[1], basis[0] - basis[1], basis[0]])  # trained, unseen, relation
    w_v = np.zeros((5, 5))
    w_v[2:, 0], w_v[2:, 1] = GENERIC, np.subtract(WEAK, GENERIC)
    found = _unseen_prompt(OneLayer(embed, basis[2:], np.zeros((5, 5)), w_v), [[0, 2]], [0], [1, 2])
    return {"kernel": float(transfer_kernel(embed[:1], embed[2], embed[1:2])[0, 0]), **found}


def one_strong_fact() -> Mapping[str, Any]:
    found = _unseen_prompt(one_hot([WEAK, RARE, KNOWN, GENERIC]), [[0, 3], [1, 3]], [0, 1], [2, 3])
    return {"sigmas": [0.5, 4.0], "taus": threshold(0.5, GENERIC, np.array([0, 1])), **found}


def another_relation() -> Mapping[str, Any]:
    return _unseen_prompt(one_hot([WEAK, KNOWN, GENERIC, GENERIC]), [[0, 2]], [0], [1, 3])


def transfer_with_linear_attention() -> Mapping[str, Any]:
    model = one_hot([WEAK, KNOWN, GENERIC], np.full((3, 3), 0.5), attention="linear")
    return _unseen_prompt(model, [[0, 2]], [0], [1, 2])


def transfer_with_a_filler() -> Mapping[str, Any]:
    return _unseen_prompt(one_hot([WEAK, KNOWN, BAD, GENERIC]), [[0, 2, 3]], [0], [1, 2, 3], rate=0.1)


def transfer_with_value_noise() -> Mapping[str, Any]:
    return _unseen_prompt(one_hot([LOUD, KNOWN, GENERIC]), [[0, 2]], [0], [1, 2])


def sign_of_the_gradient() -> Mapping[str, Any]:
    """Adam's first step moves every weight by the same amount."""
    embed, w_v = np.zeros((3, 7)), np.zeros((7, 7))
    embed[0, :4], embed[1, :4], embed[2, 3] = [3.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, 1.0], 1.0
    w_v[4:, 3], w_v[4:, 0] = GENERIC, np.subtract(WEAK, GENERIC) / 3.0
    model = OneLayer(embed, np.eye(7)[4:], np.zeros((7, 7)), w_v)
    stepped = replace(model, w_kq=-np.sign(model.gradients([[0, 2]], [0]).w_kq))
    before, after = _attention(model, [1, 2]), _attention(stepped, [1, 2])
    kernel = float(transfer_kernel(embed[:1], embed[2], embed[1:2])[0, 0])
    return {
        "kernel": kernel,
        "attention": before,
        "after": after,
        "breaks": bool(kernel > 0 and after > before),
    }


def many_steps() -> Mapping[str, Any]:
    model, steps, prompt = one_hot([WEAK, KNOWN, GENERIC]), 40, np.array([[1, 2]])
    kernel = transfer_kernel(model.embed[:1], model.embed[2], model.embed[1:2])
    promised = steps * float(score_shift([0.25 * push(0.0, WEAK, GENERIC, 0)], kernel)[0])
    for _ in range(steps):
        model = model.descend([[0, 2]], [0], kq_rate=1.0)
    scores = model.scores(prompt)[0]
    shift = float(scores[0] - scores[1])
    return {"steps_times_formula": promised, "shift": shift, "breaks": bool(abs(shift - promised) > 0.1)}
