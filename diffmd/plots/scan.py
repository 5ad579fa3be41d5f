"""The gradient and the loss along a scanned parameter."""

from __future__ import annotations

import numpy as np

from diffmd.io.results import Scan
from diffmd.plots.flat import columns, is_angle, shown
from diffmd.plots.picture import Picture
from diffmd.plots.style import CYCLE, GREY, ORANGE, axis_label, mark_lines, panels, styled, zero_line
from diffmd.units import Units

_MOST_LINES = 8


def draw_scan(scan: Scan, units: Units, dimension: str, marks: tuple[float, ...]) -> Picture:
    """The gradient above, the loss below.

    Args:
        scan: the points; where the run failed, loss and gradient are nan.
        units: of the run.
        dimension: of the scanned parameter; angles are shown in degrees.
        marks: values to mark, as the axis shows them.
    """
    x = shown(scan.value, dimension)
    gradients = columns("gradient", {"": scan.gradient})
    failed = ~np.isfinite(scan.loss)
    with styled():
        figure, (top, bottom) = panels(2, 1, height=2.5)
        bottom.sharex(top)
        top.tick_params(labelbottom=False)
        for axes in (top, bottom):
            mark_lines(axes, marks)
            if failed.any():
                axes.plot(
                    x[failed],
                    np.zeros(failed.sum()),
                    linestyle="none",
                    marker="x",
                    color=GREY,
                    label="failed",
                    transform=axes.get_xaxis_transform(),
                    clip_on=False,
                )
        zero_line(top)
        for index, (name, gradient) in enumerate(list(gradients.items())[:_MOST_LINES]):
            label = name if len(gradients) > 1 else "_"
            top.plot(x, gradient, color=CYCLE[index], marker="o", markersize=3.5, label=label)
        bottom.plot(x, scan.loss, color=ORANGE, marker="o", markersize=3.5)
        top.set_ylabel("d loss / d value" + (" (per rad)" if is_angle(dimension) else ""))
        top.set_title(f"Gradient along {scan.path}")
        bottom.set_ylabel("loss")
        bottom.set_xlabel(f"{scan.path} (degrees)" if is_angle(dimension) else axis_label(scan.path, units, dimension))
        if is_angle(dimension) and np.ptp(x) >= 90:
            bottom.set_xticks(np.arange(30 * np.floor(x.min() / 30), x.max() + 30, 30))
            bottom.set_xlim(x.min() - 0.02 * np.ptp(x), x.max() + 0.02 * np.ptp(x))
        if top.get_legend_handles_labels()[1]:
            top.legend()
    table = {axis_label("value", units, dimension): scan.value}
    if is_angle(dimension):
        table["degrees"] = x
    table |= {"loss": scan.loss, **gradients}
    caption = (
        f"Gradient of the loss (above) and the loss (below) at {len(x)} values of {scan.path} "
        f"from {x.min():g} to {x.max():g}{' degrees' if is_angle(dimension) else ''}."
    )
    crossings = _minima(x, next(iter(gradients.values())))
    if len(gradients) == 1 and 0 < len(crossings) <= 3:
        caption += f" It turns from negative to positive at {' and '.join(f'{c:.4g}' for c in crossings)}."
    if failed.any():
        caption += f" {failed.sum()} of the runs failed (crosses)."
    return Picture("scan", figure, list(table), list(zip(*table.values(), strict=True)), caption)


def _minima(x: np.ndarray, gradient: np.ndarray) -> list[float]:
    turns = np.flatnonzero((gradient[:-1] < 0) & (gradient[1:] > 0))
    return [float((x[i] + x[i + 1]) / 2) for i in turns]
