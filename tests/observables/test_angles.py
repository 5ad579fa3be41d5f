"""Angles and dihedrals against MDAnalysis, their signs and derivatives, and the places where they have no direction."""

import jax
import numpy as np
import pytest
from MDAnalysis.lib.distances import calc_angles, calc_dihedrals
from support.derivatives import check_derivatives, check_finite

from diffmd.errors import ConfigError

# MDAnalysis takes single precision: boxes a few units wide keep its rounding under 1e-6.
BOX = np.array([2.0, 2.5, 3.0])
H = np.diag(BOX)
TRIPLES = [[0, 1, 2], [5, 3, 4], [7, 2, 6]]
QUADRUPLES = [[0, 1, 2, 3], [7, 4, 5, 6], [3, 1, 5, 0]]


def positions(seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (8, 3)) * BOX


def measured(make, frame, section, x, h=None):
    observable = make(section, "A" * len(x), h)
    return np.asarray(jax.jit(lambda x: observable.measure(frame(x, h)))(x))


@pytest.mark.parametrize("h", [None, H], ids=["none", "box"])
def test_as_mdanalysis(make, frame, h, double):
    x = positions()
    box = None if h is None else np.array([*BOX, 90, 90, 90], np.float32)
    angles = calc_angles(*(x[np.array(TRIPLES)[:, k]] for k in range(3)), box=box)
    dihedrals = calc_dihedrals(*(x[np.array(QUADRUPLES)[:, k]] for k in range(4)), box=box)
    angle, dihedral = {"kind": "angle", "triples": TRIPLES}, {"kind": "dihedral", "quadruples": QUADRUPLES}
    for section, expected in (
        (angle | {"each": True}, angles),
        (angle, angles.mean()),
        (angle | {"output": "cosine"}, np.cos(angles).mean()),
        (dihedral | {"each": True}, dihedrals),
        (dihedral, dihedrals.mean()),
        (dihedral | {"output": "cosine", "each": True}, np.cos(dihedrals)),
        (dihedral | {"output": "vector"}, [np.cos(dihedrals).mean(), np.sin(dihedrals).mean()]),
        (dihedral | {"center": 3.0, "each": True}, 3 + (dihedrals - 3 + np.pi) % (2 * np.pi) - np.pi),
    ):
        np.testing.assert_allclose(measured(make, frame, section, x, h), expected, rtol=1e-6, atol=1e-6)


def test_the_sign_is_that_of_iupac(make, frame, precision):
    def chain(phi):
        # Seen along +z, from j to k: the front bond points along x, the far one is turned clockwise by phi.
        return np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [np.cos(phi), np.sin(phi), 1]])

    section = {"kind": "dihedral", "quadruples": {"chain": [0, 3]}}
    for phi in (-3.0, -1.0, 0.0, 0.5, np.pi / 2, 3.1):
        value = measured(make, frame, section, chain(phi))
        assert value.dtype == precision
        assert float(value) == pytest.approx(phi, abs=1e-6)
    assert float(measured(make, frame, section | {"center": "180 deg"}, chain(-3.0))) == pytest.approx(2 * np.pi - 3)


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "angle", "triples": TRIPLES, "each": True},
        {"kind": "angle", "triples": {"chain": [1, 6]}, "output": "cosine"},
        {"kind": "dihedral", "quadruples": QUADRUPLES, "each": True},
        {"kind": "dihedral", "quadruples": {"chain": [0, 7]}, "output": "vector"},
    ],
    ids=str,
)
def test_derivatives(make, frame, section, double):
    observable = make(section, "A" * 8, H)
    gradient = check_derivatives(lambda x: observable.measure(frame(x, H)), positions(2), rel=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


STRAIGHT = np.array([[0.1, 0.2, 0.3], [0.4, 0.3, 0.5], [0.7, 0.4, 0.7], [1.0, 0.5, 0.9]])
PLACES = [STRAIGHT, STRAIGHT[[0, 1, 0, 1]], STRAIGHT[[0, 0, 0, 0]]]


@pytest.mark.parametrize("output", ["angle", "cosine", "vector"])
def test_dihedrals_where_there_is_no_direction(make, frame, output, precision):
    section = {"kind": "dihedral", "quadruples": [[0, 1, 2, 3]], "output": output, "center": 1.0}
    f = jax.jit(lambda x: make(section, "AAAA").measure(frame(x)))
    at_center = {"angle": 1.0, "cosine": np.cos(1), "vector": [np.cos(1), np.sin(1)]}[output]
    for x, gradient in zip(PLACES, check_finite(f, *PLACES), strict=True):
        assert not np.any(gradient)
        np.testing.assert_allclose(f(x), at_center, rtol=1e-6)


@pytest.mark.parametrize("output", ["angle", "cosine"])
def test_angles_where_there_is_no_direction(make, frame, output, precision):
    f = jax.jit(lambda x: make({"kind": "angle", "triples": [[0, 1, 2]], "output": output}, "AAAA").measure(frame(x)))
    check_finite(f, *PLACES)
    for x, angle, cosine in zip(PLACES, (np.pi, 0, 0), (-1, 1, 0), strict=True):
        assert float(f(x)) == pytest.approx(angle if output == "angle" else cosine, abs=1e-3)


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
