"""The numbers of the page's panel: a mixture of known and unknown facts, from its share to held-out accuracy.

Facts are the idealised ones of the phase diagram (`theory.measurements.ideal`). The page computes the same by
`theory.flow.one_hot_push` (T2 under assumption O), `theory.flow.flow` (Dormand-Prince 5(4), the same step control),
`theory.predict.critical_log_odds` with the accuracy law (T8, T8') and `theory.predict.critical_fraction` (T9).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from theory.measurements.ideal import PRIOR, V_R, exact, spread
from theory.predict import first_step_fraction, mixture, predict_final_u, predicted_accuracy

U0, RATE = 0.0, 0.1
HELD_OUT = (0.5, 6.0, 200)  # lowest and highest salience of held-out facts, and how many levels between


class Prediction(NamedTuple):
    """Where fine-tuning ends. `attention` is on the subject; accuracies are shares of held-out facts."""

    u: float
    attention: float
    accuracy: float
    before: float
    critical: float  # q_c(u0)


def predict(q: float, salience: float, steps: float) -> Prediction:
    """A share `q` of unknown facts (salience 0), the others of `salience` nats, after `steps` full-batch steps."""
    known, unknown = exact(np.array(salience)), exact(np.array(0.0))
    held_out = spread(*HELD_OUT)
    u = float(predict_final_u(mixture(known, unknown, q), U0, steps, RATE))
    return Prediction(
        u,
        float(expit(u)),
        float(predicted_accuracy(u, held_out)),
        float(predicted_accuracy(U0, held_out)),
        float(first_step_fraction(U0, known, unknown)),
    )


def constants() -> dict[str, object]:
    """What the page needs to compute `predict` itself."""
    low, high, levels = HELD_OUT
    return {
        "prior": PRIOR.tolist(),
        "values": V_R.tolist(),
        "u0": U0,
        "rate": RATE,
        "heldOut": {"low": low, "high": high, "levels": levels},
    }
