"""L-BFGS with a line search that runs on the host, over whatever computes the loss and its gradient.

Direction: optax's `scale_by_lbfgs` (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4). Step length:
the strong Wolfe conditions by bracketing and interpolation (there, algorithms 3.5 and 3.6). A step whose simulation
leaves the finite numbers counts as infinitely bad. Where the objective has a kink, no step may satisfy the second
condition: then the best step found under the first one is taken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax.numpy as jnp
from jaxtyping import Array

from diffmd.errors import ConfigError, NumericalError
from diffmd.programs import Program
from diffmd.spec import OPTIMIZERS, quantity
from diffmd.training.optimizers import Optimizer, OptimizerSpec, OptimizerState, ValueAndGrad
from diffmd.training.rules import Rules, Values
from diffmd.training.schedules import Rate, schedule_of

if TYPE_CHECKING:
    import optax

DECREASE, CURVATURE = 1e-4, 0.9


@dataclasses.dataclass(frozen=True)
class Point:
    """A step length tried: L(u + t d), its derivative along d, and where that is."""

    t: float
    value: float
    slope: float
    p: Values


def line_search(start: Point, evaluate: Callable[[float], Point], max_steps: int) -> Point:
    """A step length that satisfies the strong Wolfe conditions, else the best of those with a sufficient decrease.

    Args:
        start: t = 0, with a negative slope.
        evaluate: tries a step length; a value that is not finite means that it was too long.
        max_steps: how many to try; the first is 1.

    Returns:
        the point; `start` itself where none was better.
    """
    low, high, t = start, None, 1.0
    for _ in range(max_steps):
        point = evaluate(t)
        enough = point.value <= start.value + DECREASE * t * start.slope and point.value < low.value
        if not enough:
            high = point
        elif abs(point.slope) <= -CURVATURE * start.slope:
            return point
        else:
            # The minimum lies where the slope points down, seen from the best point so far.
            ahead = math.inf if high is None else high.t - low.t
            if point.slope * ahead >= 0:
                high = low
            low = point
        t = 2 * low.t if high is None else _between(low, high)
    return low


def _between(low: Point, high: Point) -> float:
    """The minimum of the parabola through both values and the slope at `low`, kept off the ends."""
    width = high.t - low.t
    if not math.isfinite(high.value):
        return low.t + 0.25 * width
    curvature = high.value - low.value - low.slope * width
    fraction = -low.slope * width / (2 * curvature) if curvature > 0 else 0.5
    return low.t + width * min(max(fraction, 0.1), 0.9)


@dataclasses.dataclass(frozen=True)
class Lbfgs(Optimizer):
    """L-BFGS under bounds and transforms. Components that a bound stops take no part in the direction.

    Attributes:
        rules: bounds and transforms.
        transform: optax's `scale_by_lbfgs`.
        schedule: the step length by epoch; None: the line search chooses.
        max_steps: of the line search.
        direct: (p, gradients, state) -> (u, direction, slope, inner state), compiled.
        move: (u, direction, t) -> physical values, compiled.
        slope: (u, direction, t, p, gradients) -> derivative along the path, compiled.
    """

    rules: Rules
    transform: optax.GradientTransformation
    schedule: optax.Schedule | None
    max_steps: int
    direct: Callable[[Values, Values, OptimizerState], tuple[Values, Values, Array, optax.OptState]]
    move: Callable[[Values, Values, float], Values]
    slope: Callable[[Values, Values, float, Values, Values], Array]

    def init(self, p: Values) -> OptimizerState:
        """See `Optimizer`."""
        self.rules.check(p)
        values = {path: jnp.asarray(x) for path, x in p.items()}
        return OptimizerState(jnp.asarray(0), self.transform.init(self.rules.to_free(values)))

    def update(
        self, p: Values, loss: float, gradients: Values, state: OptimizerState, value_and_grad: ValueAndGrad
    ) -> tuple[Values, OptimizerState, float]:
        """See `Optimizer`. Where the line search finds nothing better, p stays and the memory is emptied."""
        epoch = state.epoch + 1
        u, direction, slope, inner = self.direct(p, gradients, state)
        if not float(slope) < 0:
            # Negative curvature was remembered; start again from the gradient itself.
            u, direction, slope, inner = self.direct(p, gradients, self._empty(p, state.epoch))
        if not float(slope) < 0:
            return p, OptimizerState(epoch, inner), 0.0
        if self.schedule is not None:
            t = float(self.schedule(state.epoch))
            return self.move(u, direction, t), OptimizerState(epoch, inner), t

        def evaluate(t: float) -> Point:
            trial = self.move(u, direction, t)
            try:
                value, g = value_and_grad(trial)
            except NumericalError:
                return Point(t, math.inf, math.nan, trial)
            return Point(t, float(value), float(self.slope(u, direction, t, trial, g)), trial)

        best = line_search(Point(0.0, float(loss), float(slope), p), evaluate, self.max_steps)
        return best.p, OptimizerState(epoch, inner) if best.t > 0 else self._empty(p, epoch), best.t

    def _empty(self, p: Values, epoch: Array) -> OptimizerState:
        return OptimizerState(epoch, self.transform.init(self.rules.to_free(p)))


@OPTIMIZERS.register
class LbfgsSpec(OptimizerSpec):
    """L-BFGS: Newton's direction from the last gradients, and a line search. An epoch costs several runs."""

    kind: Literal["lbfgs"] = "lbfgs"
    memory_size: int = quantity(10, doc="How many past updates the curvature is estimated from.", gt=0)
    learning_rate: Rate | None = quantity(None, doc="A fixed step length (or schedule); null: a line search.")
    max_linesearch_steps: int = quantity(20, doc="How many step lengths the line search may try.", gt=0)

    def build(self) -> optax.GradientTransformation:
        """optax's preconditioner: gradient -> direction up the slope, length not chosen yet."""
        import optax

        return optax.scale_by_lbfgs(self.memory_size)

    def optimizer(self, rules: Rules, clip: float | None) -> Optimizer:
        """See `OptimizerSpec`."""
        if clip is not None:
            raise ConfigError(
                "lbfgs needs the gradient as it is; leave clip out, or choose another optimizer", "train.clip"
            )
        for path in rules.learning_rates:
            raise ConfigError(f"lbfgs has one step length for all; leave out the learning_rate of {path}", "parameters")
        transform = self.build()

        def direct(p: Values, gradients: Values, state: OptimizerState) -> tuple[Values, Values, Array, optax.OptState]:
            u, g = rules.to_free(p), rules.free_gradient(p, gradients)
            g = _where(rules.inside(u, _negative(g)), g)
            ascent, inner = transform.update(g, state.inner, u)
            direction = {path: -x.astype(u[path].dtype) for path, x in ascent.items()}
            direction = _where(rules.inside(u, direction), direction)
            return u, direction, _dot(g, direction), inner

        def move(u: Values, direction: Values, t: Array | float) -> Values:
            return rules.to_physical({path: x + jnp.asarray(t, x.dtype) * direction[path] for path, x in u.items()})

        def slope(u: Values, direction: Values, t: Array | float, p: Values, gradients: Values) -> Array:
            reached = {path: x + jnp.asarray(t, x.dtype) * direction[path] for path, x in u.items()}
            moving = _where(rules.inside(reached, direction), direction)
            return _dot(rules.free_gradient(p, gradients), moving)

        return Lbfgs(
            rules,
            transform,
            None if self.learning_rate is None else schedule_of(self.learning_rate),
            self.max_linesearch_steps,
            Program(direct),
            Program(move),
            Program(slope),
        )


def _negative(x: Values) -> Values:
    return {path: -value for path, value in x.items()}


def _where(mask: Values, x: Values) -> Values:
    return {path: jnp.where(mask[path], value, 0) for path, value in x.items()}


def _dot(x: Values, y: Values) -> Array:
    return jnp.asarray(sum(jnp.sum(value * y[path]) for path, value in x.items()))
