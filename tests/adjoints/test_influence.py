"""Influences of frames: those of frames that count more or less, of every reduction and comparison."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.adjoints.reweight.diffusion import still
from diffmd.adjoints.reweight.influence import Influence, combinations, influences, scatter
from diffmd.losses import Frames, LossTerm
from diffmd.observables.base import Observable

FRAMES = 12


class Curve(Observable):
    """Three numbers, or whatever the rows have."""

    configurational = True

    def measure(self, frame):
        raise NotImplementedError


def term(number: int, **options) -> LossTerm:
    compare = options.pop("compare", "squared")
    target = options.pop("target", 0.4)
    value = None if compare == "none" else np.asarray(target)
    return LossTerm(f"loss.{number}", Curve(), Frames(0), options.pop("reduce", "mean"), compare, value, 1.3 + number)


def rows_of(p, place, shape):
    """An observable of each frame that depends on the parameters, too."""
    rng = np.random.default_rng(place)
    x = jnp.asarray(rng.normal(1, 0.3, (FRAMES, *shape)))
    slope = jnp.asarray(rng.normal(size=(FRAMES, *shape)))
    return x + slope * jnp.sin(p[0]) + x * p[1] ** 2


def energies_of(p):
    rng = np.random.default_rng(9)
    a, b = (jnp.asarray(rng.normal(size=FRAMES)) for _ in range(2))
    return a * p[0] + b * p[1] + 0.3 * a * b * p[0] * p[1]


ALL = tuple(range(FRAMES))
CASES = {
    "mean": ([term(0)], [ALL], [()]),
    "a curve": ([term(0)], [ALL], [(4,)]),
    "kullback_leibler": ([term(0, compare="kullback_leibler", target=[1.0, 2.0, 1.0])], [ALL], [(3,)]),
    "linear": ([term(0, compare="none")], [ALL], [(2,)]),
    "variance": ([term(0, reduce="variance")], [ALL], [(2,)]),
    "none": ([term(0, reduce="none")], [ALL], [(3,)]),
    "two groups": ([term(0), term(1, reduce="variance"), term(2)], [ALL, ALL[::3], ALL], [(), (2,), (2,)]),
}


@pytest.mark.parametrize("name", CASES)
def test_they_are_the_slopes_of_the_gradient_by_how_much_a_frame_counts(name: str):
    terms, choice, shapes = CASES[name]
    influence = Influence(terms, choice, 0.7)
    p = jnp.array([0.3, -0.5])
    # Sampled at other parameters, so that frames count unevenly.
    reference = energies_of(jnp.array([0.1, -0.3]))

    def seen(p):
        return energies_of(p), [rows_of(p, place, shape) for place, shape in enumerate(shapes)]

    def loss(p, more):
        # A frame that counts 1 + e times is one whose reference is ln(1 + e) higher.
        energies, rows = seen(p)
        return jnp.sum(influence.terms(influence.means(energies, rows, reference + jnp.log1p(more)), rows))

    expected = jax.jacobian(jax.grad(loss), argnums=1)(p, jnp.zeros(FRAMES)).T
    given = (*seen(p), reference)
    seen_moved = influence.moved(*given)
    curved = influence.curvature(seen_moved.means, given[1], seen_moved.moved, jnp.asarray(1e-6))
    moved = jax.tree.map(np.asarray, seen_moved)
    factors, along = combinations(np.asarray(curved), moved.moved)
    own, whole = influence.pulls(*given, jnp.asarray(along))
    jacobian = jax.jacobian(seen)(p)

    def pulled(pull):
        # Frame by frame.
        parts = jax.tree.map(
            lambda ct, slope: jnp.einsum("gfx,fxp->fgp", ct.reshape(*ct.shape[:2], -1), slope.reshape(FRAMES, -1, 2)),
            (pull[0], list(pull[1])),
            jacobian,
        )
        return np.asarray(sum(jax.tree.leaves(parts)))

    by_group = influence.by_group(moved.pulled)
    found = influences(pulled(own), pulled(whole).sum(axis=0), moved.counted, by_group, factors)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(pulled(own).sum(axis=(0, 1)), jax.grad(loss)(p, jnp.zeros(FRAMES)), rtol=1e-9)


def test_the_means_scatter_by_their_error_and_not_past_a_frame():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3)) / 400
    counted = np.full((400, 1), 1 / 400)
    assert scatter(x, counted) == pytest.approx(20, rel=0.2)
    assert scatter(np.cumsum(x, axis=0), counted) <= 400 * (1 + 1e-12)


def walkers(step: float, cage: float | None) -> np.ndarray:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 6, (27, 3)) + np.cumsum(step * rng.normal(size=(400, 27, 3)), axis=0)
    return x if cage is None else rng.uniform(0, 6, (27, 3)) + cage * rng.normal(size=(400, 27, 3))


def test_a_frozen_fluid_is_told_from_a_short_run():
    alone = np.arange(27)
    assert still(walkers(0.2, None), alone, 216.0) is None
    frozen = still(walkers(0.0, 0.1), alone, 216.0)
    assert frozen is not None
    assert frozen.startswith(
        "in half of the sampled time the atoms move by 0.12 of their mean distance, and by no more"
    )
    assert "diffusion has stopped (a crystal or a glass)" in frozen
    short = still(walkers(0.01, None), alone, 216.0)
    assert short is not None
    assert "too short a run for a fluid to change its arrangement" in short
    assert "the molecules move" in str(still(walkers(0.0, 0.1), alone // 3, 216.0))
    # The common motion of all is none.
    assert "stopped" in str(still(walkers(0.0, 0.1) + np.arange(400)[:, None, None], alone, 216.0))
    assert still(walkers(0.0, 0.1)[:, :6], alone[:6], 216.0) is None
