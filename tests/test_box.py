"""Periodic boxes: nearest images, wrapping, volume, and that nothing depends on which image an atom is given as."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.box import Box, displacement, fractional, inverse, shortest_displacement, volume, widths, wrap

EDGES = np.diag([3.0, 4.0, 5.0])
TILTED = np.array([[3.0, 0, 0], [0.7, 4.0, 0], [-1.2, 0.9, 5.0]])
LIMIT = np.array([[3.0, 0, 0], [1.5, 4.0, 0], [-1.5, 2.0, 2.6]])
BOXES = {"orthorhombic": EDGES, "triclinic": TILTED, "limit": LIMIT}
IMAGES = np.array(list(itertools.product(range(-3, 4), repeat=3)))


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def box_of(name: str) -> Box:
    return Box(jnp.asarray(BOXES[name]), "orthorhombic" if name == "orthorhombic" else "triclinic")


def brute(d: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Length of the nearest image of wrapped displacements, over 343 images."""
    return np.linalg.norm(d[:, None] + IMAGES @ h, axis=-1).min(axis=1)


@pytest.mark.parametrize("name", BOXES)
def test_inverse_volume_and_widths(name: str) -> None:
    h, box = BOXES[name], box_of(name)
    np.testing.assert_allclose(inverse(box), np.linalg.inv(h), atol=1e-15)
    np.testing.assert_allclose(volume(box), np.linalg.det(h))
    a, b, c = h
    faces = [np.linalg.norm(np.cross(b, c)), np.linalg.norm(np.cross(c, a)), np.linalg.norm(np.cross(a, b))]
    np.testing.assert_allclose(widths(box), np.linalg.det(h) / np.array(faces))


@pytest.mark.parametrize("name", BOXES)
def test_rounding_is_exact_up_to_half_the_smallest_width(name: str) -> None:
    h, box = BOXES[name], box_of(name)
    rng = np.random.default_rng(1)
    xi, xj = rng.uniform(0, 1, (2, 4000, 3)) @ h
    nearest = brute(xi - xj, h)
    found = np.linalg.norm(displacement(box, jnp.asarray(xi), jnp.asarray(xj)), axis=-1)
    near = nearest < float(jnp.min(widths(box))) / 2
    assert near.sum() > 100
    np.testing.assert_allclose(found[near], nearest[near], atol=1e-12)
    assert np.all(found >= nearest - 1e-12)
    if name == "limit":
        # Beyond, it is not: that is what the cutoff rule and `shortest_displacement` are for.
        assert np.any(found > nearest + 1e-6)


@pytest.mark.parametrize("name", BOXES)
def test_shortest_displacement_has_no_limit(name: str) -> None:
    h, box = BOXES[name], box_of(name)
    rng = np.random.default_rng(2)
    xi, xj = rng.uniform(0, 1, (2, 4000, 3)) @ h
    d = np.asarray(shortest_displacement(box, jnp.asarray(xi), jnp.asarray(xj)))
    np.testing.assert_allclose(np.linalg.norm(d, axis=-1), brute(xi - xj, h), atol=1e-12)
    whole = (d - (xi - xj)) @ np.linalg.inv(h)
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)


@pytest.mark.parametrize("name", BOXES)
def test_displacements_know_no_images(name: str) -> None:
    h, box = BOXES[name], box_of(name)
    rng = np.random.default_rng(3)
    xi, xj = rng.uniform(0, 1, (2, 200, 3)) @ h
    shifts = rng.integers(-40, 41, (200, 3)) @ h
    d = displacement(box, jnp.asarray(xi), jnp.asarray(xj))
    near = np.linalg.norm(d, axis=-1) < float(jnp.min(widths(box))) / 2
    away = displacement(box, jnp.asarray(xi + shifts), jnp.asarray(xj))
    np.testing.assert_allclose(d[near], away[near], atol=1e-11)
    back = displacement(box, jnp.asarray(xj), jnp.asarray(xi))
    np.testing.assert_allclose(back[near], -d[near], atol=1e-14)


@pytest.mark.parametrize("name", BOXES)
def test_wrapping(name: str) -> None:
    h, box = BOXES[name], box_of(name)
    rng = np.random.default_rng(4)
    inside = rng.uniform(0.01, 0.99, (100, 3)) @ h
    out = inside + rng.integers(-9, 10, (100, 3)) @ h
    np.testing.assert_allclose(wrap(box, jnp.asarray(out)), inside, atol=1e-12)
    # A tiny negative coordinate goes to the near face, not to the far one, which is outside.
    s = fractional(box, wrap(box, jnp.asarray([[-1e-18, -1e-17, 0.0]])))
    assert np.all((s >= 0) & (s < 1))


def test_without_periodicity_nothing_moves() -> None:
    box = Box(jnp.eye(3), "none")
    x = jnp.asarray([[5.0, -7.0, 100.0]])
    np.testing.assert_array_equal(wrap(box, x), x)
    np.testing.assert_array_equal(displacement(box, x, -x), 2 * x)
    np.testing.assert_array_equal(shortest_displacement(box, x, -x), 2 * x)


def test_gradients_pass_through_the_nearest_image() -> None:
    # d = x_i - x_j - n H, n held: the derivative with respect to H is -n, to x_i one.
    xi, xj = jnp.asarray([2.9, 0.1, 0.1]), jnp.asarray([0.1, 0.1, 4.9])

    def first(x: jax.Array, h: jax.Array) -> jax.Array:
        return displacement(Box(h, "orthorhombic"), x, xj)[0]

    to_x, to_h = jax.grad(first, argnums=(0, 1))(xi, jnp.asarray(EDGES))
    np.testing.assert_allclose(to_x, [1, 0, 0])
    expected = np.zeros((3, 3))
    expected[0, 0] = -1
    np.testing.assert_allclose(to_h, expected)
