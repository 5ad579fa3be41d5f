"""Training by epoch: the loss, the parameters and their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from diffmd.io.by_path import MANY
from diffmd.io.training import Training
from diffmd.paths import below, last, parent, split
from diffmd.plots.flat import columns, shown
from diffmd.plots.picture import Picture
from diffmd.plots.style import BLUE, CYCLE, GREY, ORANGE, axis_label, integer_ticks, panels, styled, zero_line
from diffmd.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS, _MOST_LINES, _NAMED_LINES, _NAMED_PATHS = 5, 40, 6, 16


def draw_loss(training: Training) -> Picture:
    """The loss by epoch, its best epoch marked; the weighted terms where there are several."""
    finite = np.where(np.isfinite(training.loss), training.loss, np.inf)
    best = int(np.argmin(finite))
    with styled():
        figure, (axes,) = panels()
        if training.terms.shape[1] > 1:
            for index, term in enumerate(training.terms.T):
                color = CYCLE[(index + 2) % len(CYCLE)]
                axes.plot(training.epoch, term, color=color, linewidth=1.2, label=f"term loss.{index}")
        axes.plot(training.epoch, training.loss, color=BLUE, marker="o", label="loss")
        axes.plot(
            training.epoch[best],
            training.loss[best],
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgewidth=2,
            color=ORANGE,
            label=f"best: {training.loss[best]:.3g} at epoch {training.epoch[best]}",
        )
        if _spans_decades(training.loss):
            axes.set_yscale("log")
        elif np.all(finite >= 0):
            axes.set_ylim(bottom=0)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.set_title("Loss by epoch")
        integer_ticks(axes)
        axes.legend()
    terms = {f"loss.{index}": term for index, term in enumerate(training.terms.T)}
    table = {"epoch": training.epoch, "loss": training.loss, **terms, "gradient_norm": training.gradient_norm}
    caption = (
        f"Loss by epoch, before each update: {training.loss[0]:.4g} at epoch {training.epoch[0]}, best "
        f"{training.loss[best]:.4g} at epoch {training.epoch[best]}, last {training.loss[-1]:.4g}."
    )
    return Picture("loss", figure, list(table), list(zip(*table.values(), strict=True)), caption)


def draw_parameters(training: Training, units: Units, dimensions: Mapping[str, str]) -> Picture:
    """Each parameter by epoch beside its gradient; a network is one panel of all its weights.

    Args:
        training: the record.
        units: of the run.
        dimensions: path -> dimension of a parameter, such as ``length``; angles are shown in degrees.
    """
    groups = _groups(list(training.parameters))
    drawn = dict(list(groups.items())[:_MOST_ROWS])
    with styled():
        figure, axes = panels(len(drawn), 2, width=8.6, height=2.9 if len(drawn) == 1 else 2.5)
        for row, (group, paths) in enumerate(drawn.items()):
            dimension = dimensions.get(paths[0], "1")
            values = {path: shown(training.parameters[path], dimension) for path in paths}
            gradients = {path: training.gradients[path] for path in paths}
            errors = {path: training.standard_error[path] for path in paths if path in training.standard_error}
            left, right = axes[2 * row], axes[2 * row + 1]
            _lines(left, training.epoch, values, group, legend=False)
            zero_line(right)
            _lines(right, training.epoch, gradients, group, legend=True, errors=errors)
            left.set_title(group)
            left.set_ylabel("value (degrees)" if dimension == "angle" else axis_label("value", units, dimension))
            right.set_ylabel("d loss / d value" + (" (per rad)" if dimension == "angle" else ""))
            if row == 0:
                right.set_title("gradient")
        for panel in axes[-2:]:
            panel.set_xlabel("epoch")
    symbols = {path: units.symbol(dimension) for path, dimension in dimensions.items()}
    named = {path: symbol for path, symbol in symbols.items() if symbol is not None}
    table = {
        "epoch": training.epoch,
        **columns("", training.parameters, named),
        **columns("gradient.", training.gradients),
        **columns("standard_error.", training.standard_error),
    }
    banded = any(np.isfinite(error).any() for error in training.standard_error.values())
    bands = " Bands: its standard error, up and down." if banded else ""
    left_out = "" if len(drawn) == len(groups) else f" {len(groups) - len(drawn)} more are in the table only."
    caption = (
        f"Learned parameters by epoch, before each update, and the gradient of the loss: {', '.join(drawn)}."
        f"{bands}{left_out}"
    )
    return Picture("parameters", figure, list(table), list(zip(*table.values(), strict=True)), caption)


def _groups(paths: list[str]) -> dict[str, list[str]]:
    # The leaves of a network (potentials.nn.weights.0/weight) belong into one panel, and the many entries of a field.
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(parent(path), []).append(path)
    together: dict[str, list[str]] = {}
    for name, members in groups.items():
        whole = len(members) > MANY or _is_network(name)
        together |= {name: members} if whole else {path: [path] for path in members}
    return together


def _is_network(path: str) -> bool:
    return bool(path) and split(path)[-3:-2] == ("potentials",) and last(path) == "weights"


def _short(path: str, group: str) -> str:
    return below(path, group) or ""


def _lines(
    axes: Axes,
    epoch: np.ndarray,
    values: Mapping[str, np.ndarray],
    group: str,
    legend: bool,
    errors: Mapping[str, np.ndarray] | None = None,
) -> None:
    by_path = {path: array.reshape(len(epoch), -1) for path, array in values.items()}
    count = sum(array.shape[1] for array in by_path.values())
    named = 1 < count <= _NAMED_LINES
    for index, (path, array) in enumerate(by_path.items()):
        most = max(1, _MOST_LINES // len(by_path))
        chosen = np.unique(np.linspace(0, array.shape[1] - 1, min(most, array.shape[1])).astype(int))
        for place, column in enumerate(chosen):
            color = CYCLE[(place if named and len(by_path) == 1 else index) % len(CYCLE)]
            label = f"{_short(path, group)}{f' {column}' if array.shape[1] > 1 else ''}".strip()
            if not named:
                label = _short(path, group) if place == 0 and 1 < len(by_path) <= _NAMED_PATHS else ""
            style = {"marker": "o", "markersize": 3.5} if count <= _NAMED_LINES else {"linewidth": 1.2, "alpha": 0.8}
            axes.plot(epoch, array[:, column], color=color, label=label or "_", **style)
            # Bands of many lines would hide each other.
            if errors and path in errors and count <= _NAMED_LINES:
                line, error = array[:, column], errors[path].reshape(len(epoch), -1)[:, column]
                axes.fill_between(epoch, line - error, line + error, color=color, alpha=0.2, linewidth=0)
    integer_ticks(axes)
    if legend and axes.get_legend_handles_labels()[1]:
        # Beside the panel: the curves fill all of it.
        axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.03), handlelength=1.2)
    if not np.isfinite(np.concatenate([array.ravel() for array in by_path.values()])).any():
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=GREY)


def _spans_decades(loss: np.ndarray) -> bool:
    finite = loss[np.isfinite(loss)]
    return bool(len(finite) > 1 and finite.min() > 0 and finite.max() > 20 * finite.min())
