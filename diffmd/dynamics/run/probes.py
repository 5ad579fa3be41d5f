"""What the way back leaves at the start of each stretch of steps, for whoever asks whether a gradient means
anything."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SKETCH = 16
"""Numbers that stand for the derivative with respect to all watched values."""

PROBES = 1 + SKETCH
"""Numbers a stretch: the norm of the state's cotangent, and the sketch."""


@jax.custom_vjp
def tap_state(x: Array, v: Array, probe: Array) -> tuple[Array, Array]:
    """(x, v), and in the backward pass the norm of their cotangent as the "gradient" of `probe`'s first number."""
    return x, v


def _norm(_: None, ct: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    norm = jnp.sqrt(jnp.sum(ct[0] * ct[0]) + jnp.sum(ct[1] * ct[1]))
    return (*ct, jnp.zeros(PROBES, norm.dtype).at[0].set(norm))


tap_state.defvjp(lambda x, v, probe: ((x, v), None), _norm)


@jax.custom_vjp
def tap_values(values: Mapping[str, Array], probe: Array) -> Mapping[str, Array]:
    """The values, and in the backward pass the sketch of their cotangent as the "gradient" of the rest of `probe`."""
    return values


def _sketched(_: None, ct: Mapping[str, Array]) -> tuple[Mapping[str, Array], Array]:
    sketched = sketch(ct)
    return ct, jnp.concatenate([jnp.zeros(1, sketched.dtype), sketched])


tap_values.defvjp(lambda values, probe: (values, None), _sketched)


def sketch(arrays: Mapping[str, Array]) -> Float[Array, "sketch"]:
    """Few numbers that stand for many: number k is added to number k mod 16, with a sign of its own.

    It is linear, and keeps the Euclidean norm in the mean over signs; that of up to 16 numbers exactly. A count sketch:
    Charikar, Chen and Farach-Colton, Theor. Comput. Sci. 312, 3 (2004), doi:10.1016/S0304-3975(03)00400-6.
    """
    total, offset = jnp.zeros(SKETCH), 0
    for _, array in sorted(arrays.items()):
        size = int(np.size(array))
        before, length = offset % SKETCH, -(-(offset % SKETCH + size) // SKETCH) * SKETCH
        flat = jnp.zeros(length, array.dtype).at[before : before + size].set(jnp.ravel(array))
        total = total + jnp.sum((flat * _signs(offset - before, length)).reshape(-1, SKETCH), axis=0)
        offset += size
    return total


def _signs(start: int, length: int) -> Float[np.ndarray, "numbers"]:
    """+1 or -1 for numbers `start` to `start + length`, by chance but always the same."""
    return np.random.default_rng([start, length]).choice([-1.0, 1.0], length)
