"""What a picture of records shows, and what the table beside it says, in one form."""

import csv
from collections import namedtuple
from itertools import groupby, pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from packaging.version import Version

from figures.about import kind_of
from figures.beliefs import SIGNALS, TEXTS
from figures.curves import GRID
from figures.forest_marks import rung_of
from figures.forest_rows import DOT, LARGE, SIZE, STAR
from figures.mixes import CLOUD, MEAN
from figures.prompts import PROMPTS
from figures.style import COLOURS, MARKERS, lane
from theory.claims.decompose import NAMES

Stroke = namedtuple("Stroke", "panel series x mean low high")
SPECIAL = {"forest", "parts", "plane", "waterfall"}
KEPT_BY = "3.11"
as_kept = pytest.mark.skipif(
    Version(matplotlib.__version__) < Version(KEPT_BY),
    reason=f"kept pictures were drawn by matplotlib {KEPT_BY}; {matplotlib.__version__} sets words otherwise",
)


def plain(text):
    return " ".join(str(text).split())


def words_of(kind, name):
    """How a place that the table names is written along the axis."""
    if kind in ("prompts", "edges"):
        return plain(PROMPTS[name])
    if kind == "signals":
        return plain(SIGNALS[name])
    if kind == "categories":
        return f"{name} test facts"
    if kind.startswith("similarity"):
        return {"1": "1 farthest", "4": "4 nearest"}.get(name, name)
    if kind == "statements":
        return f"{name.partition(':')[2]} statements a fact"
    if kind == "labels" and name:
        return f"{int(float(name)):,}"
    return plain(name)


# what is drawn


def drawn(one):
    """Every stroke of the figure."""
    kind, found = kind_of(one.name), []
    if kind in SPECIAL:
        return DRAWN[kind](one.figure)
    panels = [axes for axes in one.figure.axes if axes.axison]
    for number, axes in enumerate(panels):
        for series, x, mean, low, high in (
            *bars_of(axes),
            *points_of(axes),
            *curves_of(axes),
            *levels_of(axes),
        ):
            found.append(Stroke(number, plain(series), x, mean, low, high))  # fmt: skip
    return found


def worded(axis):
    """Whether words stand along the axis, or chosen numbers."""
    from matplotlib.ticker import FixedLocator

    return isinstance(axis.get_major_locator(), FixedLocator)


def place(axis, at):
    """The word at a place of the axis, or the number where there are no words."""
    if not worded(axis):
        return float(at)
    ticks = np.asarray(axis.get_major_locator().locs, float)
    return number_in(plain(axis.get_major_formatter()(ticks[int(np.argmin(np.abs(ticks - at)))])))


def ends_of(collection):
    """Lowest and highest end of each interval, along the axis that it lies on."""
    lone = np.full((2, 2), np.nan)  # where there is no interval
    segments = [np.asarray(one) if len(one) else lone for one in collection.get_segments()]
    across = [int(np.ptp(one[:, 1]) >= np.ptp(one[:, 0])) for one in segments]
    return [(one[:, k].min(), one[:, k].max()) for one, k in zip(segments, across, strict=True)]


def ends_or_none(bars, count):
    """The same, without ends where there is no line."""
    ends = ends_of(bars[0]) if bars else [(np.nan, np.nan)] * count
    return [(low, high) if low <= high else (-np.inf, np.inf) for low, high in ends]


