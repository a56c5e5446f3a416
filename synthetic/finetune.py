"""Fine-tuning a base on rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.model import Weights
from synthetic.order import plan
from synthetic.rows import Rows, documents
from synthetic.train import Trained, Watch, train
from synthetic.train_spec import TrainSpec
from synthetic.tuning import Trainable, merge_adapter

if TYPE_CHECKING:
    from synthetic.setup import Setup

# How much faster parts are tuned than the whole network. They still fit fewer of their rows: `fitted` says how many.
RATES: dict[Trainable, float] = {"all": 1.0, "layers": 1.0, "values": 1.0, "attention": 3.0, "lora": 3.0}


def finetune(
    base: Base,
    rows: Rows,
    arm: Trainable = "all",
    *,
    how: TrainSpec | None = None,
    weights: Weights | None = None,
    at: Collection[int] = (),
    watch: Watch | None = None,
) -> Trained:
    """Tune the base (or other `weights` of its shape) on rows, the order following from the base's seed. `arm` says
    which weights change; `how` replaces the setup's way of training but for that. An adapter comes back merged; the
    weights that `watch` sees still carry it."""
    how = (
        tuning(base.setup, arm, base.seed)
        if how is None
        else replace(how, trainable=_trainable(base.setup, arm))
    )
    trained = train(
        base.weights if weights is None else weights,
        base.spec,
        documents(base, rows),
        how,
        at=at,
        watch=watch,
    )
    return replace(trained, weights=merge_adapter(trained.weights)) if arm == "lora" else trained


def tuning(setup: Setup, arm: Trainable, seed: int) -> TrainSpec:
    """How an arm is tuned."""
    rate = setup.tune.rate * RATES[arm]
    return replace(setup.tune, trainable=_trainable(setup, arm), rate=rate, seed=seed)


def steps_of(base: Base, rows: Rows, how: TrainSpec | None = None) -> int:
    """How many steps `finetune` takes."""
    how = how or tuning(base.setup, "all", base.seed)
    found = documents(base, rows)
    return plan(found, how, max(how.room, int(found.lengths.max())))[1]


def checkpoints(last: int, count: int) -> tuple[int, ...]:
    """About `count` steps from early to last, ever farther apart, each at least 1 after the one before."""
    if last < 1 or count < 1:
        raise SyntheticError(f"{count} checkpoints of {last} steps; expected at least 1 of each")
    first = max(1.0, last / 40)
    steps = np.unique(np.round(np.geomspace(last, first, min(count, last))).astype(int))
    return tuple(int(step) for step in steps)


def _trainable(setup: Setup, arm: Trainable) -> Trainable:
    """Where the embeddings were never trained, tuning everything leaves them alone too."""
    return setup.pretrain.trainable if arm == "all" else arm
