"""S(q): a direct sum, freud, the ideal gas, Bragg peaks, derivatives (of the box, too), refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.box import Box
from diffmd.errors import ConfigError

CUBE = np.eye(3) * 3.0
SKEWED = np.array([[3.0, 0, 0], [1.4, 2.9, 0], [-1.0, 0.9, 3.2]])


def direct(x, h, low, high):
    """|q| and S of every wave vector, from a cube of whole numbers that surely holds them all."""
    n = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    q = 2 * np.pi * n @ np.linalg.inv(h).T
    length = np.linalg.norm(q, axis=1)
    inside = (length >= low) & (length <= high) & np.any(n != 0, axis=1)
    return length[inside], np.abs(np.exp(-1j * x @ q[inside].T).sum(axis=0)) ** 2 / len(x)


@pytest.mark.parametrize("h", [CUBE, SKEWED], ids=["cube", "skewed"])
def test_direct_sum(make, frame, h, precision):
    # Unwrapped: atoms may be boxes away.
    x = np.random.default_rng(0).uniform(-1, 2, (20, 3)) @ h
    low, high, bins = 2.0, 9.0, 7
    length, s = direct(x[::2], h, low, high)
    part = np.minimum(((length - low) / (high - low) * bins).astype(int), bins - 1)
    there = np.unique(part)
    observable = make({"kind": "structure_factor", "range": [low, high], "bins": bins, "types": ["A"]}, "AB" * 10, h)
    value = jax.jit(lambda x: observable.measure(frame(x, h)))(x)
    assert value.dtype == precision
    tolerance = 1e-11 if precision == "float64" else 1e-3
    np.testing.assert_allclose(observable.grid, [length[part == k].mean() for k in there], rtol=1e-6)
    np.testing.assert_allclose(value, [s[part == k].mean() for k in there], rtol=tolerance, atol=tolerance)


def test_equal_lengths_are_a_shell_and_listed_vectors_stand_alone(make, frame, double):
    x = np.random.default_rng(1).uniform(0, 3, (15, 3))
    shells = make({"kind": "structure_factor", "range": 5.0}, "A" * 15, CUBE)
    np.testing.assert_allclose(np.asarray(shells.grid) ** 2 / (2 * np.pi / 3) ** 2, [1, 2, 3, 4, 5], rtol=1e-12)
    listed = make({"kind": "structure_factor", "vectors": [[0, 1, 1], [-1, 1, 0], [2, 0, 0]]}, "A" * 15, CUBE)
    q = 2 * np.pi / 3 * np.array([[0, 1, 1], [-1, 1, 0], [2, 0, 0]])
    expected = np.abs(np.exp(-1j * x @ q.T).sum(axis=0)) ** 2 / 15
    np.testing.assert_allclose(listed.measure(frame(x, CUBE)), expected, rtol=1e-12)
    np.testing.assert_allclose(listed.grid, np.linalg.norm(q, axis=1), rtol=1e-12)
    length, s = direct(x, CUBE, 0, 5.0)
    found = shells.measure(frame(x, CUBE))
    for k, one in enumerate(shells.grid):
        assert float(found[k]) == pytest.approx(s[np.isclose(length, one)].mean(), rel=1e-12)


def test_agrees_with_freud(make, frame, double):
    freud = pytest.importorskip("freud")
    x = np.random.default_rng(2).uniform(-4, 4, (60, 3)).astype(np.float32)
    referee = freud.diffraction.StaticStructureFactorDirect(bins=12, k_max=5.0, k_min=1.0)
    referee.compute(([8.0, 8.0, 8.0], x))
    # It takes the wave vectors of one octant alone, and float32 phases.
    n = np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), -1).reshape(-1, 3)[1:]
    observable = make({"kind": "structure_factor", "vectors": n.tolist()}, "A" * 60, np.eye(3) * 8.0)
    value = np.asarray(jax.jit(lambda x: observable.measure(frame(x, np.eye(3) * 8.0)))(x.astype(float)))
    total, count = (np.histogram(observable.grid, referee.bin_edges, weights=w)[0] for w in (value, None))
    np.testing.assert_allclose(total / count, referee.S_k, rtol=1e-6)


def test_ideal_gas_and_crystal(make, frame, double):
    gas = make({"kind": "structure_factor", "range": 6.0, "bins": 4}, "A" * 30, CUBE)
    rows = np.asarray(
        jax.jit(jax.vmap(lambda x: gas.measure(frame(x, CUBE))))(np.random.default_rng(3).uniform(0, 3, (300, 30, 3)))
    )
    assert np.all(np.abs(rows.mean(axis=0) - 1) < 5 * rows.std(axis=0) / np.sqrt(300))
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = [[3, 0, 0], [3, 3, 0], [-3, 3, 6], [1, 0, 0], [2, 1, 0]]
    crystal = make({"kind": "structure_factor", "vectors": vectors}, "A" * 27, CUBE)
    np.testing.assert_allclose(crystal.measure(frame(grid, CUBE)), [27, 27, 27, 0, 0], atol=1e-11)


def test_derivatives(make, frame, double):
    x = np.random.default_rng(4).uniform(0, 3, (12, 3))
    observable = make({"kind": "structure_factor", "range": 6.0, "bins": 5}, "A" * 12, SKEWED)
    weights = np.random.default_rng(5).normal(size=len(observable.grid))
    f = jax.jit(lambda x, h: jnp.sum(weights * observable.measure(frame(x, Box(h, "triclinic")))))
    gradient = jax.jit(jax.grad(f, (0, 1)))(jnp.asarray(x), jnp.asarray(SKEWED))
    for k, shape in enumerate(((12, 3), (3, 3))):
        along = np.random.default_rng(6).normal(size=shape) * (1 if k == 0 else np.tri(3))
        moved = (along, 0 * SKEWED) if k == 0 else (0 * x, along)
        at = lambda t, moved=moved: f(x + t * moved[0], SKEWED + t * moved[1])  # noqa: E731
        fd = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
        assert float(jnp.sum(gradient[k] * along)) == pytest.approx(float(fd), rel=1e-8)
        at_x = (jnp.asarray(x), jnp.asarray(SKEWED))
        assert float(jax.jvp(f, at_x, tuple(map(jnp.asarray, moved)))[1]) == pytest.approx(float(fd), rel=1e-8)


def test_a_box_and_its_atoms_stretched_together_keep_it(make, frame, double):
    x = np.random.default_rng(7).uniform(0, 3, (12, 3))
    observable = make({"kind": "structure_factor", "range": 6.0}, "A" * 12, SKEWED)
    stretch = np.array([[1.1, 0, 0], [0.1, 0.9, 0], [0.0, 0.2, 1.3]])
    before, after = (observable.measure(frame(x @ m, SKEWED @ m)) for m in (np.eye(3), stretch))
    np.testing.assert_allclose(before, after, rtol=1e-10)


def test_wave_vectors_are_streamed(make, frame, double):
    observable = make({"kind": "structure_factor", "range": 30.0, "bins": 20}, "A" * 400, CUBE)
    assert len(observable.indices) > 5000
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(observable.measure(frame(x, CUBE)) ** 2)))
    # All phases would be 16 MB, several times over.
    assert gradient.lower(jnp.zeros((400, 3))).compile().memory_analysis().temp_size_in_bytes < 5e6


@pytest.mark.parametrize(
    ("section", "h", "path", "said"),
    [
        ({"range": 5.0}, None, "", "needs a periodic box"),
        ({"range": 2.0}, CUBE, ".range", "its shortest is 2.0944"),
        ({"range": [3.0, 3.0]}, CUBE, ".range", "from a smaller |q| to a larger"),
        ({"vectors": []}, CUBE, ".vectors", "empty"),
        ({"vectors": [[1, 0, 0], [0, 0, 0]]}, CUBE, ".vectors.1", "q = 0"),
        ({"range": 5.0, "types": ["X"]}, CUBE, ".types.0", "'X' is not a type"),
    ],
    ids=str,
)
def test_refused(make, section, h, path, said):
    with pytest.raises(ConfigError) as error:
        make({"kind": "structure_factor", **section}, "AAB", h)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message


def test_too_many_vectors_are_refused_once_the_box_is_known(make):
    # An endless box stands for one that is not known yet while a config is checked.
    assert len(make({"kind": "structure_factor", "range": 5.0}, "AA", np.eye(3) * 1e9).grid) == 1
    with pytest.raises(ConfigError, match="wave vectors lie in the range, more than 50000"):
        make({"kind": "structure_factor", "range": 10.0}, "AA", np.eye(3) * 300.0)


@pytest.mark.parametrize("section", [{}, {"range": 1.0, "vectors": [[1, 0, 0]]}, {"vectors": [[1, 0, 0]], "bins": 3}])
def test_refused_by_the_schema(make, section):
    with pytest.raises(ValidationError):
        make({"kind": "structure_factor", **section}, "AA", CUBE)
