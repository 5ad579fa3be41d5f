"""Losses: observable -> frames -> reduce -> compare with a target -> weighted sum.

A term measures an observable at frames f of a run of n steps, giving rows x_f, and is

    weight * mean over elements of compare(reduce(x), target)

===========  ==========================================================================================================
reduce       y
===========  ==========================================================================================================
mean         (1/F) sum_f x_f
none         every x_f (each compared, then averaged)
variance     (1/F) sum_f (x_f - mean)^2
max          max over f of x_f, by element
correlation  C_k = 1/(F - k) sum_f (x_f - mean)(x_{f+k} - mean), by element, for lags of k = 0 ... `lags` - 1 frames
===========  ==========================================================================================================

=================  ====================================================================================================
compare            c(y, t)
=================  ====================================================================================================
absolute           |y - t|
squared            (y - t)^2
relative           ((y - t) / t)^2
huber              (y - t)^2 / 2 up to |y - t| = 1, then |y - t| - 1/2
log1p              ln(1 + |y - t|)
kullback_leibler   D(t || y) = sum_k t_k ln(t_k / y_k) over the last axis, both first raised by 1e-6 of their mean and
                   divided by their sum; at least zero, and zero only where the shapes are equal
none               y
=================  ====================================================================================================

The loss is the sum of the terms. A `SeriesObservable` makes its value of all rows itself, in place of the reduction.
Everything here is a pure function of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.observables.series import over_origins

Reduce = Literal["mean", "none", "variance", "max", "correlation"]
Compare = Literal["absolute", "squared", "relative", "huber", "log1p", "kullback_leibler", "none"]
Rows = Array | Mapping[str, Array]
"""What an observable gave at each frame: an array, or the arrays that a series observable keeps, frames first."""


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
        lags: of a correlation; None: half of the frames.
        target: None with compare ``none``, else a number or an array that broadcasts with the observable's value.
        weight: factor of the term.
    """

    name: str
    observable: Observable | SeriesObservable
    frames: Frames
    reduce: Reduce
    compare: Compare
    target: np.ndarray | None
    weight: float
    lags: int | None = None

    @staticmethod
    def create(
        name: str,
        observable: Observable | SeriesObservable,
        *,
        frames: Frames = END,
        reduce: Reduce = "mean",
        compare: Compare = "squared",
        target: float | Sequence[float] | np.ndarray | None = None,
        curve: tuple[np.ndarray, np.ndarray] | None = None,
        weight: float = 1.0,
        lags: int | None = None,
        times: Float[np.ndarray, "frames"] | None = None,
    ) -> LossTerm:
        """A checked term.

        Args:
            target: a number or an array, in the observable's unit.
            curve: instead of `target`, abscissae and values of a curve, interpolated linearly onto the observable's
                grid.
            times: of the frames; None where only the form of the term is checked.

        Raises:
            ConfigError: if there is no target to compare with, or one that nothing is compared with; if a relative
                comparison has a target of zero; if a curve does not cover the grid; if the frames are too few; if a
                series is to be reduced once more.
        """
        term = LossTerm(name, observable, frames, reduce, compare, None, weight, lags)
        term.check_series(None if times is None else len(times))
        value = target
        if curve is not None:
            value = _on_grid(term._grid(times), *curve, f"{name}.target")
        if compare == "none":
            if value is not None:
                raise ConfigError(
                    "compare: none takes no target; leave it out, or choose a comparison", f"{name}.target"
                )
            return term
        if value is None:
            raise ConfigError(f"compare: {compare} needs a target", f"{name}.target")
        array = np.asarray(value, dtype=float)
        if compare == "relative" and np.any(array == 0):
            raise ConfigError("a relative comparison divides by the target, which is zero somewhere", f"{name}.target")
        if compare == "kullback_leibler" and (array.ndim == 0 or np.any(array < 0) or not np.any(array > 0)):
            raise ConfigError("a distribution is a curve or an array of numbers from 0 on, not all 0", f"{name}.target")
        grid = term._grid(times)
        # A correlation of vectors has axes besides that of its lags; `compared` looks at all of them.
        along = array.shape[:1] if reduce == "correlation" else array.shape
        if grid is not None and array.ndim > 0 and along != grid.shape:
            raise ConfigError(f"the target has shape {array.shape}, the observable {grid.shape}", f"{name}.target")
        return dataclasses.replace(term, target=array)

    @property
    def adds_up(self) -> bool:
        """Whether it takes no more of its rows than their sum."""
        return self.reduce == "mean" and not isinstance(self.observable, SeriesObservable)

    @property
    def least_frames(self) -> int:
        """How many frames the observable and the reduction need."""
        if isinstance(self.observable, SeriesObservable):
            return self.observable.least_frames
        return 2 if self.reduce == "correlation" else 1

    def check_series(self, frames: int | None) -> None:
        """Raises ConfigError where the reduction and the number of frames do not fit the observable."""
        path = f"{self.name}.reduce"
        if isinstance(self.observable, SeriesObservable) and self.reduce != "mean":
            raise ConfigError(
                f"this observable is taken over all frames already; leave reduce: {self.reduce} out", path
            )
        if self.lags is not None and self.reduce != "correlation":
            raise ConfigError("lags are of reduce: correlation", f"{self.name}.lags")
        if frames is None:
            return
        least = self.least_frames
        if frames < least:
            raise ConfigError(
                f"{frames} frames are too few: at least {least} are needed; write frames: all, or {{from, to, every}}",
                f"{self.name}.frames",
            )
        if self.lags is not None and self.lags > frames:
            raise ConfigError(f"{self.lags} lags do not fit {frames} frames", f"{self.name}.lags")

    def _grid(self, times: np.ndarray | None) -> np.ndarray | None:
        """Abscissa of the reduced observable, or None if it is no curve."""
        if isinstance(self.observable, SeriesObservable):
            return None if times is None else self.observable.abscissa(times)
        if self.reduce != "correlation":
            return None if self.observable.grid is None else np.asarray(self.observable.grid)
        if self.observable.grid is not None or times is None:
            return None
        return times[: self.lags or most_lags(len(times))] - times[0]


