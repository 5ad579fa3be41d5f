"""Losses: observable -> frames -> reduce -> compare with a target -> weighted sum.

A term measures an observable at frames f of a run of n steps, giving rows x_f, and is

    weight * mean over elements of compare(reduce(x), target)

========  ========================================    ========  ===================================================
reduce    y                                           compare   c(y, t)
========  ========================================    ========  ===================================================
mean      (1/F) sum_f x_f                             absolute  |y - t|
none      every x_f (each compared, then averaged)    squared   (y - t)^2
variance  (1/F) sum_f (x_f - mean)^2                  relative  ((y - t) / t)^2
max       max over f of x_f, by element               huber     (y - t)^2 / 2 up to |y - t| = 1, then |y - t| - 1/2
                                                      none      y
========  ========================================    ========  ===================================================

The loss is the sum of the terms. Everything here is a pure function of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import Observable

Reduce = Literal["mean", "none", "variance", "max"]
Compare = Literal["absolute", "squared", "relative", "huber", "none"]


@dataclasses.dataclass(frozen=True)
class Frames:
    """Steps start, start + every, ... up to and including stop. A stop of None is the last step of the run; a start
    of None is that step, too (only the end)."""

    start: int | None = None
    stop: int | None = None
    every: int = 1


END = Frames()
ALL = Frames(0)


@dataclasses.dataclass(frozen=True, eq=False)
class LossTerm:
    """One term of a loss; `create` checks that its parts fit.

    Attributes:
        name: its path in the config, ``loss.0``.
        observable: what is measured.
        frames: when.
        reduce, compare: as above.
        target: None with compare ``none``, else a number or an array that broadcasts with the observable's value.
        weight: factor of the term.
    """

    name: str
    observable: Observable
    frames: Frames
    reduce: Reduce
    compare: Compare
    target: np.ndarray | None
    weight: float

    @staticmethod
    def create(
        name: str,
        observable: Observable,
        *,
        frames: Frames = END,
        reduce: Reduce = "mean",
        compare: Compare = "squared",
        target: float | Sequence[float] | np.ndarray | None = None,
        curve: tuple[np.ndarray, np.ndarray] | None = None,
        weight: float = 1.0,
    ) -> LossTerm:
        """A checked term.

        Args:
            target: a number or an array, in the observable's unit.
            curve: instead of `target`, abscissae and values of a curve, interpolated linearly onto the observable's
                grid.

        Raises:
            ConfigError: if there is no target to compare with, or one that nothing is compared with; if a relative
                comparison has a target of zero; if a curve does not cover the grid.
        """
        value = _on_grid(observable, *curve, f"{name}.target") if curve is not None else target
        if compare == "none":
            if value is not None:
                raise ConfigError(
                    "compare: none takes no target; leave it out, or choose a comparison", f"{name}.target"
                )
            return LossTerm(name, observable, frames, reduce, compare, None, weight)
        if value is None:
            raise ConfigError(f"compare: {compare} needs a target", f"{name}.target")
        array = np.asarray(value, dtype=float)
        if compare == "relative" and np.any(array == 0):
            raise ConfigError("a relative comparison divides by the target, which is zero somewhere", f"{name}.target")
        if observable.grid is not None and array.ndim > 0 and array.shape != observable.grid.shape:
            message = f"the target has shape {array.shape}, the observable {observable.grid.shape}"
            raise ConfigError(message, f"{name}.target")
        return LossTerm(name, observable, frames, reduce, compare, array, weight)


def _on_grid(observable: Observable, x: np.ndarray, y: np.ndarray, path: str) -> np.ndarray:
    if observable.grid is None:
        raise ConfigError("this observable is no curve, so its target cannot be one", path)
    x, y, grid = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(observable.grid)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ConfigError("a curve takes two columns of equal length, with at least two rows", path)
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise ConfigError("the curve has values that are not finite numbers", path)
    if np.any(np.diff(x) <= 0):
        raise ConfigError("the curve's first column must increase from row to row", path)
    slack = 1e-6 * (x[-1] - x[0])
    if grid[0] < x[0] - slack or grid[-1] > x[-1] + slack:
        message = f"the curve covers {x[0]:g} to {x[-1]:g}, the observable's grid {grid[0]:g} to {grid[-1]:g}"
        raise ConfigError(message, path)
    return np.interp(grid, x, y)


def frame_steps(term: LossTerm, n_steps: int) -> Int[np.ndarray, "frames"]:
    """The steps at which a term is measured in a run of `n_steps` (step 0 is the start).

    Raises:
        ConfigError: if the schedule reaches past the last step or holds no step.
    """
    frames, path = term.frames, f"{term.name}.frames"
    stop = n_steps if frames.stop is None else frames.stop
    start = stop if frames.start is None else frames.start
    if stop > n_steps or start > n_steps:
        raise ConfigError(f"frames {start} to {stop} are asked for, but the run ends at step {n_steps}", path)
    if start > stop:
        raise ConfigError(f"frames run from {start} to {stop}, which holds none", path)
    return np.arange(start, stop + 1, frames.every)


def _keep(x: Array) -> Array:
    return x


def _mean(x: Array) -> Array:
    return jnp.mean(x, axis=0)


def _variance(x: Array) -> Array:
    return jnp.mean((x - jnp.mean(x, axis=0)) ** 2, axis=0)


def _max(x: Array) -> Array:
    return jnp.max(x, axis=0)


REDUCERS: Mapping[str, Callable[[Array], Array]] = {"mean": _mean, "none": _keep, "variance": _variance, "max": _max}


def _absolute(y: Array, t: Array) -> Array:
    # JAX's abs has slope 1 at zero; a target that is met should pull nowhere.
    return (y - t) * jnp.sign(y - t)


def _squared(y: Array, t: Array) -> Array:
    return (y - t) ** 2


def _relative(y: Array, t: Array) -> Array:
    return ((y - t) / t) ** 2


def _huber(y: Array, t: Array) -> Array:
    size = jnp.abs(y - t)
    return jnp.where(size <= 1, (y - t) ** 2 / 2, size - 0.5)


COMPARISONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "absolute": _absolute,
    "squared": _squared,
    "relative": _relative,
    "huber": _huber,
}


def evaluate_term(term: LossTerm, rows: Float[Array, "frames *shape"]) -> Float[Array, ""]:
    """One term, times its weight.

    Raises:
        ConfigError: if the target's shape does not fit the observable's.
    """
    y = REDUCERS[term.reduce](jnp.asarray(rows))
    if term.compare == "none" or term.target is None:
        return term.weight * jnp.mean(y)
    shape = rows.shape[1:]
    if term.target.ndim > 0 and term.target.shape != shape:
        message = f"the target has shape {term.target.shape}, the observable {shape}"
        raise ConfigError(message, f"{term.name}.target")
    return term.weight * jnp.mean(COMPARISONS[term.compare](y, jnp.asarray(term.target, y.dtype)))


def evaluate(
    terms: Sequence[LossTerm], rows: Sequence[Float[Array, "_frames ..."]]
) -> tuple[Float[Array, ""], Float[Array, "terms"]]:
    """The loss and its terms (each times its weight, so that they add up to the loss).

    Args:
        rows: for each term, its observable's value at each of its frames.

    Raises:
        ConfigError: if a target's shape does not fit its observable's.
    """
    if not terms:
        return jnp.zeros(()), jnp.zeros(0)
    values = jnp.stack([evaluate_term(term, x) for term, x in zip(terms, rows, strict=True)])
    return jnp.sum(values), values