def points_of(axes):
    from matplotlib.container import ErrorbarContainer

    for one in axes.containers:
        if not isinstance(one, ErrorbarContainer) or one.lines[0] is None:
            continue
        xs, ys = (np.asarray(values, float) for values in one.lines[0].get_data())
        label = one.get_label() or "_"  # older matplotlib: None
        bars = list(one.lines[2])
        if any(panel.get_xlabel() == "true claims a text" for panel in axes.figure.axes):
            if not bars:
                for name, values in (("true claims a text", xs), ("claim precision", ys)):
                    yield label, name, values[0], -np.inf, np.inf
                continue
            for name, values, bar in (("true claims a text", xs, bars[0]), ("claim precision", ys, bars[-1])):
                for mean, (low, high) in zip(values, spans(bar, name), strict=True):
                    yield label, name, mean, low, high
            continue
        bare = not (one.has_xerr or one.has_yerr)
        lies = one.has_xerr or (bare and worded(axes.yaxis) and not worded(axes.xaxis))
        axis, at, values = (axes.yaxis, ys, xs) if lies else (axes.xaxis, xs, ys)
        label = axes.get_ylabel() if label.startswith("_") else label
        label = plain(label).removesuffix(" (%)")
        label = {"accuracy on held-out facts": "accuracy"}.get(label, label)
        for x, mean, (low, high) in zip(at, values, ends_or_none(bars, len(at)), strict=True):
            yield label, place(axis, x), mean, low, high


def spans(collection, name):
    k = 0 if name == "true claims a text" else 1
    return [(np.asarray(s)[:, k].min(), np.asarray(s)[:, k].max()) for s in collection.get_segments()]


def bars_of(axes):
    from matplotlib.container import BarContainer

    for bars, ends in pairwise((*axes.containers, None)):
        if isinstance(bars, BarContainer):
            lines = [] if ends is None or isinstance(ends, BarContainer) else ends.lines[2]
            for bar, (low, high) in zip(bars, ends_or_none(lines, len(bars)), strict=True):
                x = bar.get_x() + bar.get_width() / 2
                yield bars.get_label(), place(axes.xaxis, x), bar.get_y() + bar.get_height(), low, high


def curves_of(axes):
    bands = {to_hex(band.get_facecolor()[0]): band for band in axes.collections if len(band.get_facecolor())}
    for line in axes.lines:
        if len(line.get_xdata()) != len(GRID):
            continue
        ends = {}
        for path in bands[to_hex(line.get_color())].get_paths():
            for x, y in path.vertices:
                ends.setdefault(round(float(x), 9), []).append(float(y))
        for x, mean in zip(*line.get_data(), strict=True):
            if np.isfinite(mean):
                at = ends.get(round(float(x), 9), (-np.inf, np.inf))
                yield line.get_label(), float(x), mean, min(at), max(at)


def levels_of(axes):
    shades = {to_hex(patch.get_facecolor()): patch.get_extents().transformed(axes.transData.inverted())
              for patch in axes.patches if patch.get_alpha() == 0.15}  # fmt: skip
    for line in axes.lines:
        if len(line.get_xdata()) == 2 and not line.get_label().startswith("_"):
            box = shades.get(to_hex(line.get_color()))
            low, high = (box.y0, box.y1) if box else (-np.inf, np.inf)
            yield line.get_label(), "", line.get_ydata()[0], low, high


# what the table says


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(one):
    kind, rows = kind_of(one.name), rows_of(one.csv)
    if kind in SPECIAL:
        return TOLD[kind](rows)
    panels = list(dict.fromkeys(row.get("panel") or row.get("stop") or "" for row in rows))
    found = []
    for row in rows:
        mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
        if np.isfinite(mean):
            number = panels.index(row.get("panel") or row.get("stop") or "")
            if kind == "mechanism":
                number = ["change of attention on the subject (points)", "accuracy"].index(row["series"])
            series = TEXTS[row["series"]][0] if kind == "precision" else row["series"]
            x = words_of(kind, row["x"])
            found.append(Stroke(number, plain(series), number_in(x), mean, low, high))
    return found


def number_in(text):
    try:
        return float(text)
    except ValueError:
        return text


# pictures of another make


def colour_of(artist):
    return to_hex(artist.get_color())


