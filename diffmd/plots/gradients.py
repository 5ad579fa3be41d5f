"""The gradient of one run: how large each component is, and its norm along the trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffmd.io.results import Gradients
from diffmd.plots.picture import Picture
from diffmd.plots.style import BLUE, GREY, ORANGE, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 24


def draw_gradients(result: Gradients) -> Picture:
    """A bar a parameter (the Euclidean norm of an array), and, where it is there, the norm along the trajectory."""
    sizes = {path: float(np.linalg.norm(np.asarray(g, np.float64))) for path, g in result.gradients.items()}
    steps, norm = np.asarray(result.health.get("step", [])), np.asarray(result.health.get("norm", []))
    along = len(steps) > 1 and len(steps) == len(norm) and bool(np.any(norm[np.isfinite(norm)] > 0))
    shown = sorted(sizes, key=lambda path: -sizes[path])[:_MOST_BARS]
    with styled():
        figure, axes = panels(1 + along, 1, height=max(1.6, 0.9 + 0.3 * len(shown)) if not along else 2.8)
        _bars(axes[0], result, sizes, shown)
        if along:
            _along(axes[1], steps, norm, result)
    rows = [[path, *_moments(result, path)] for path in sizes]
    caption = f"Gradient of the loss ({result.loss:.5g}) with respect to {len(sizes)} parameters. "
    caption += "Blue: positive; orange: negative; grey: the norm of an array, with its size in brackets."
    if len(shown) < len(sizes):
        caption += f" The {len(shown)} largest are drawn."
    if along:
        caption += f" Below: {_drawn(result)} along the trajectory. {result.health.get('advice', '')}".rstrip()
    header = ["path", "size", "gradient", "norm", "standard_error"]
    return Picture("gradients", figure, header, rows, caption)


def _moments(result: Gradients, path: str) -> list[object]:
    g = np.asarray(result.gradients[path], np.float64)
    error = result.standard_error.get(path)
    number = float(g.reshape(-1)[0]) if g.size == 1 else ""
    spread = "" if error is None else float(np.linalg.norm(np.asarray(error, np.float64)))
    return [g.size, number, float(np.linalg.norm(g)), spread]


def _bars(axes: Axes, result: Gradients, sizes: dict[str, float], shown: list[str]) -> None:
    positive = [sizes[path] for path in shown if 0 < sizes[path] < np.inf]
    # Zero has no place on a log axis: an empty bar, and the number beside it.
    low = 0.3 * min(positive) if positive else 0.1
    labels = []
    for row, path in enumerate(shown):
        g = np.asarray(result.gradients[path]).reshape(-1)
        color = GREY if g.size > 1 else BLUE if g[0] >= 0 else ORANGE
        size = sizes[path] if np.isfinite(sizes[path]) else 0.0
        axes.barh(row, max(size, low) - low, left=low, color=color, height=0.62)
        error = result.standard_error.get(path)
        text = f"{g[0]:+.3g}" if g.size == 1 else f"{sizes[path]:.3g}"
        text = "0" if sizes[path] == 0 else text
        if error is not None:
            text += f" ± {np.linalg.norm(np.asarray(error, np.float64)):.1g}"
        axes.annotate(text, (max(size, low), row), (4, 0), textcoords="offset points", va="center", fontsize=9)
        labels.append(path if g.size == 1 else f"{path} ({g.size})")
    axes.set_xscale("log")
    axes.set_xlim(low, 8 * max(positive, default=1.0))
    axes.set_yticks(range(len(shown)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("|d loss / d value|")
    axes.set_title("Gradient of the loss")


def _along(axes: Axes, steps: np.ndarray, norm: np.ndarray, result: Gradients) -> None:
    finite = np.isfinite(norm) & (norm > 0)
    axes.plot(steps[finite], norm[finite], color=BLUE)
    horizon, kind = result.health.get("horizon"), result.health.get("kind")
    if horizon is not None and kind in ("cotangent", "tangent"):
        at = float(steps.max()) - horizon if kind == "cotangent" else float(horizon)
        axes.axvline(at, color=GREY, linestyle="--")
        axes.text(at, 0.95, " horizon", transform=axes.get_xaxis_transform(), fontsize=8, va="top")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel(_drawn(result))
    axes.set_title("Along the trajectory")


def _drawn(result: Gradients) -> str:
    """What the curve along the trajectory is."""
    kind = str(result.health.get("kind", "cotangent"))
    return "gradient of each block / whole" if kind == "effective_samples" else f"norm of the {kind}"
