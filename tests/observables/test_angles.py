"""Angles and dihedrals against MDAnalysis, their signs and derivatives, and the places where they have no direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from MDAnalysis.lib.distances import calc_angles, calc_dihedrals
from support.derivatives import check_derivatives, check_finite, quick_jit

from diffmd.errors import ConfigError

# MDAnalysis takes single precision: boxes a few units wide keep its rounding under 1e-6.
BOX = np.array([2.0, 2.5, 3.0])
H = np.diag(BOX)
TRIPLES = [[0, 1, 2], [5, 3, 4], [7, 2, 6]]
QUADRUPLES = [[0, 1, 2, 3], [7, 4, 5, 6], [3, 1, 5, 0]]


def positions(seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (8, 3)) * BOX


@pytest.fixture
def measured(make, frame):
    """The values of several observables of eight atoms, one after the other, as one function of the positions."""

    def function(sections, h=None):
        observables = [make(section, "A" * 8, h) for section in sections]
        return quick_jit(lambda x: jnp.concatenate([jnp.ravel(o.measure(frame(x, h))) for o in observables]))

    return function


ANGLE, DIHEDRAL = {"kind": "angle", "triples": TRIPLES}, {"kind": "dihedral", "quadruples": QUADRUPLES}


@pytest.mark.parametrize("h", [None, H], ids=["none", "box"])
def test_as_mdanalysis(measured, h, double):
    x = positions()
    box = None if h is None else np.array([*BOX, 90, 90, 90], np.float32)
    angles = calc_angles(*(x[np.array(TRIPLES)[:, k]] for k in range(3)), box=box)
    dihedrals = calc_dihedrals(*(x[np.array(QUADRUPLES)[:, k]] for k in range(4)), box=box)
    cases = [
        (ANGLE | {"each": True}, angles),
        (ANGLE, angles.mean()),
        (ANGLE | {"output": "cosine"}, np.cos(angles).mean()),
        (DIHEDRAL | {"each": True}, dihedrals),
        (DIHEDRAL, dihedrals.mean()),
        (DIHEDRAL | {"output": "cosine", "each": True}, np.cos(dihedrals)),
        (DIHEDRAL | {"output": "vector"}, [np.cos(dihedrals).mean(), np.sin(dihedrals).mean()]),
        (DIHEDRAL | {"center": 3.0, "each": True}, 3 + (dihedrals - 3 + np.pi) % (2 * np.pi) - np.pi),
    ]
    expected = np.concatenate([np.ravel(values) for _, values in cases])
    np.testing.assert_allclose(measured([section for section, _ in cases], h)(x), expected, rtol=1e-6, atol=1e-6)


def test_the_sign_is_that_of_iupac(make, frame, precision):
    def chain(phi):
        # Seen along +z, from j to k: the front bond points along x, the far one is turned clockwise by phi.
        return np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [np.cos(phi), np.sin(phi), 1]])

    section = {"kind": "dihedral", "quadruples": {"chain": [0, 3]}}
    angles = np.array([-3.0, -1.0, 0.0, 0.5, np.pi / 2, 3.1])
    x = np.stack([chain(phi) for phi in angles])
    values = quick_jit(jax.vmap(lambda x: make(section, "AAAA").measure(frame(x))))(x)
    assert values.dtype == precision
    np.testing.assert_allclose(values, angles, atol=1e-6)
    around = make(section | {"center": float(np.pi)}, "AAAA")
    centered = quick_jit(lambda x: around.measure(frame(x)))(chain(-3.0))
    assert float(centered) == pytest.approx(2 * np.pi - 3)


def test_derivatives(measured, double):
    sections = [
        ANGLE,
        {"kind": "angle", "triples": {"chain": [1, 6]}, "output": "cosine"},
        DIHEDRAL | {"each": True},
        {"kind": "dihedral", "quadruples": {"chain": [0, 7]}, "output": "vector"},
    ]
    gradient = check_derivatives(measured(sections, H), positions(2), rel=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


STRAIGHT = np.array([[0.1, 0.2, 0.3], [0.4, 0.3, 0.5], [0.7, 0.4, 0.7], [1.0, 0.5, 0.9]] * 2)
PLACES = [STRAIGHT, STRAIGHT[[0, 1, 0, 1] * 2], STRAIGHT[[0, 0, 0, 0] * 2]]


def test_dihedrals_where_there_is_no_direction(measured, precision):
    section = {"kind": "dihedral", "quadruples": [[0, 1, 2, 3]], "center": 1.0}
    f = measured([section | {"output": output} for output in ("angle", "cosine", "vector")])
    for x, gradient in zip(PLACES, check_finite(f, *PLACES), strict=True):
        assert not np.any(gradient)
        np.testing.assert_allclose(f(x), [1, np.cos(1), np.cos(1), np.sin(1)], rtol=1e-6)


def test_angles_where_there_is_no_direction(measured, precision):
    f = measured([{"kind": "angle", "triples": [[0, 1, 2]], "output": output} for output in ("angle", "cosine")])
    check_finite(f, *PLACES)
    for x, expected in zip(PLACES, ([np.pi, -1], [0, 1], [0, 0]), strict=True):
        np.testing.assert_allclose(f(x), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"kind": "angle", "triples": []}, ".triples", "empty"),
        ({"kind": "angle", "triples": [[0, 1, 2], [0, 1, 9]]}, ".triples.1", "not there"),
        ({"kind": "angle", "triples": [[0, 1, 0]]}, ".triples.0", "twice"),
        ({"kind": "angle", "triples": {"chain": [0, 1]}}, ".triples.chain", "no run of 3"),
        ({"kind": "angle", "triples": {"chain": [3, 9]}}, ".triples.chain", "atoms are 0 to 7"),
        ({"kind": "dihedral", "quadruples": [[0, 1, 2, 2]]}, ".quadruples.0", "twice"),
    ],
    ids=str,
)
def test_refused_angles(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "A" * 8)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
