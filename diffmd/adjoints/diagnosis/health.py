"""What a norm along the trajectory says of a gradient: its growth, its horizon, and one sentence of advice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.reverse.horizon import Back, calm_horizon, growing_horizon, outgrown

_STEEP = 1e4
"""Growth over a run past which a gradient is dominated by its oldest (or newest) steps."""

_BOUNDED = 10.0
"""Growth over a run up to which it is none to speak of."""

_CHANCE = 0.05
"""How often noise alone may pass for signal."""


def along_trajectory(
    kind: str,
    steps: Num[np.ndarray, "points"],
    norm: Float[np.ndarray, "points"],
    *,
    reverse: bool,
    truncate: int | None = None,
    back: Back | None = None,
) -> Health:
    """Health from the norm along the direction of propagation.

    The horizon is the number of steps that a gradient may be truncated to. Where the norm grows by less than 10,000 it
    is the fewest steps back that give the gradient (`calm_horizon`); where it grows by more, the most that give
    something else than growth (`growing_horizon`). Without `back` it is None in the first case, and in the second how
    many steps it takes until the norm has outgrown its median tenfold.

    Args:
        kind: ``cotangent`` or ``tangent``.
        steps: distance, in steps, from where propagation began (the end of the run for cotangents), rising.
        norm: the norm there.
        reverse: whether propagation runs back in time, so that the arrays are turned round for the report.
        truncate: the derivative was cut every so many steps, counted from the end: the last stretch is judged.
        back: of cotangents, the gradient that the last so many steps give.
    """
    steps, norm = np.asarray(steps, float), np.asarray(norm, float)
    turned = slice(None, None, -1) if reverse else slice(None)
    told = steps.max(initial=0) - steps[turned] if reverse else steps
    if not np.isfinite(norm).all():
        advice = (
            "The gradient became infinite, or no number at all, on its way through the run: run fewer steps, or take "
            "a smaller dynamics.integrator.dt."
        )
        return Health(kind, told, norm[turned], None, None, advice)
    if truncate is None or truncate > steps.max(initial=0):
        return Health(kind, told, norm[turned], *_judged(steps, norm, back, "along the run"))
    last = steps < truncate if reverse else steps > steps.max() - truncate
    own = None if back is None else back.within(truncate)
    rate, horizon, advice = _judged(steps[last], norm[last], own, "over these steps")
    advice = f"Truncated: no influence reaches over more than {truncate} steps. {advice}"
    return Health(kind, told, norm[turned], rate, horizon, advice)


def _judged(
    steps: Float[np.ndarray, "points"], norm: Float[np.ndarray, "points"], back: Back | None, where: str
) -> tuple[float | None, int | None, str]:
    """Growth rate, horizon, advice."""
    positive = norm > 0
    if not positive.any():
        advice = "These parameters do not change the trajectory, as far as the loss can see."
        return None, None, advice
    if positive.sum() < 3:
        return None, None, "Too few steps to judge how the gradient grows."
    s, log = steps[positive], np.log(norm[positive])
    rate = float(np.polyfit(s, log, 1)[0])
    growth = float(np.exp(min(rate * (s[-1] - s[0]), 700)))
    if growth > _STEEP:
        horizon = int(s[outgrown(norm[positive])]) if back is None else growing_horizon(back)
        advice = (
            f"The gradient grows {growth:.1e}-fold {where}: past about {horizon} steps it is chaos, and says nothing "
            "of the parameters."
        )
        return rate, horizon, advice
    grown = f"grows {growth:.1f}-fold {where}, still moderate" if growth > _BOUNDED else f"stays bounded {where}"
    needed = None if back is None else calm_horizon(back)
    if back is None or needed is None:
        gives = ""
    elif needed < back.steps[-1]:
        gives = f"; the last {needed} steps give the gradient to within 10 %"
    else:
        gives = "; no fewer steps give the gradient to within 10 %"
    return rate, needed, f"The gradient {grown}{gives}."


@dataclasses.dataclass(frozen=True)
class Means:
    """What a config could do about a gradient that explodes, and does not do yet.

    Attributes:
        reweight: its losses are averages over an ensemble that reweighting can differentiate.
        truncate, replicas: it has the option, which is not set.
        truncated: it is set.
        friction: a heat bath with friction could damp the motion; there is none.
    """

    reweight: bool
    truncate: bool
    truncated: bool
    replicas: bool
    friction: bool


def explodes(health: Health) -> bool:
    """Whether growth along the run outweighs all the rest of a gradient."""
    if health.growth_rate is None or health.horizon is None or not len(health.steps):
        return False
    return bool(health.growth_rate * float(np.ptp(health.steps)) > np.log(_STEEP))


def remedied(health: Health, means: Means) -> Health:
    """A gradient's that explodes, with what to do about it at the end of its sentence."""
    chosen = [
        (
            means.reweight,
            "since the loss is an average over equilibrium, take `--method reweight` (gradient: {method: reweight}), "
            "which needs no way back through the run",
        ),
        (means.truncate, f"write truncate: {health.horizon} under gradient"),
        (means.truncated, f"lower gradient.truncate to {health.horizon}"),
        (means.replicas, "average over seeds (gradient: {replicas: 16}), which tells the noise"),
        (means.friction, "take a thermostat with friction (dynamics.integrator: {kind: langevin, ...})"),
        (True, f"run fewer dynamics.steps (about {health.horizon})"),
    ]
    first, *others = [text for fits, text in chosen if fits]
    told = f"{first[0].upper()}{first[1:]}{'; or ' if others else ''}{'; or '.join(others)}."
    return dataclasses.replace(health, advice=f"{health.advice} {told}")


