"""What observables of a series of frames share: lags, means over time origins, the time between frames, drift."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.observables.base import Frame
from diffmd.spec import quantity

LAGS = quantity(
    None,
    doc="Number of lags, in frames and with lag 0 included; null: half of the frames, so that every lag has many "
    "origins.",
    unit="frames",
    ge=2,
)
REMOVE_COM = quantity(False, doc="Whether the motion of the centre of mass of all atoms is taken out first.")


def lags_of(frames: int, lags: int | None) -> int:
    """The number of lags that a series of so many frames is looked at with."""
    return max(1, frames // 2) if lags is None else lags


def frames_for(lags: int | None) -> int:
    """How many frames a number of lags takes; with None, as many as give two lags."""
    return 4 if lags is None else lags


def over_origins(
    x: Float[Array, "frames *shape"],
    lags: range,
    pair: Callable[[Float[Array, "frames *shape"], Float[Array, "frames *shape"]], Float[Array, "frames *rest"]],
) -> Float[Array, "lags *rest"]:
    """1/(F - k) sum over t = 0 ... F - k - 1 of pair(x_t, x_{t+k}), for each lag k < F.

    Lags are streamed over, and computed again on the way back: memory grows with frames, not with frames times lags.
    """
    count = x.shape[0]

    @jax.checkpoint
    def at(k: Array) -> Array:
        each = pair(x, jnp.roll(x, -k, axis=0))
        inside = jnp.arange(count) < count - k
        return jnp.sum(jnp.where(inside.reshape(-1, *[1] * (each.ndim - 1)), each, 0), axis=0) / (count - k)

    return jax.lax.map(at, jnp.asarray(np.asarray(lags)))


def spacing(times: Float[Array, "frames"]) -> Float[Array, ""]:
    """Time between two frames. Frames are evenly spaced."""
    return (times[-1] - times[0]) / (times.shape[0] - 1)


def lag_times(times: Float[np.ndarray, "frames"], lags: int | None) -> Float[np.ndarray, "lags"]:
    """0, dt, 2 dt, ...: the times of the lags."""
    return times[: lags_of(len(times), lags)] - times[0]


def without_drift(frame: Frame, x: Float[Array, "atoms 3"]) -> Float[Array, "atoms 3"]:
    """Positions or velocities of all atoms relative to their centre of mass."""
    return x - jnp.sum(frame.masses[:, None] * x, axis=0) / jnp.sum(frame.masses)
