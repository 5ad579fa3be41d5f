"""What an optimizer must respect of each parameter: bounds, positivity, a learning rate of its own.

A parameter under ``transform: positive`` is p = softplus(u) = log(1 + e^u), and the optimizer works on u, with

    u = p + log(1 - e^-p),    dL/du = (1 - e^-p) dL/dp.

Bounds are of the physical value p, which is projected after each update. Parameters and gradients outside the
optimizer are always physical.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from diffmd.errors import ConfigError

Values = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The rules of one parameter.

    Attributes:
        lower, upper: bounds of the physical value, inclusive; None: none.
        positive: whether the optimizer works on the inverse softplus.
        learning_rate: replaces the optimizer's; None: the optimizer's.
    """

    lower: float | None = None
    upper: float | None = None
    positive: bool = False
    learning_rate: float | None = None

    def check(self, path: str, value: np.ndarray) -> None:
        """Raises ConfigError unless the bounds make sense and the starting `value` keeps them."""
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ConfigError(f"its lower bound {self.lower:g} is over its upper bound {self.upper:g}", path)
        if self.positive and self.upper is not None and self.upper <= 0:
            raise ConfigError(f"it is under `transform: positive`, so its upper bound cannot be {self.upper:g}", path)
        # In the value's own precision: 0.1 in single precision is over a double 0.1.
        below = self.lower is not None and np.any(value < np.asarray(self.lower, value.dtype))
        above = self.upper is not None and np.any(value > np.asarray(self.upper, value.dtype))
        if below or above:
            side, bound = ("below", self.lower) if below else ("above", self.upper)
            raise ConfigError(f"it starts {side} its own bound {bound:g}", path)
        if self.positive and np.any(value <= 0):
            raise ConfigError(f"`transform: positive` needs a start over 0, not {np.min(value):g}", path)


def softplus_inverse(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """u with softplus(u) = x, for x > 0; exact for small and large x alike."""
    return x + jnp.log(-jnp.expm1(-x))


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of every parameter that has any, by path. All methods can be compiled."""

    by_path: Mapping[str, Rule] = dataclasses.field(default_factory=dict)

    @property
    def learning_rates(self) -> dict[str, float]:
        """The learning rates of those that have their own."""
        return {path: rule.learning_rate for path, rule in self.by_path.items() if rule.learning_rate is not None}

    def check(self, p: Mapping[str, Array]) -> None:
        """Raises ConfigError, with the path, where a starting value breaks its rules."""
        for path, rule in self.by_path.items():
            if path in p:
                rule.check(path, np.asarray(p[path]))

    def to_free(self, p: Values) -> Values:
        """Physical values -> what the optimizer works on."""
        return {path: softplus_inverse(x) if self._positive(path) else x for path, x in p.items()}

    def to_physical(self, u: Values) -> Values:
        """What the optimizer works on -> physical values, inside their bounds."""
        return {path: self._project(path, self._raw(path, x)) for path, x in u.items()}

    def free_gradient(self, p: Values, gradients: Values) -> Values:
        """dL/du from dL/dp, at the physical values p."""
        return {path: g * -jnp.expm1(-p[path]) if self._positive(path) else g for path, g in gradients.items()}

    def inside(self, u: Values, direction: Values) -> dict[str, Bool[Array, "..."]]:
        """Where a small move from u along `direction` is not stopped by a bound."""
        return {path: self._moves(path, self._raw(path, x), direction[path]) for path, x in u.items()}

    def _positive(self, path: str) -> bool:
        return path in self.by_path and self.by_path[path].positive

    def _raw(self, path: str, u: Array) -> Array:
        if not self._positive(path):
            return u
        # Below the smallest normal number softplus is 0, from where there is no way back.
        return jnp.maximum(jax.nn.softplus(u), jnp.finfo(u.dtype).tiny)

    def _project(self, path: str, x: Array) -> Array:
        rule = self.by_path.get(path)
        return x if rule is None else jnp.clip(x, rule.lower, rule.upper)

    def _moves(self, path: str, x: Array, direction: Array) -> Array:
        rule = self.by_path.get(path, Rule())
        moves = jnp.ones(x.shape, bool)
        if rule.lower is not None:
            moves &= (x > rule.lower) | (direction > 0)
        if rule.upper is not None:
            moves &= (x < rule.upper) | (direction < 0)
        return moves
