"""Size and shape of molecules against MDAnalysis and closed forms, and their derivatives at symmetric shapes."""

import jax.numpy as jnp
import MDAnalysis
import numpy as np
import pytest
from support.derivatives import check_derivatives, check_finite, quick_jit

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
    """The values of several observables, one after the other, as one function of the positions."""

    def function(sections, types="A" * N, h=None):
        observables = [make(section, types, h) for section in sections]

        def values(x):
            at = frame(x, h, masses=jnp.asarray(MASSES[: len(types)], jnp.zeros(()).dtype))
            return jnp.concatenate([jnp.ravel(o.measure(at)) for o in observables])

        return quick_jit(values)

    return function


def tensor(x, w):
    d = x - w @ x / w.sum()
    return np.einsum("i,ia,ib->ab", w, d, d) / w.sum()


@pytest.mark.parametrize("masses", [True, False])
def test_as_mdanalysis(measured, masses, double):
    x, m = structure(), MASSES if masses else np.ones(N)
    u = MDAnalysis.Universe.empty(N, trajectory=True)
    u.add_TopologyAttr("masses", m)
    u.atoms.positions = x
    low, middle, high = sorted(u.atoms.gyration_moments())
    kinds = ["radius_of_gyration", "shape_anisotropy", "asphericity", "gyration_tensor"]
    values = measured([{"kind": kind, "masses": masses} for kind in kinds])(x)
    # MDAnalysis calls the relative shape anisotropy asphericity.
    expected = [u.atoms.radius_of_gyration(), u.atoms.asphericity(), high - (low + middle) / 2]
    np.testing.assert_allclose(values[:3], expected, rtol=1e-6)
    np.testing.assert_allclose(values[3:], tensor(x, m).ravel(), rtol=1e-12)


def test_several_molecules(measured, double):
    x, kinds = structure(), [*SCALARS, "gyration_tensor"]
    first, second, both = (
        measured([{"kind": kind, **which} for kind in kinds])(x)
        for which in ({"atoms": [0, 1, 2]}, {"atoms": [3, 4, 5]}, {"molecules": 2})
    )
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-12)
    assert float(first[3]) == pytest.approx(np.linalg.norm(x[2] - x[0]))


EVEN = [{"kind": kind, "masses": False} for kind in SCALARS[:3]]
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])


def test_closed_forms(measured, precision):
    rod = np.arange(N)[:, None] * np.array([[0.6, 0, 0.8]]) + 3
    triangles = np.array([[np.cos(a), np.sin(a), 0] for a in np.arange(N) * np.pi / 3])
    variance = (N**2 - 1) / 12
    f = measured([*EVEN, {"kind": "end_to_end"}])
    for x, expected in (
        (rod, [np.sqrt(variance), variance, 1, N - 1]),
        (OCTAHEDRON, [1, 0, 0, np.sqrt(2)]),
        (triangles, [1, 1 / 4, 1 / 4, 1]),
    ):
        assert f(x).dtype == precision
        np.testing.assert_allclose(f(x), expected, atol=3e-6)


def test_derivatives(measured, double):
    sections = [{"kind": kind, "molecules": 2} for kind in (*SCALARS, "gyration_tensor")]
    gradient = check_derivatives(measured(sections), structure(1))
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("sections", [EVEN[1:], [EVEN[0], {"kind": "end_to_end"}]], ids=["shape", "size"])
def test_derivatives_at_symmetric_shapes(measured, sections, precision):
    # Rotations turn the gradient along, so no axis is picked among those that tie.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    places = OCTAHEDRON, OCTAHEDRON @ turn, OCTAHEDRON * [1, 0, 0], np.ones((N, 3))
    upright, turned, _, together = check_finite(measured(sections), *places)
    np.testing.assert_allclose(turned, upright @ turn, atol=1e-5)
    np.testing.assert_allclose(together, 0, atol=1e-6)
    if sections[0]["kind"] == "asphericity":
        np.testing.assert_allclose(upright, 0, atol=1e-6)


def test_torn_chains_are_made_whole(measured, double):
    x = np.cumsum(np.random.default_rng(2).uniform(-0.3, 0.5, (N, 3)), axis=0)
    h = np.array([[1.2, 0, 0], [0.4, 1.3, 0], [-0.3, 0.2, 1.4]])
    torn = x @ np.linalg.inv(h) % 1 @ h
    assert not np.allclose(np.diff(torn, axis=0), np.diff(x, axis=0))
    section = {"kind": "radius_of_gyration"}
    mended, plain = measured([section | {"unwrap": True}], h=h)(torn), measured([section], h=h)(x)
    np.testing.assert_allclose(mended, plain, rtol=1e-12)


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
