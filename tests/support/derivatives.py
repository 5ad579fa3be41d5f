"""Derivatives of a function of an array: backward, forward, and by differences."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

quick_jit = partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)
"""For what runs once: compiles fast."""


def _weighed(f: Callable, x: np.ndarray) -> tuple[Callable, jax.Array, jax.Array]:
    """The sum of f's elements, weighed at random; x in the precision at hand; a random direction."""
    rng = np.random.default_rng(0)
    # Compiler options are of the outermost program only.
    f = f.__wrapped__ if isinstance(f, jax.stages.Wrapped) else f
    x = jnp.asarray(x, jnp.zeros(()).dtype)
    along = jnp.asarray(rng.normal(size=x.shape), x.dtype)
    weights = jnp.asarray(rng.uniform(0.5, 1.5, jax.eval_shape(f, x).shape), x.dtype)
    return lambda x: jnp.sum(weights * f(x)), x, along


def check_derivatives(f: Callable, x: np.ndarray, step: float = 1e-4, rel: float = 1e-7) -> np.ndarray:
    """The gradient at x, after its slope along a random direction was found to be that of forward mode and that of
    central differences of fourth order (double precision)."""
    g, x, along = _weighed(f, x)

    @quick_jit
    def every(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        at = jax.lax.map(g, x + step * jnp.asarray([-2, -1, 1, 2])[(...,) + (None,) * x.ndim] * along)
        slope = jnp.dot(jnp.asarray([1, -8, 8, -1]), at) / (12 * step)
        return jax.grad(g)(x), jax.jvp(g, (x,), (along,))[1], slope

    gradient, forward, differences = (np.asarray(value) for value in every(x))
    backward = np.sum(gradient * along)
    np.testing.assert_allclose(backward, differences, rtol=rel, atol=1e-10)
    np.testing.assert_allclose(forward, backward, rtol=1e-10, atol=1e-13)
    return gradient


def check_finite(f: Callable, *places: np.ndarray) -> list[np.ndarray]:
    """The gradients at places where differences may tell nothing, after each was found finite and the same forward."""
    g, _, along = _weighed(f, places[0])
    x = jnp.asarray(np.stack(places), along.dtype)
    both = quick_jit(lambda x: jax.lax.map(lambda x: (jax.grad(g)(x), jax.jvp(g, (x,), (along,))[1]), x))
    gradients, forward = (np.asarray(value) for value in both(x))
    assert np.all(np.isfinite(gradients))
    backward = np.sum(gradients * along, axis=tuple(range(1, x.ndim)))
    np.testing.assert_allclose(forward, backward, rtol=1e-3 if x.dtype == np.float32 else 1e-9, atol=1e-5)
    return list(gradients)
