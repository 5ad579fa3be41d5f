"""Nearest-neighbour and listed distances against brute force, their derivatives, and the awkward places."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.box import Box
from diffmd.errors import ConfigError

CUBE = np.eye(3) * 2.0
THIN = np.diag([1.0, 2.0, 3.5])
# Reduced, and skewed to the limit.
SKEWED = np.array([[2.0, 0, 0], [1.0, 1.8, 0], [-1.0, 0.9, 1.7]])
BOXES = {"none": None, "cube": CUBE, "thin": THIN, "skewed": SKEWED}


def table(x, h):
    """Every distance, over the images two boxes around."""
    d = x[:, None] - x[None]
    if h is None:
        return np.linalg.norm(d, axis=-1)
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ h
    return np.min([np.linalg.norm(d + s, axis=-1) for s in shifts], axis=0)


def positions(n, h, seed=0):
    rng = np.random.default_rng(seed)
    # Unwrapped: atoms may be boxes away.
    return rng.uniform(-1, 1, (n, 3)) @ (np.eye(3) if h is None else h)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("n", [2, 37, 300])
def test_nearest_distance_is_brute_force(make, frame, box, n, precision):
    h = BOXES[box]
    x = positions(n, h)
    r = table(x, h)
    np.fill_diagonal(r, np.inf)
    value = jax.jit(lambda x: make({"kind": "nearest_distance"}, "A" * n, h).measure(frame(x, h)))(x)
    assert value.shape == ()
    assert value.dtype == precision
    assert float(value) == pytest.approx(r.min(axis=1).mean(), rel=1e-12 if precision == "float64" else 1e-5)


@pytest.mark.parametrize("box", BOXES)
def test_distance_is_brute_force(make, frame, box, double):
    h, x = BOXES[box], positions(20, BOXES[box], 1)
    pairs = np.random.default_rng(2).permutation(20)[:12].reshape(6, 2)
    value = make({"kind": "distance", "pairs": pairs.tolist()}, "A" * 20, h).measure(frame(x, h))
    assert float(value) == pytest.approx(table(x, h)[pairs[:, 0], pairs[:, 1]].mean(), rel=1e-13)


def test_selections(make, frame, double):
    x = positions(6, CUBE)
    for section, chosen in (
        ({"types": ["B"]}, [1, 3, 4]),
        ({"atoms": [5, 0]}, [0, 5]),
        ({"types": ["A", "B"]}, range(6)),
    ):
        r = table(x, CUBE)[np.ix_(chosen, chosen)]
        np.fill_diagonal(r, np.inf)
        value = make({"kind": "nearest_distance", **section}, "ABABBA", CUBE).measure(frame(x, CUBE))
        assert float(value) == pytest.approx(r.min(axis=1).mean(), rel=1e-13)


@pytest.mark.parametrize(
    "section", [{"kind": "nearest_distance"}, {"kind": "distance", "pairs": [[0, 1], [1, 2], [3, 0]]}]
)
@pytest.mark.parametrize("box", ["none", "thin", "skewed"])
def test_derivatives(make, frame, section, box, double):
    h, x = BOXES[box], positions(9, BOXES[box], 4)
    observable = make(section, "A" * 9, h)
    f = jax.jit(lambda x: observable.measure(frame(x, h)))
    gradient = jax.jit(jax.grad(f))(jnp.asarray(x))
    along = np.random.default_rng(0).normal(size=x.shape)
    # Smooth around here: the same nearest pairs at both ends.
    fd = (f(x + 1e-6 * along) - f(x - 1e-6 * along)) / 2e-6
    assert float(jnp.sum(gradient * along)) == pytest.approx(float(fd), rel=1e-7)
    assert float(jax.jvp(f, (jnp.asarray(x),), (jnp.asarray(along),))[1]) == pytest.approx(float(fd), rel=1e-7)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


def test_derivative_with_respect_to_the_box(make, frame, double):
    x = positions(9, SKEWED, 4)
    for section in ({"kind": "nearest_distance"}, {"kind": "distance", "pairs": [[0, 1], [1, 2]]}):
        observable = make(section, "A" * 9, SKEWED)
        f = jax.jit(lambda h: observable.measure(frame(x, Box(h, "triclinic"))))  # noqa: B023
        along = np.tril(np.random.default_rng(1).normal(size=(3, 3)))
        fd = (f(SKEWED + 1e-6 * along) - f(SKEWED - 1e-6 * along)) / 2e-6
        assert float(jnp.sum(jax.grad(f)(jnp.asarray(SKEWED)) * along)) == pytest.approx(float(fd), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("box", ["none", "cube", "skewed"])
def test_coincident_atoms_have_finite_derivatives(make, frame, box, precision):
    x = np.array([[0.1, 0.2, 0.3]] * 3 + [[0.5, 0.5, 0.5]])
    for section in ({"kind": "nearest_distance"}, {"kind": "distance", "pairs": [[0, 1]]}):
        observable = make(section, "AAAA", BOXES[box])
        f = lambda x: observable.measure(frame(x, BOXES[box]))  # noqa: B023, E731
        assert np.isfinite(f(x))
        assert np.all(np.isfinite(jax.jit(jax.grad(f))(jnp.asarray(x, f(x).dtype))))


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"kind": "nearest_distance", "atoms": [0]}, "", "at least two atoms"),
        ({"kind": "nearest_distance", "atoms": [0, 3]}, ".atoms.1", "no atom 3"),
        ({"kind": "nearest_distance", "atoms": [0, 0]}, ".atoms", "twice"),
        ({"kind": "nearest_distance", "atoms": []}, ".atoms", "empty"),
        ({"kind": "nearest_distance", "types": []}, ".types", "empty"),
        ({"kind": "nearest_distance", "types": ["X"]}, ".types.0", "'X' is not a type"),
        ({"kind": "nearest_distance", "types": ["A"], "atoms": [0]}, ".types", "not both"),
        ({"kind": "distance", "pairs": []}, ".pairs", "empty"),
        ({"kind": "distance", "pairs": [[0, 1], [1, 3]]}, ".pairs.1", "not there"),
        ({"kind": "distance", "pairs": [[1, 1]]}, ".pairs.0", "twice"),
    ],
    ids=str,
)
def test_refused(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AAA")
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message


def test_ties_share_the_derivative_any_number_of_boxes_away(make, frame, precision):
    """Rounding of x - n L grows with x: unless ties are told by that, a neighbour or two of six would get all of it."""
    corners = np.array(list(itertools.product(range(3), repeat=3))) * 0.7
    boxes = np.random.default_rng(0).integers(-300, 300, (27, 3))
    box = np.eye(3) * 2.1
    f = lambda x: make({"kind": "nearest_distance"}, "A" * 27, box).measure(frame(x, box))  # noqa: E731
    gradient = jax.jit(jax.grad(f))(jnp.asarray(corners + boxes @ box))
    # Each atom is pulled by its six neighbours alike.
    np.testing.assert_allclose(gradient, 0, atol=1e-8 if precision == "float64" else 1e-3)