def forest_drawn(figure):
    """A mark with its interval: rung, laboratory with the verdict, claim; and the paper's number wherever it stands."""
    looks = {}
    for text, handle in zip(figure.legends[0].get_texts(), figure.legends[0].legend_handles, strict=True):
        if "/R" in text.get_text():
            name = text.get_text().rpartition(" (")[0]
            looks.setdefault(rung_of(name), {})[name] = colour_of(handle), handle.get_marker()
    rungs, most, found = list(looks), max(map(len, looks.values())), []
    for at, axes in enumerate(figure.axes):
        own = looks[rungs[at % len(rungs)]]
        if at % len(rungs) == 0:
            claim = next(one.get_text().split()[0] for one in axes.texts if one.get_fontweight() == "bold")
        spans_at = {
            float(one.get_ydata()[0]): one.get_xdata() for one in axes.lines if one.get_linewidth() == 1.2
        }
        dots = {float(one.get_ydata()[0]) for one in axes.lines if one.get_markersize() == DOT}
        for line in axes.lines:
            x, y = (np.asarray(values, float) for values in line.get_data())
            if line.get_marker() == STAR:
                found.append(Stroke(at % len(rungs), "the paper", claim, x[0], x[0], x[-1]))
            if line.get_markersize() not in (SIZE, LARGE) or line.get_marker() == "None":
                continue
            name = list(own)[round(y[0] - (most - len(own)) / 2)]
            crossed, hollow = line.get_marker() == "X", line.get_markerfacecolor() == "white"
            assert colour_of(line) == own[name][0]
            assert crossed or line.get_marker() == own[name][1]
            answer = "contradicted" if crossed else "inconclusive" if hollow else "reproduced"
            other = " by another part" if y[0] in dots else ""
            low, high = spans_at.pop(y[0], (x[0], x[0]))  # without an interval
            found.append(Stroke(at % len(rungs), f"{name}: {answer}{other}", claim, x[0], low, high))
        assert not spans_at
    return found


def forest_told(rows):
    shown = [row for row in rows if row["mean"]]
    rungs = sorted({row["rung"] for row in shown})
    assert all(row["rung"] == rung_of(row["lab"]) for row in shown)
    runs = {}
    for row in shown:
        runs.setdefault((row["claim"], row["lab"]), []).append(row["run"])
    several = {lab for (_, lab), found in runs.items() if len(found) > 1}
    found = []
    for row in shown:
        at = rungs.index(row["rung"])
        lane = row["lab"]
        if lane in several:
            lane += f", run {runs[row['claim'], lane].index(row['run']) + 1}"
        other = "" if row["part"] in row["follows_from"].split("; ") else " by another part"
        numbers = (float(row[name] or row["mean"]) for name in ("mean", "low", "high"))
        found.append(Stroke(at, f"{lane}: {row['verdict']}{other}", row["claim"], *numbers))
        if row["paper_low"]:
            low, high = float(row["paper_low"]), float(row["paper_high"])
            found.append(Stroke(at, "the paper", row["claim"], low, low, high))
    return list(dict.fromkeys(found))


def parts_drawn(figure):
    found = []
    for number, axes in enumerate(figure.axes):
        names = [plain(label.get_text()).removesuffix(" (reported)") for label in axes.get_yticklabels()]
        spans_at = {(colour_of(line), round(line.get_ydata()[0], 9)): line.get_xdata()
                    for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 1.0}  # fmt: skip
        for line in axes.lines:
            if len(line.get_xdata()) == 1:
                y = round(float(line.get_ydata()[0]), 9)
                low, high = spans_at.get((colour_of(line), y), (-np.inf, np.inf))  # none is drawn
                part = names[round(y)]
                found.append(Stroke(number, colour_of(line), part, float(line.get_xdata()[0]), low, high))
    return found


def parts_told(rows):
    units = [unit for unit, _ in groupby(row["unit"] for row in rows)]
    labs = list(dict.fromkeys((row["lab"], row["run"]) for row in rows))
    return [
        Stroke(units.index(row["unit"]), to_hex(lane(labs.index((row["lab"], row["run"])))[0]), plain(row["part"]),
               *(float(row[name]) for name in ("mean", "low", "high")))
        for row in rows
    ]  # fmt: skip


