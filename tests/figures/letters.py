"""Every word of a picture, where it stands on the paper, and how large it is."""

from itertools import combinations

from figures.style import COLUMN_WIDTH, DOTS

TOUCH = 2.0  # pixels that two words may share, or that a box may stand out by: it is larger than its letters


def words(figure):
    """Every text that is drawn, with its box."""
    from matplotlib.text import Text

    figure.set_dpi(DOTS)  # as it is saved
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    idle = undrawn(figure)
    seen = []
    for text in figure.findobj(lambda one: isinstance(one, Text)):
        if text.get_text().strip() and text.get_visible() and text not in idle:
            box = text.get_window_extent(renderer)
            if box.width > 0:
                seen.append((text, box))
    return seen


def undrawn(figure):
    """Labels of ticks beyond the ends of their axis, and everything of an axis that is turned off."""
    idle = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            shown = axes.axison and axis.get_visible()
            drawn = axis._update_ticks() if shown else []
            idle |= {label for tick in ticks if tick not in drawn for label in (tick.label1, tick.label2)}
            if not shown:
                idle |= {axis.label, axis.get_offset_text()}
    return idle


def in_the_way(figure):
    """Words that leave the paper, and those that lie on each other."""
    wrong, paper, seen = [], figure.bbox, words(figure)
    for text, box in seen:
        if (
            box.x0 < paper.x0 - TOUCH
            or box.x1 > paper.x1 + TOUCH
            or box.y0 < paper.y0 - TOUCH
            or box.y1 > paper.y1 + TOUCH
        ):
            wrong.append(("clipped", text.get_text()))
    for (first, a), (other, b) in combinations(seen, 2):
        turned = (
            first.get_rotation() % 90 or other.get_rotation() % 90
        )  # their boxes are larger than they are
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > TOUCH and high > TOUCH and not turned:
            wrong.append(("overlap", first.get_text(), other.get_text()))
    return wrong


def smallest(figure):
    """Points of the smallest letters where the picture is printed as wide as a column."""
    return min(text.get_fontsize() for text, _ in words(figure)) * COLUMN_WIDTH / figure.get_size_inches()[0]
