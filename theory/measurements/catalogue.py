"""All measurements, by id, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Mapping

from theory.measurements import (
    confound,
    dense,
    fillers,
    generic,
    graph_gap,
    hump,
    monofacts,
    optimum,
    phase,
    prediction,
    pruning,
    salience_law,
    slick_line,
    stopping,
    window,
)
from theory.measurements.base import Measurement

MEASUREMENTS: Mapping[str, Measurement] = {
    measurement.id: measurement
    for measurement in (
        prediction.PREDICTION,
        prediction.PREDICTION_POINTS,
        salience_law.LAW,
        salience_law.LAW_CURVE,
        window.WINDOW,
        dense.DENSE,
        generic.GENERIC,
        confound.CONFOUND,
        confound.CONFOUND_POINTS,
        hump.QUARTILES,
        optimum.OPTIMUM,
        slick_line.LINE,
        slick_line.LINE_FIT,
        phase.PHASE,
        phase.CRITICAL,
        stopping.STOPPING,
        stopping.TURNAROUND,
        pruning.PRUNING,
        fillers.KNOB,
        monofacts.MONOFACTS,
        monofacts.MONOFACT_FIT,
        graph_gap.GRAPH_GAP,
        graph_gap.GRAPH_FIT,
    )
}
