"""Size and shape of molecules against MDAnalysis and closed forms, and their derivatives at symmetric shapes."""

import jax
import jax.numpy as jnp
import MDAnalysis
import numpy as np
import pytest
from support.derivatives import check_derivatives, check_finite

from diffmd.errors import ConfigError

N = 6
MASSES = np.array([1.0, 12, 16, 1, 14, 12])
SCALARS = ["radius_of_gyration", "asphericity", "shape_anisotropy", "end_to_end"]


def structure(seed=0):
    # Exact in MDAnalysis' single precision.
    x = np.random.default_rng(seed).normal(size=(N, 3)) * [1, 2, 3]
    return np.round(x * 2**16) / 2**16


@pytest.fixture
def measured(make, frame):
    def function(kind, types="A" * N, **section):
        observable = make({"kind": kind, **section}, types)
        return jax.jit(
            lambda x: observable.measure(frame(x, masses=jnp.asarray(MASSES[: len(x)], jnp.zeros(()).dtype)))
        )

    return function


def tensor(x, w):
    d = x - w @ x / w.sum()
    return np.einsum("i,ia,ib->ab", w, d, d) / w.sum()


def test_as_mdanalysis(measured, double):
    x = structure()
    for masses in (MASSES, np.ones(N)):
        u = MDAnalysis.Universe.empty(N, trajectory=True)
        u.add_TopologyAttr("masses", masses)
        u.atoms.positions = x
        weighed = {"masses": masses is MASSES}
        s = u.atoms.gyration_moments()
        low, middle, high = sorted(s)
        for kind, expected in (
            ("radius_of_gyration", u.atoms.radius_of_gyration()),
            # MDAnalysis calls the relative shape anisotropy asphericity.
            ("shape_anisotropy", u.atoms.asphericity()),
            ("asphericity", high - (low + middle) / 2),
        ):
            assert float(measured(kind, **weighed)(x)) == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(measured("gyration_tensor", **weighed)(x), tensor(x, masses), rtol=1e-12)
    assert float(measured("end_to_end", atoms=[4, 0, 2])(x)) == pytest.approx(np.linalg.norm(x[2] - x[4]))


def test_several_molecules(measured, double):
    x = structure()
    for kind in (*SCALARS, "gyration_tensor"):
        one, other = (measured(kind, atoms=atoms)(x) for atoms in ([0, 1, 2], [3, 4, 5]))
        np.testing.assert_allclose(measured(kind, molecules=2)(x), (one + other) / 2, rtol=1e-12)


def test_closed_forms(measured, precision):
    rod = np.arange(N)[:, None] * np.array([[0.6, 0, 0.8]]) + 3
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    square = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    variance = (N**2 - 1) / 12
    for kind, x, expected in (
        ("radius_of_gyration", rod, np.sqrt(variance)),
        ("asphericity", rod, variance),
        ("shape_anisotropy", rod, 1),
        ("end_to_end", rod, N - 1),
        ("radius_of_gyration", octahedron, 1),
        ("asphericity", octahedron, 0),
        ("shape_anisotropy", octahedron, 0),
        ("shape_anisotropy", square, 1 / 4),
        ("asphericity", square, 1 / 4),
    ):
        weighed = {} if kind == "end_to_end" else {"masses": False}
        value = measured(kind, types="A" * len(x), **weighed)(x)
        assert value.dtype == precision
        assert float(value) == pytest.approx(expected, abs=3e-6)


@pytest.mark.parametrize("kind", [*SCALARS, "gyration_tensor"])
def test_derivatives(measured, kind, double):
    gradient = check_derivatives(measured(kind, molecules=2), structure(1))
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("kind", SCALARS)
def test_derivatives_at_symmetric_shapes(measured, kind, precision):
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    weighed = {} if kind == "end_to_end" else {"masses": False}
    f = measured(kind, **weighed)
    # Rotations turn the gradient along, so no axis is picked among those that tie.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    places = octahedron, octahedron @ turn, octahedron * [1, 0, 0], np.ones((N, 3))
    upright, turned, _, together = check_finite(f, *places)
    np.testing.assert_allclose(turned, upright @ turn, atol=1e-5)
    np.testing.assert_allclose(together, 0, atol=1e-6)
    if kind in ("asphericity", "shape_anisotropy"):
        np.testing.assert_allclose(upright, 0, atol=1e-6)


def test_torn_chains_are_made_whole(make, frame, double):
    x = np.cumsum(np.random.default_rng(2).uniform(-0.3, 0.5, (N, 3)), axis=0)
    h = np.array([[1.2, 0, 0], [0.4, 1.3, 0], [-0.3, 0.2, 1.4]])
    torn = x @ np.linalg.inv(h) % 1 @ h
    assert not np.allclose(np.diff(torn, axis=0), np.diff(x, axis=0))
    for kind in ("radius_of_gyration", "end_to_end"):
        whole, plain = (make({"kind": kind, "unwrap": unwrap}, "A" * N, h) for unwrap in (True, False))
        assert float(whole.measure(frame(torn, h))) == pytest.approx(float(plain.measure(frame(x, h))), rel=1e-12)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"molecules": 4}, ".molecules", "6 atoms do not make 4 molecules"),
        ({"molecules": 6}, "", "a molecule of one atom"),
        ({"atoms": [1]}, "", "a molecule of one atom"),
        ({"types": ["X"]}, ".types.0", "not a type"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["radius_of_gyration", "end_to_end"])
def test_refused_molecules(make, kind, section, path, said):
    with pytest.raises(ConfigError) as error:
        make({"kind": kind, **section}, "A" * N)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
