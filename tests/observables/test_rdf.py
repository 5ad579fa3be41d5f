"""The radial distribution: brute force, MDAnalysis, the ideal gas, derivatives, memory, refusals."""

import jax
import jax.numpy as jnp
import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rdf import InterRDF

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.observables.rdf import smoothed_shell

CUBE = np.eye(3) * 3.0
SKEWED = np.array([[3.0, 0, 0], [1.4, 2.9, 0], [-1.0, 0.9, 3.2]])


def minimum_image(x, y, h):
    d = x[:, None] - y[None]
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3) @ h
    return np.min([np.linalg.norm(d + s, axis=-1) for s in shifts], axis=0)


def brute_force(x, y, h, grid, width):
    """With y None, the pairs within x."""
    r = minimum_image(x, x if y is None else y, h)
    r = r[~np.eye(len(x), dtype=bool)] if y is None else r.ravel()
    density = np.exp(-(((grid - r[:, None]) / width) ** 2) / 2).sum(axis=0) / (width * np.sqrt(2 * np.pi))
    return abs(np.linalg.det(h)) / len(r) * density / smoothed_shell(grid, width)


@pytest.mark.parametrize("h", [CUBE, SKEWED], ids=["cube", "skewed"])
def test_brute_force(make, frame, h, precision):
    types = "ABBAB" * 6
    x = np.random.default_rng(0).uniform(-0.5, 1.5, (30, 3)) @ h
    a, b = (np.array([t == letter for t in types]) for letter in "AB")
    section = {"kind": "rdf", "range": [0.2, 1.2], "bins": 20, "width": 0.07}
    grid = 0.2 + 0.05 * (np.arange(20) + 0.5)
    for types_of, (first, second) in {
        ("A", "B"): (x[a], x[b]), ("A",): (x[a], None), ("B", "B"): (x[b], None), None: (x, None),
    }.items():  # fmt: skip
        fields = {} if types_of is None else {"types": list(types_of)}
        observable = make(section | fields, types, h)
        np.testing.assert_allclose(observable.grid, grid, rtol=1e-6)
        value = jax.jit(lambda x: observable.measure(frame(x, h)))(x)  # noqa: B023
        assert value.dtype == precision
        tolerance = 1e-11 if precision == "float64" else 2e-4
        np.testing.assert_allclose(value, brute_force(first, second, h, grid, 0.07), rtol=tolerance, atol=tolerance)


