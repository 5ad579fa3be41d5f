"""RMSD, dRMSD and RMSF against MDAnalysis, and their derivatives at generic and at symmetric structures."""

import jax.numpy as jnp
import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.align import AlignTraj
from MDAnalysis.analysis.rms import RMSF, rmsd
from support.derivatives import check_derivatives, check_finite, quick_jit

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.observables.superposition import optimal_rotation

N = 7
MASSES = np.array([1.0, 12, 16, 1, 14, 12, 32])


def structure(seed):
    return np.random.default_rng(seed).normal(size=(N, 3))


def turned(x, seed=3):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return x @ (q * np.sign(np.linalg.det(q))) + [0.3, -2, 1]


def inline(y):
    return {"kind": "inline", "values": np.asarray(y).tolist()}


@pytest.fixture
def deviation(make, frame):
    """The rmsd of positions from `y` as a function."""

    def function(y, **section):
        observable = make({"kind": "rmsd", "reference": inline(y), **section}, "A" * len(y))
        return quick_jit(
            lambda x: observable.measure(frame(x, masses=jnp.asarray(MASSES[: len(y)], jnp.zeros(()).dtype)))
        )

    return function


def test_rmsd_as_mdanalysis(deviation, double):
    x, y = structure(0), structure(1)
    options = (
        ({}, {"superposition": True}),
        ({"masses": True}, {"superposition": True, "weights": MASSES}),
        ({"superpose": False}, {"superposition": False}),
        ({"superpose": False, "masses": True}, {"superposition": False, "weights": MASSES}),
    )
    # A mirror image is not laid on its original.
    functions = [deviation(z, **section) for section, _ in options for z in (y, -y)]
    expected = [rmsd(x, z, **theirs) for _, theirs in options for z in (y, -y)]
    values = quick_jit(lambda x: jnp.stack([f.__wrapped__(x) for f in functions]))(x)
    np.testing.assert_allclose(values, expected, rtol=1e-10)


def test_rmsd_of_what_is_the_same_but_for_a_motion(deviation, precision):
    x = structure(0)
    f = deviation(x)
    value = f(turned(x))
    assert value.dtype == precision
    assert float(value) == pytest.approx(0, abs=1e-12 if precision == "float64" else 2e-5)
    same, _ = check_finite(f, x, turned(x))
    assert not np.any(same)


@pytest.mark.parametrize("masses", [True, False])
def test_derivative_of_rmsd(deviation, masses, double):
    gradient = check_derivatives(deviation(structure(1), masses=masses), structure(0))
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(np.cross(structure(0), gradient).sum(axis=0), 0, atol=1e-14)


FLAT, LINE = np.array([1, 1, 0]), np.array([1, 0, 0])


@pytest.mark.parametrize(("of", "to"), [(FLAT, FLAT), (LINE, LINE), (1, LINE), (1, FLAT)], ids=str)
def test_derivative_of_rmsd_at_flat_and_linear_structures(deviation, of, to, double):
    check_derivatives(deviation(structure(1) * to), structure(0) * of)


def test_rmsd_is_finite_where_rotations_tie(deviation):
    tetrahedron = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    check_finite(deviation(tetrahedron), -tetrahedron, 0 * tetrahedron, tetrahedron * [1, 0, 0])
    check_finite(deviation(tetrahedron[:2]), tetrahedron[:2] * 1.3, tetrahedron[2:])


def test_the_rotation_and_its_derivative(double):
    m = np.random.default_rng(0).normal(size=(3, 3))
    for a in (m, -m):
        r = np.asarray(optimal_rotation(jnp.asarray(a)))
        np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(r) == pytest.approx(1)
    check_derivatives(lambda m: jnp.stack([optimal_rotation(m), optimal_rotation(-m)]), m)
    check_finite(optimal_rotation, np.diag([1.0, 1, 0]), np.diag([1.0, 0, 0]), np.zeros((3, 3)))


def test_references(make, frame, double):
    x, y = structure(0), structure(1)
    expected = rmsd(x[[2, 5, 3]], y[[2, 5, 3]], superposition=True)
    read = {("native.pdb", 4, "loss.0.observable.reference"): (y, None)}
    references = [
        {"kind": "start"},
        {"kind": "file", "path": "native.pdb", "frame": 4},
        inline(y),
        inline(y[[2, 5, 3]]),
    ]
    context = {"start": y, "read_structure": lambda *which: read[which]}
    observables = [make({"kind": "rmsd", "reference": r, "atoms": [2, 5, 3]}, "A" * N, **context) for r in references]
    values = quick_jit(lambda x: jnp.stack([o.measure(frame(x)) for o in observables]))(x)
    np.testing.assert_allclose(values, expected, rtol=1e-10)


