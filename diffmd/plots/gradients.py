"""The gradient of one run: how large each component is, and what its method tells of how good it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from diffmd.io.results import Gradients
from diffmd.plots.picture import Picture
from diffmd.plots.style import BLUE, GREY, ORANGE, decades_only, integer_ticks, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 24


@dataclasses.dataclass(frozen=True)
class _Curve:
    """How a health's norm is drawn.

    Attributes:
        title, x, y: of the panel.
        said: what it is, for the caption.
        log_x: whether the abscissae span decades.
    """

    title: str
    x: str
    y: str
    said: str
    log_x: bool = False


_CURVES: Mapping[str, _Curve] = {
    "cotangent": _Curve(
        "Along the trajectory",
        "step",
        "|d loss / d state|",
        "size of the loss's derivative by positions and velocities, along the trajectory",
    ),
    "tangent": _Curve(
        "Along the trajectory",
        "step",
        "|d state / d parameters|",
        "size of the derivative of positions and velocities by the parameters, along the trajectory",
    ),
    "plateau": _Curve(
        "By step size",
        "step size h",
        "|difference - plateau|",
        "how far the difference quotient of the least certain number is from its plateau, by step size",
        log_x=True,
    ),
    "residual": _Curve(
        "Newton steps at the end of the run",
        "Newton step",
        "largest force",
        "largest force that is left after each Newton step at the end of the run",
    ),
    "effective_samples": _Curve(
        "Stretch by stretch",
        "step",
        "gradient of each stretch / whole",
        "gradient of each stretch of frames, as a part of the whole, along the trajectory",
    ),
}


def draw_gradients(result: Gradients, units: Mapping[str, str] = MappingProxyType({})) -> Picture:
    """A bar a parameter (the Euclidean norm of an array), and, where it is there, the curve of the method's health.

    Args:
        result: the gradient.
        units: path -> unit of the parameters that have one, which the derivatives are per: radians of angles.
    """
    sizes = {path: float(np.linalg.norm(np.asarray(g, np.float64))) for path, g in result.gradients.items()}
    steps, norm = np.asarray(result.health.get("step", [])), np.asarray(result.health.get("norm", []))
    drawable = len(steps) > 1 and len(steps) == len(norm) and bool(np.any(norm[np.isfinite(norm)] > 0))
    curve = _CURVES.get(str(result.health.get("kind", ""))) if drawable else None
    shown = sorted(sizes, key=lambda path: -sizes[path])[:_MOST_BARS]
    with styled():
        figure, axes = panels(
            1 if curve is None else 2, 1, height=max(1.6, 0.9 + 0.3 * len(shown)) if curve is None else 2.8
        )
        _bars(axes[0], result, sizes, shown, units)
        if curve is not None:
            _along(axes[1], steps, norm, result, curve)
    rows = [[path, units.get(path, ""), *_moments(result, path)] for path in sizes]
    caption = f"Gradient of the loss ({result.loss:.5g}) with respect to {len(sizes)} parameters. "
    caption += "Blue: positive; orange: negative; grey: the norm of an array, with its size in brackets."
    if len(shown) < len(sizes):
        caption += f" The {len(shown)} largest are drawn."
    if curve is not None:
        caption += f" Below: {curve.said}. {result.health.get('advice', '')}".rstrip()
    header = ["path", "per", "size", "gradient", "norm", "standard_error", "sign_agreement"]
    return Picture("gradients", figure, header, rows, caption)


def _moments(result: Gradients, path: str) -> list[object]:
    g = np.asarray(result.gradients[path], np.float64)
    error = result.standard_error.get(path)
    number = float(g.reshape(-1)[0]) if g.size == 1 else ""
    spread = "" if error is None else float(np.linalg.norm(np.asarray(error, np.float64)))
    agree = result.sign_agreement.get(path)
    # Of an array: the mean over its numbers.
    signs = "" if agree is None or not np.size(agree) else float(np.mean(np.asarray(agree, np.float64)))
    return [g.size, number, float(np.linalg.norm(g)), spread, signs]


def _bars(axes: Axes, result: Gradients, sizes: dict[str, float], shown: list[str], units: Mapping[str, str]) -> None:
    positive = [sizes[path] for path in shown if 0 < sizes[path] < np.inf]
    # Zero has no place on a log axis: an empty bar, and the number beside it.
    high = 8 * max(positive, default=1.0)
    # Two decades at least: then two of their ticks are there to read.
    low = min(0.3 * min(positive, default=1.0), high / 100)
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
        size_text = "" if g.size == 1 else f" ({g.size})"
        labels.append(f"{path}{size_text}" + (f"\nper {units[path]}" if path in units else ""))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades_only(axes)
    axes.set_yticks(range(len(shown)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("|d loss / d value|")
    axes.set_title("Gradient of the loss")


def _along(axes: Axes, steps: np.ndarray, norm: np.ndarray, result: Gradients, curve: _Curve) -> None:
    finite = np.isfinite(norm) & (norm > 0)
    axes.plot(steps[finite], norm[finite], color=BLUE, marker="o" if len(steps) < 30 else "")
    horizon, kind = result.health.get("horizon"), result.health.get("kind")
    if horizon is not None and kind in ("cotangent", "tangent"):
        at = max(float(steps.max()) - horizon, 0.0) if kind == "cotangent" else float(horizon)
        axes.axvline(at, color=GREY, linestyle="--")
        axes.text(at, 0.95, " horizon", transform=axes.get_xaxis_transform(), fontsize=8, va="top")
    axes.set_yscale("log")
    if curve.log_x:
        axes.set_xscale("log")
        decades_only(axes)
    elif len(steps) < 30:
        integer_ticks(axes)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.set_title(curve.title)
