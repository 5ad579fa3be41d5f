"""The temperature that an observable takes in place of the velocities': a number, or that of the dynamics."""

from __future__ import annotations

from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame

DYNAMICS: Literal["dynamics"] = "dynamics"
Temperature = float | Literal["dynamics"]
Given = Annotated[float, Field(gt=0)] | Literal["dynamics"] | None
"""As a config has it. A number stays what it is; ``dynamics`` moves, and is differentiated, with the temperature of the
integrator or thermostat. None: from the velocities."""


def given_temperature(given: Temperature, frame: Frame) -> Float[Array, ""]:
    """The number, or the temperature that the dynamics hold.

    Raises:
        ConfigError: for ``dynamics`` where these hold none.
    """
    if given != DYNAMICS:
        return jnp.full((), given, frame.positions.dtype)
    if frame.held_temperature is None:
        raise ConfigError("temperature: dynamics, but neither an integrator nor a thermostat holds one here")
    return frame.held_temperature