def plane_drawn(figure):
    """Corners of what is shaded; in both panels small marks by share, told by their colour, and large ones, whose place
    is across and whose mean is up."""
    corners = next(one for one in figure.axes[0].patches if one.get_label() == "_hull").get_xy()[:-1]
    found = [Stroke(0, "edge", float(x), float(y), 0.0, 0.0) for x, y in corners]
    shares = dict(zip((to_hex(one) for one in COLOURS), ("0%", "25%", "50%", "75%", "100%"), strict=False))
    for panel, axes in enumerate(figure.axes[:2]):
        for line in axes.lines:
            if line.get_marker() in MARKERS:
                share = shares[colour_of(line)]
                large = line.get_markersize() == MEAN
                assert MARKERS.index(line.get_marker()) == list(shares.values()).index(share)
                assert not large or line.get_label() == share
                assert large or line.get_markersize() == CLOUD
                name = f"mean of {share}" if large else share
                found += [Stroke(panel, name, float(x), float(y), 0.0, 0.0)
                          for x, y in zip(*map(np.atleast_1d, line.get_data()), strict=True)]  # fmt: skip
    return found


def plane_told(rows):
    found = []
    for row in rows:
        kind, _, share = row["series"].partition("mix:")
        if row["series"] == "edge of what is shaded":
            found.append(Stroke(0, "edge", float(row["known"]), float(row["unknown"]), 0.0, 0.0))
        elif share:
            name = f"{kind}{float(share):.0%}"
            found.append(Stroke(0, name, float(row["known"]), float(row["unknown"]), 0.0, 0.0))
            found.append(Stroke(1, name, float(row["plane"]), float(row["mean"]), 0.0, 0.0))
    return found


def waterfall_drawn(figure):
    """Bars by their place: heights, and intervals as far as they reach; a part hangs from the bar before it."""
    from matplotlib.container import BarContainer, ErrorbarContainer

    found = []
    for panel, axes in enumerate(figure.axes):
        bars = [one[0] for one in axes.containers if isinstance(one, BarContainer)]
        ends = {  # by the bar that they stand at
            round(one.lines[2][0].get_segments()[0][0][0]): ends_of(one.lines[2][0])[0]
            for one in axes.containers
            if isinstance(one, ErrorbarContainer)
        }
        for i, bar in enumerate(bars):
            low, high = ends.get(i, (-np.inf, np.inf))  # none is drawn
            whole = i in (0, len(bars) - 1)
            from_, height = bar.get_y(), bar.get_height()
            shift = from_ + height if whole else from_
            top = round(from_ + (0 if whole else height), 6)
            found.append(Stroke(panel, NAMES[i], top, height, height + low - shift, height + high - shift))
    return found


def waterfall_told(rows):
    found = []
    for panel, (_, own) in enumerate(groupby(rows, key=lambda row: row["sets"])):
        top, own = 0.0, list(own)
        for i, row in enumerate(own):
            mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
            at = round(top if 0 < i < len(own) - 1 else 0.0, 6)
            found.append(Stroke(panel, row["series"], at, mean, low, high))
            top += mean if i == 0 else -mean
    return found


DRAWN = {"forest": forest_drawn, "parts": parts_drawn, "plane": plane_drawn, "waterfall": waterfall_drawn}
TOLD = {"forest": forest_told, "parts": parts_told, "plane": plane_told, "waterfall": waterfall_told}


def differences(drawn_, told_):
    """What is drawn otherwise than told: nothing if both have the same strokes, each once, to the digits written."""
    key = lambda one: (one.panel, one.series, str(type(one.x)), one.x, one.mean)  # noqa: E731
    one, other = sorted(drawn_, key=key), sorted(told_, key=key)
    if len(one) != len(other):
        odd = {stroke[1:3] for stroke in one} ^ {stroke[1:3] for stroke in other}
        return [f"{len(one)} drawn, {len(other)} told: {sorted(odd, key=str)[:6]}"]
    return [(a, b) for a, b in zip(one, other, strict=True) if not same(a, b)]


def same(one, other):
    numbers = [(a, b) for a, b in zip(one[3:], other[3:], strict=True)]
    if isinstance(one.x, float) and isinstance(other.x, float):
        numbers.append((one.x, other.x))
    elif one.x != other.x:
        return False
    near = all(a == b or abs(a - b) <= 1e-5 * (1 + abs(b)) for a, b in numbers)
    return one.panel == other.panel and one.series == other.series and near
