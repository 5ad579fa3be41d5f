"""What an update of a training did to a parameter, where it left all reason; and what to write instead."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from diffmd.commands.run.readable import value_text
from diffmd.spec import Spec

_TURN = 2 * math.pi
"""Angles further from zero than this are none that a config takes."""
_GENTLE = 0.1
"""Of a value: how far the first update should go."""


@dataclasses.dataclass(frozen=True)
class Watched:
    """A parameter in training.

    Attributes:
        path: its name.
        start: its value before the first epoch.
        unit: of its value; None where it has none.
        rate: its learning rate: a number, a schedule, or None where the optimizer has none.
        rate_path: where that stands in the config.
    """

    path: str
    start: Float[np.ndarray, "..."]
    unit: str | None
    rate: float | Spec | None
    rate_path: str

    def too_far(self, before: Float[np.ndarray, "..."], after: Float[np.ndarray, "..."]) -> str | None:
        """On an update that is larger than the value itself; None if it is not, or if the value started at zero."""
        step, size = float(np.linalg.norm(after - before)), float(np.linalg.norm(self.start))
        size = max(size, float(np.linalg.norm(before))) if size > 0 else 0.0
        if not (np.isfinite(step) and step > size > 0):
            return None
        far, large = (value_text(value, self.unit, 3) for value in (step, size))
        value = f"{self.path} by {far}, more than its value of {large}"
        if np.size(after) > 1:
            value = f"{self.path} by {far} in all, more than the {large} of its values"
        factor = _GENTLE * size / step
        if isinstance(self.rate, Spec):
            advice = f"; write a {self.rate_path} that is at least {_one_digit(1 / factor):g} times smaller"
        elif self.rate is not None:
            rate = _one_digit(self.rate * factor)
            advice = f"; write {self.rate_path}: {rate:g}, which moves it by a tenth of its value"
        else:
            advice = ""
        return f"the update moves {value}{advice}"

    def no_angle(self, after: Float[np.ndarray, "..."]) -> str | None:
        """On an angle that went round and round."""
        largest = float(np.max(np.abs(after), initial=0))
        if self.unit != "rad" or not largest > _TURN:
            return None
        return (
            f"{self.path} is {value_text(largest, self.unit, 4)} in size ({largest:.4g} rad), where angles are at most "
            "a full turn; take a smaller learning rate, or give it `lower` and `upper` under `parameters`"
        )


def _one_digit(x: float) -> float:
    """x to one digit, downwards."""
    scale = 10.0 ** math.floor(math.log10(x))
    # Not 0.9999 of it for 1.
    return math.floor(x / scale * (1 + 1e-9)) * scale
