"""Pictures of a gradient: each method's health is drawn for what it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from diffmd.io.results import Gradients
from diffmd.plots.gradients import draw_gradients

SIGMA, WEIGHTS = "potentials.lj.sigma", "potentials.nn.weights.0/weight"
STEP_SIZES = 1e-2 / np.sqrt(10) ** np.arange(12)


def result(kind: str, steps: np.ndarray, **more: object) -> Gradients:
    gradients = {SIGMA: np.array(0.4), WEIGHTS: np.array([0.5, -0.6])}
    errors = {SIGMA: np.array(0.1), WEIGHTS: np.array([0.1, 0.2])}
    signs = {SIGMA: np.array(0.75), WEIGHTS: np.array([1.0, 0.5])}
    health = {"kind": kind, "step": steps, "norm": np.exp(-steps / steps.max()), "advice": "Fine.", **more}
    return Gradients(1.0, np.array([1.0]), gradients, gradients, errors, signs, health)


@pytest.mark.parametrize(
    ("kind", "steps", "x", "y", "said", "scale"),
    [
        ("cotangent", np.arange(100.0), "step", "|d loss / d state|", "by positions and velocities, along", "linear"),
        ("tangent", np.arange(2, 101, 2.0), "step", "|d state / d parameters|", "by the parameters, along", "linear"),
        ("plateau", STEP_SIZES, "step size h", "|difference - plateau|", "from its plateau, by step size", "log"),
        ("residual", np.arange(4.0), "Newton step", "largest force", "each Newton step", "linear"),
        (
            "effective_samples",
            np.arange(8.0),
            "step",
            "gradient of each stretch / whole",
            "stretch of frames",
            "linear",
        ),
    ],
)
def test_the_curve_is_said_to_be_what_it_is(kind, steps, x, y, said, scale):
    picture = draw_gradients(result(kind, steps))
    _, axes = picture.figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == (x, y, scale)
    assert said in picture.caption
    assert ("along the trajectory" in picture.caption) == (kind not in ("plateau", "residual"))
    assert (axes.get_title(loc="left") == "Along the trajectory") == (kind in ("cotangent", "tangent"))


def test_the_horizon_is_marked_from_the_end():
    axes = draw_gradients(result("cotangent", np.arange(100.0), horizon=30)).figure.axes[1]
    assert axes.lines[-1].get_xdata()[0] == 69


def test_agreement_of_signs_is_in_the_table():
    picture = draw_gradients(result("tangent", np.arange(10.0)))
    rows = [dict(zip(picture.header, row, strict=True)) for row in picture.rows]
    assert [row["sign_agreement"] for row in rows] == [0.75, 0.75]
    assert rows[0]["standard_error"] == pytest.approx(0.1)
    alone = draw_gradients(Gradients(1.0, np.ones(1), {SIGMA: np.array(2.0)}, {SIGMA: np.array(2.0)}))
    assert dict(zip(alone.header, alone.rows[0], strict=True))["sign_agreement"] == ""


def test_numbers_under_the_bars_do_not_overlap():
    figure = draw_gradients(result("plateau", STEP_SIZES)).figure
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels(which="both") if label.get_text()]
        ends = sorted((box.x0, box.x1) for box in boxes)
        assert all(left[1] <= right[0] for left, right in itertools.pairwise(ends))