def test_a_torn_molecule_is_made_whole(make, frame, double):
    x = np.cumsum(0.1 * structure(0), axis=0)
    torn = x % 1.0
    section = {"kind": "rmsd", "reference": inline(torn), "unwrap": True}
    observable = make(section, "A" * N, np.eye(3))
    value = quick_jit(lambda x: observable.measure(frame(x, np.eye(3))))(turned(x) % 1.0)
    assert float(value) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"kind": "drmsd"}, 0.0),
        ({"kind": "rmsd", "unwrap": True, "superpose": False}, 0.0),
        ({"kind": "native_contacts", "cutoff": 0.6, "separation": 0, "factor": 1.0, "width": 0.1}, 0.5),
    ],
)
def test_a_file_is_whole_in_its_own_box(make, frame, section, expected, double):
    """Two atoms across the border of a file's box of 2 are as far apart as in one of 4, where they do not cross it."""
    torn, box = np.array([[0.25, 0, 0], [1.75, 0, 0]]), Box(jnp.eye(3) * 2, "orthorhombic")
    reference = {"kind": "file", "path": "x.pdb"}
    observable = make(
        section | {"reference": reference}, "AA", np.eye(3) * 4, read_structure=lambda *which: (torn, box)
    )
    value = observable.measure(frame([[0.25, 0, 0], [-0.25, 0, 0]], np.eye(3) * 4))
    assert float(value) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["rmsd", "drmsd", "native_contacts"])
@pytest.mark.parametrize("reference", [{"kind": "start"}, {"kind": "file", "path": "x.pdb"}], ids=["start", "file"])
def test_a_check_without_files_refuses_nothing(make, kind, reference):
    extra = {"cutoff": 0.5, "width": 0.1} if kind == "native_contacts" else {}
    spec = {"kind": kind, "reference": reference, **extra}
    assert make(spec, "A" * N, read_structure=lambda *which: (np.zeros((N, 3)), None)) is not None


def distances(x):
    return np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 1)]


def test_drmsd(make, frame, double):
    x, y = structure(0), structure(1)
    observable = make({"kind": "drmsd", "reference": inline(y)}, "A" * N)
    f = quick_jit(lambda x: observable.measure(frame(x)))
    assert float(f(x)) == pytest.approx(np.sqrt(np.mean((distances(x) - distances(y)) ** 2)), rel=1e-12)
    check_derivatives(f, x)
    # Mirror images have the same distances.
    assert float(f(-y)) == pytest.approx(0, abs=1e-12)
    gradients = check_finite(f, y, -y)
    assert not np.any(gradients)


def test_drmsd_takes_shortest_images(make, frame, double):
    x, h = structure(0), 2.5 * np.eye(3)
    inside = make({"kind": "drmsd", "reference": inline(x % 2.5)}, "A" * N, h)
    assert float(quick_jit(lambda x: inside.measure(frame(x, h)))(x)) == pytest.approx(0, abs=1e-7)


def test_drmsd_is_finite_where_atoms_meet(make, frame):
    observable = make({"kind": "drmsd", "reference": inline(structure(0))}, "A" * N)
    same, together = check_finite(lambda x: observable.measure(frame(x)), structure(0), np.ones((N, 3)))
    assert not np.any(same)
    assert not np.any(together)


def trajectory(frames=6):
    steps = 0.2 * np.random.default_rng(4).normal(size=(frames, N, 3))
    return np.stack([turned(structure(0) + step, seed) for seed, step in enumerate(steps)])


def fluctuation(make, rows, **section):
    observable = make({"kind": "rmsf", **section}, "A" * N)
    return quick_jit(lambda x: observable.over(rows(observable, x)))


def universe(x):
    # Whole numbers over 2^20: what MDAnalysis keeps in single precision is exact.
    u = MDAnalysis.Universe.empty(N, trajectory=True)
    u.load_new(x.astype(np.float32), order="fac")
    return u


def test_rmsf_as_mdanalysis(make, rows, double):
    x = np.round(trajectory() * 2**18) / 2**18
    assert np.array_equal(x, x.astype(np.float32))
    expected = RMSF(universe(x).atoms).run().results.rmsf
    np.testing.assert_allclose(fluctuation(make, rows, superpose=False)(x), expected, rtol=1e-6)
    u = universe(x)
    AlignTraj(u, universe(x), select="all", in_memory=True).run()
    expected = RMSF(u.atoms).run().results.rmsf
    np.testing.assert_allclose(fluctuation(make, rows)(x), expected, rtol=1e-6)
    mean = fluctuation(make, rows, each=False)(x)
    assert float(mean) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize("superpose", [True, False])
def test_derivative_of_rmsf(make, rows, superpose, double):
    check_derivatives(fluctuation(make, rows, superpose=superpose), trajectory())


def test_rmsf_is_finite_where_nothing_moves(make, rows, precision):
    places = [np.stack([structure(0) * shape] * 3) for shape in (1, FLAT, LINE, 0)]
    gradients = check_finite(fluctuation(make, rows), *places)
    assert not np.any(gradients)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"kind": "rmsd", "reference": {"kind": "start"}, "atoms": [3]}, "", "select at least two"),
        ({"kind": "rmsd", "reference": inline(np.zeros((2, 3)))}, ".reference.values", "positions of 2 atoms"),
        ({"kind": "rmsd", "reference": {"kind": "start"}, "types": ["X"]}, ".types.0", "not a type"),
        ({"kind": "drmsd", "reference": {"kind": "start"}, "atoms": [3]}, "", "at least two"),
        ({"kind": "rmsf", "atoms": [3]}, "", "select at least two"),
        ({"kind": "rmsf", "atoms": [9]}, ".atoms.0", "no atom 9"),
    ],
    ids=str,
)
def test_refused_deviations(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "A" * N)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