def most_lags(frames: int) -> int:
    """Lags of a correlation over so many frames unless told: half of them, where every lag still has many origins."""
    return max(1, frames // 2)


def _on_grid(grid: np.ndarray | None, x: np.ndarray, y: np.ndarray, path: str) -> np.ndarray:
    if grid is None:
        raise ConfigError("this observable is no curve, so its target cannot be one", path)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
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


def correlation(x: Float[Array, "frames *shape"], lags: int) -> Float[Array, "lags *shape"]:
    """C_k = 1/(F - k) sum_f (x_f - mean)(x_{f+k} - mean), by element."""
    return over_origins(x - jnp.mean(x, axis=0), range(lags), jnp.multiply)


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


def _log1p(y: Array, t: Array) -> Array:
    return jnp.log1p(_absolute(y, t))


_FLOOR = 1e-6
"""Of a distribution's mean: so that an empty bin costs much, and not infinitely much."""


def _kullback_leibler(y: Array, t: Array) -> Array:
    def shape(x: Array) -> Array:
        x = x + _FLOOR * jnp.mean(x, axis=-1, keepdims=True)
        return x / jnp.sum(x, axis=-1, keepdims=True)

    p, q = shape(t), shape(y)
    return jnp.sum(p * (jnp.log(p) - jnp.log(q)), axis=-1)


COMPARISONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "absolute": _absolute,
    "squared": _squared,
    "relative": _relative,
    "huber": _huber,
    "log1p": _log1p,
    "kullback_leibler": _kullback_leibler,
}


def reduced(term: LossTerm, rows: Rows) -> Array:
    """What of a run is compared: the observable reduced over the frames, frames first with ``none``."""
    if isinstance(term.observable, SeriesObservable):
        assert isinstance(rows, Mapping)
        return term.observable.over(rows)
    x = jnp.asarray(rows)
    if term.reduce == "correlation":
        return correlation(x, term.lags or most_lags(x.shape[0]))
    return REDUCERS[term.reduce](x)


def compared(term: LossTerm, y: Array) -> Float[Array, ""]:
    """One term, times its weight, of what `reduced` gave.

    Raises:
        ConfigError: if the target's shape does not fit the observable's.
    """
    if term.compare == "none" or term.target is None:
        return term.weight * jnp.mean(y)
    each = term.reduce == "none" and not isinstance(term.observable, SeriesObservable)
    shape = y.shape[1:] if each else y.shape
    if term.target.ndim > 0 and term.target.shape != shape:
        message = f"the target has shape {term.target.shape}, the observable {shape}"
        raise ConfigError(message, f"{term.name}.target")
    return term.weight * jnp.mean(COMPARISONS[term.compare](y, jnp.asarray(term.target, y.dtype)))


def evaluate_term(term: LossTerm, rows: Rows) -> Float[Array, ""]:
    """One term, times its weight. Raises ConfigError if the target's shape does not fit the observable's."""
    return compared(term, reduced(term, rows))


def evaluate(terms: Sequence[LossTerm], rows: Sequence[Rows]) -> tuple[Float[Array, ""], Float[Array, "terms"]]:
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