def test_as_mdanalysis(make, frame, double):
    """Atoms on sites have few distances, so the histogram of MDAnalysis loses nothing, and smoothed it is this RDF."""
    n, frames, side, spacing, width = 80, 3, 12, 0.25, 0.05
    rng = np.random.default_rng(4)
    sites = np.stack([rng.choice(side**3, n, replace=False) for _ in range(frames)])
    x = spacing * np.stack(np.unravel_index(sites, (side,) * 3), -1)
    types = "AAABB" * (n // 5)
    universe = MDAnalysis.Universe.empty(n, trajectory=True)
    universe.add_TopologyAttr("types", list(types))
    universe.load_new(x.astype(np.float32), dimensions=np.array([3, 3, 3, 90, 90, 90], np.float32))
    grid = 0.2 + 0.05 * (np.arange(16) + 0.5)
    known = spacing * np.sqrt(np.arange(1, 33))
    for pair in (("A", "B"), ("A", "A")):
        groups = [universe.select_atoms(f"type {name}") for name in pair]
        alone = {"exclusion_block": (1, 1)} if pair[0] == pair[1] else {}
        found = InterRDF(*groups, nbins=140, range=(0.005, 1.405), **alone).run().results
        volumes = 4 / 3 * np.pi * np.diff(found.edges**3)
        places = np.digitize(known, found.edges) - 1
        inside = places < len(volumes)
        r, bins = known[inside], places[inside]
        assert len(np.unique(bins)) == len(bins)
        assert np.count_nonzero(np.delete(found.rdf, bins)) == 0
        density = np.exp(-(((grid[:, None] - r) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        expected = density @ (found.rdf * volumes)[bins] / smoothed_shell(grid, width)
        section = {"kind": "rdf", "range": [0.2, 1.0], "bins": 16, "width": width, "types": list(pair)}
        observable = make(section, types, CUBE)
        value = jnp.mean(jax.vmap(lambda x: observable.measure(frame(x, CUBE)))(jnp.asarray(x)), axis=0)  # noqa: B023
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_smoothed_shell_is_its_integral():
    s = np.linspace(0, 5, 200_001)
    for r, width in ((0.01, 0.1), (0.3, 0.2), (2.0, 0.1)):
        density = np.exp(-(((r - s) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        expected = np.trapezoid(4 * np.pi * s**2 * density, s)
        assert float(smoothed_shell(np.array([r]), width)[0]) == pytest.approx(expected, rel=1e-7)


def test_an_ideal_gas_has_one_everywhere(make, frame, double):
    n, frames = 60, 400
    observable = make({"kind": "rdf", "range": 1.0, "bins": 10}, "A" * n, CUBE)
    measure = jax.jit(jax.vmap(lambda x: observable.measure(frame(x, CUBE))))
    rows = np.asarray(measure(np.random.default_rng(5).uniform(0, 3, (frames, n, 3))))
    error = rows.std(axis=0) / np.sqrt(frames)
    assert np.all(np.abs(rows.mean(axis=0) - 1) < 5 * error + 1e-3)
    assert error[1:].max() < 0.03


@pytest.mark.parametrize("types", [["A"], ["A", "B"]])
def test_derivatives(make, frame, types, double):
    x = np.random.default_rng(1).uniform(0, 3, (12, 3))
    observable = make({"kind": "rdf", "range": 1.2, "bins": 10, "types": types}, "AAB" * 4, SKEWED)
    weights = np.random.default_rng(2).normal(size=10)
    f = jax.jit(lambda x, h: jnp.sum(weights * observable.measure(frame(x, Box(h, "triclinic")))))
    for k, value in enumerate((x, SKEWED)):
        along = np.random.default_rng(3).normal(size=value.shape) * (1 if k == 0 else np.tri(3))
        at = lambda t, k=k, along=along: f(x + t * along, SKEWED) if k == 0 else f(x, SKEWED + t * along)  # noqa: E731
        fd = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
        gradient = jax.jit(jax.grad(f, k))(jnp.asarray(x), jnp.asarray(SKEWED))
        assert float(jnp.sum(gradient * along)) == pytest.approx(float(fd), rel=1e-7)
    along = np.random.default_rng(3).normal(size=x.shape)
    tangent = jax.jvp(lambda x: f(x, SKEWED), (jnp.asarray(x),), (jnp.asarray(along),))[1]
    assert float(tangent) == pytest.approx(float(jnp.sum(jax.grad(f)(jnp.asarray(x), SKEWED) * along)), rel=1e-10)


def test_coincident_atoms(make, frame, precision):
    observable = make({"kind": "rdf", "range": 1.5, "bins": 10}, "AAA", CUBE)
    x = jnp.asarray([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert np.all(np.isfinite(jax.jit(jax.jacrev(lambda x: observable.measure(frame(x, CUBE))))(x)))


def test_pairs_are_streamed(make, frame, double):
    n = 800
    observable = make({"kind": "rdf", "range": 1.5, "bins": 100}, "A" * n, CUBE)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(observable.measure(frame(x, CUBE)) ** 2)))
    memory = gradient.lower(jnp.zeros((n, 3))).compile().memory_analysis()
    # All pairs times bins would be 512 MB.
    assert memory.temp_size_in_bytes < 20e6


@pytest.mark.parametrize(
    ("section", "h", "path", "said"),
    [
        ({"range": 1.0}, None, "", "needs a periodic box"),
        ({"range": 1.6}, CUBE, ".range", "beyond half the smallest width of the box, 1.5"),
        ({"range": [1.0, 1.0]}, CUBE, ".range", "smaller"),
        ({"range": 1.0, "types": ["A", "X"]}, CUBE, ".types.1", "'X' is not a type"),
        ({"range": 1.0, "types": ["B"]}, CUBE, "", "no pair"),
        ({"range": 1.0, "types": ["A", "B"], "atoms": [0, 1]}, CUBE, ".types", "not both"),
    ],
    ids=str,
)
def test_refused(make, section, h, path, said):
    with pytest.raises(ConfigError) as error:
        make({"kind": "rdf", **section}, "AAB", h)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
