"""What a norm along the trajectory says of a gradient: its growth, its horizon, and one sentence of advice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from diffmd.adjoints.base import Gradient, Health

_STEEP = 1e4
"""Growth over a run past which a gradient is dominated by its oldest (or newest) steps."""

_SIGNAL = 2.0
"""Standard errors that a component must be away from zero."""


def along_trajectory(
    kind: str, steps: Num[np.ndarray, "points"], norm: Float[np.ndarray, "points"], *, reverse: bool
) -> Health:
    """Health from the norm along the direction of propagation.

    Args:
        kind: ``cotangent`` or ``tangent``.
        steps: distance, in steps, from where propagation began (the end of the run for cotangents), rising.
        norm: the norm there.
        reverse: whether propagation runs back in time, so that the arrays are turned round for the report.
    """
    steps, norm = np.asarray(steps, float), np.asarray(norm, float)
    finite = np.isfinite(norm) & (norm > 0)
    turned = slice(None, None, -1) if reverse else slice(None)
    told = steps.max(initial=0) - steps[turned] if reverse else steps
    if not np.isfinite(norm).all():
        advice = "The gradient left the finite numbers on its way: run fewer steps or a smaller dt."
        return Health(kind, told, norm[turned], None, None, advice)
    if finite.sum() < 3:
        advice = (
            "The state carries no sensitivity: the loss does not depend on the trajectory through these parameters."
            if not finite.any()
            else "Too few steps to judge how the gradient grows."
        )
        return Health(kind, told, norm[turned], None, None, advice)
    s, log = steps[finite], np.log(norm[finite])
    rate = float(np.polyfit(s, log, 1)[0])
    horizon = _horizon(s, log)
    growth = float(np.exp(min(rate * (s[-1] - s[0]), 700)))
    if horizon is not None and growth > _STEEP:
        advice = (
            f"The {kind} grows {growth:.1e}-fold over the run: past about {horizon} steps the gradient is chaos, "
            "not signal; use fewer steps, a thermostat with friction, or an average over many seeds."
        )
    elif horizon is not None:
        advice = f"The {kind} grows {growth:.1f}-fold over the run: still moderate; check it with gradcheck."
    else:
        advice = f"The {kind} stays bounded along the run."
    return Health(kind, told, norm[turned], rate, horizon, advice)


def _horizon(steps: Float[np.ndarray, "points"], log: Float[np.ndarray, "points"]) -> int | None:
    """Steps after which a smoothed ln(norm) only grows, if it then grows tenfold or more."""
    width = max(1, len(log) // 20)
    smooth = np.convolve(np.pad(log, width, mode="edge"), np.ones(2 * width + 1) / (2 * width + 1), mode="valid")
    last_low = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return int(steps[last_low]) if smooth[-1] - smooth[last_low] > np.log(10) else None


def worst(healths: Sequence[Health], systems: Sequence[str] = ()) -> Health:
    """The one that grows fastest; of several systems, if they are named, it says whose it is."""
    rates = [-np.inf if health.growth_rate is None else health.growth_rate for health in healths]
    place = int(np.argmax(rates))
    return healths[place].of(systems[place] if len(systems) > 1 else None)


def noise(result: Gradient) -> str | None:
    """A sentence where a gradient is noise rather than signal, None where it is signal.

    With samples (replicas, blocks): noise if no component is larger than twice its standard error. Else: chaos, if the
    norm along the trajectory ends in a growth that outweighs all the rest.
    """
    if result.standard_error is not None:
        ratios = [_largest_ratio(result.gradients[path], error) for path, error in result.standard_error.items()]
        best = max(ratios, default=np.inf)
        if best >= _SIGNAL:
            return None
        return (
            f"no component of the gradient is larger than {_SIGNAL:g} times its standard error (the clearest is "
            f"{best:.2g} times): this is noise; use more replicas or frames, or a shorter or truncated run"
        )
    health = result.health
    if health.growth_rate is None or health.horizon is None or not len(health.steps):
        return None
    growth = health.growth_rate * float(np.ptp(health.steps))
    return health.advice if growth > np.log(_STEEP) else None


def _largest_ratio(gradient: np.ndarray, error: np.ndarray) -> float:
    size, error = np.abs(np.asarray(gradient, float)).ravel(), np.asarray(error, float).ravel()
    finite = error > 0
    # What has no error at all is not noise: exact zeros, and single numbers that every replica agrees on.
    return float(np.max(size[finite] / error[finite])) if finite.any() else np.inf