def worst(healths: Sequence[Health], systems: Sequence[str] = ()) -> Health:
    """The one that grows fastest; of several systems, if they are named, it says whose it is."""
    rates = [-np.inf if health.growth_rate is None else health.growth_rate for health in healths]
    place = int(np.argmax(rates))
    return healths[place].of(systems[place] if len(systems) > 1 else None)


def noise(result: Gradient) -> str | None:
    """A sentence where a gradient is noise rather than signal, None where it is signal.

    With samples (replicas, frames): noise if no component is further from zero than the largest of so many components
    comes by chance once in 20 times (Student's t of each, with Bonferroni's correction). Else: chaos, if the norm along
    the trajectory ends in a growth that outweighs all the rest.
    """
    if result.standard_error is not None and result.samples is not None:
        ratios = np.concatenate([_ratios(result.gradients[path], e) for path, e in result.standard_error.items()])
        if not len(ratios):
            return None
        best, needed = float(np.max(ratios)), _chance_ratio(len(ratios), result.samples)
        if best >= needed:
            return None
        reweighted = result.health.kind == "effective_samples"
        more = "more steps" if reweighted else "more replicas, or a shorter or truncated run"
        clearest = "the gradient" if len(ratios) == 1 else f"the clearest of {len(ratios)} components of the gradient"
        return (
            f"{clearest} is {best:.2g} times its standard error, and chance alone makes {needed:.2g}: this is noise. "
            f"Either the loss is as small as so many samples can tell, or it takes {more}"
        )
    return result.health.advice if explodes(result.health) else None


def _ratios(gradient: np.ndarray, error: np.ndarray) -> Float[np.ndarray, "components"]:
    """Size over standard error of what has one: exact zeros, and what every sample agrees on, are no noise."""
    size, error = np.abs(np.asarray(gradient, float)).ravel(), np.asarray(error, float).ravel()
    return size[error > 0] / error[error > 0]


def _chance_ratio(components: int, samples: int) -> float:
    """What the largest of so many |t| exceeds once in 1 / `_CHANCE` times at most, all means being zero."""
    from scipy.special import stdtrit

    return float(stdtrit(samples - 1, 1 - _CHANCE / (2 * components)))
