"""Coordination numbers and contacts by brute force and from the RDF, their derivatives, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from support.derivatives import check_derivatives, check_finite, quick_jit

from diffmd.errors import ConfigError

CUBE = np.eye(3) * 3.0
SKEWED = np.array([[3.0, 0, 0], [1.4, 2.9, 0], [-1.0, 0.9, 3.2]])
TYPES = "AAB" * 4
A, B = (np.flatnonzero([t == letter for t in TYPES]) for letter in "AB")


def positions(seed=1, n=12):
    return np.random.default_rng(seed).uniform(0, 3, (n, 3))


def table(x, h):
    return Atoms("H" * len(x), x, cell=h, pbc=True).get_all_distances(mic=True)


def fermi(r, distance, width):
    return 1 / (1 + np.exp((r - distance) / width))


def test_coordination_is_brute_force(make, frame, precision):
    x, h = positions(), SKEWED if precision == "float64" else CUBE
    counts = fermi(table(x, h), 1.1, 0.1)
    np.fill_diagonal(counts, 0)
    for types, expected in (
        (["A", "B"], counts[np.ix_(A, B)]),
        (["B", "A"], counts[np.ix_(B, A)]),
        (["A"], counts[np.ix_(A, A)]),
    ):
        section = {"kind": "coordination", "distance": 1.1, "width": 0.1} | ({"types": types} if types else {})
        observable = make(section, TYPES, h)
        value = quick_jit(lambda x: observable.measure(frame(x, h)))(x)  # noqa: B023
        assert value.dtype == precision
        assert float(value) == pytest.approx(expected.sum(axis=1).mean(), rel=1e-10 if precision == "float64" else 1e-5)


def test_coordination_is_the_integral_of_the_rdf(make, frame, double):
    # As both widths go to zero; what is left is the few pairs within a width of the distance.
    n, distance = 60, 1.2
    x = positions(2, n)
    bins = 600
    rdf = make({"kind": "rdf", "types": ["A", "B"], "range": distance, "bins": bins}, "AAB" * 20, CUBE)
    r = np.asarray(rdf.grid)
    g = np.asarray(quick_jit(lambda x: rdf.measure(frame(x, CUBE)))(x))
    density = 20 / 27
    integral = 4 * np.pi * density * np.sum(g * r**2) * distance / bins
    section = {"kind": "coordination", "types": ["A", "B"], "distance": distance, "width": 1e-5}
    sharp = make(section, "AAB" * 20, CUBE)
    count = float(quick_jit(lambda x: sharp.measure(frame(x, CUBE)))(x))
    a, b = np.flatnonzero(np.arange(n) % 3 < 2), np.flatnonzero(np.arange(n) % 3 == 2)
    assert count == pytest.approx((table(x, CUBE)[np.ix_(a, b)] < distance).sum() / 40)
    assert integral == pytest.approx(count, rel=5e-3)


CONTACTS = {"kind": "contacts", "pairs": [[0, 1], [2, 5], [7, 3]], "distance": [1.0, 1.2, 0.8], "width": 0.1}
NATIVE = {"kind": "native_contacts", "cutoff": 1.0, "factor": 1.3, "separation": 1, "width": 0.1}


def test_contacts(make, frame, double):
    x, r = positions(), table(positions(), CUBE)
    contacts = make(CONTACTS, TYPES, CUBE)
    value = quick_jit(lambda x: contacts.measure(frame(x, CUBE)))(x)
    expected = np.mean(
        [fermi(r[i, j], d, 0.1) for (i, j), d in zip(CONTACTS["pairs"], CONTACTS["distance"], strict=True)]
    )
    assert float(value) == pytest.approx(expected, rel=1e-10)
    native = table(positions(3), CUBE)
    i, j = np.triu_indices(12, 2)
    i, j = (k[native[i, j] < 1.0] for k in (i, j))
    assert 5 < len(i) < 50
    observable = make(NATIVE | {"reference": {"kind": "start"}}, TYPES, CUBE, start=positions(3))
    f = quick_jit(lambda x: observable.measure(frame(x, CUBE)))
    assert float(f(x)) == pytest.approx(fermi(r[i, j], 1.3 * native[i, j], 0.1).mean(), rel=1e-10)
    # Far within 0.3 r0 every native contact is made.
    assert float(f(positions(3))) > 0.7


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "coordination", "types": ["A", "B"], "distance": 1.1, "width": 0.1},
        CONTACTS,
        NATIVE | {"reference": {"kind": "start"}},
    ],
    ids=str,
)
def test_derivatives(make, frame, section, double):
    observable = make(section, TYPES, CUBE, start=positions(3))
    gradient = check_derivatives(lambda x: observable.measure(frame(x, CUBE)), positions(), rel=1e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


def test_coincident_atoms(make, frame):
    for section in (CONTACTS, {"kind": "coordination", "distance": 1.1, "width": 0.1}):
        observable = make(section, TYPES, CUBE)
        assert not np.any(check_finite(lambda x, o=observable: o.measure(frame(x, CUBE)), np.ones((12, 3))))


def test_coordination_streams_its_pairs(make, frame, double):
    n = 3000
    observable = make({"kind": "coordination", "distance": 1.1, "width": 0.1}, "A" * n, CUBE)
    gradient = jax.jit(jax.grad(lambda x: observable.measure(frame(x, CUBE))))
    # All pairs would be 72 MB.
    assert gradient.lower(jnp.zeros((n, 3))).compile().memory_analysis().temp_size_in_bytes < 5e6


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        (
            {"kind": "coordination", "distance": 1.6, "width": 0.1},
            ".distance",
            "half the smallest width of the box, 1.5",
        ),
        ({"kind": "coordination", "distance": 1.0, "width": 0.1, "types": ["C"]}, "", "no pair"),
        ({"kind": "coordination", "distance": 1.0, "width": 0.1, "types": ["A", "X"]}, ".types.1", "not a type"),
        (CONTACTS | {"distance": [1.0, 2.0]}, ".distance", "2 numbers for 3 pairs"),
        (CONTACTS | {"distance": 2.0}, ".distance", "beyond half"),
        (CONTACTS | {"pairs": [[0, 0]]}, ".pairs.0", "twice"),
        (NATIVE | {"reference": {"kind": "start"}, "cutoff": 1e-3}, ".cutoff", "no pair of the reference"),
        (NATIVE | {"reference": {"kind": "start"}, "factor": 1.6}, ".cutoff", "beyond half"),
        (NATIVE | {"reference": {"kind": "start"}, "separation": 20}, "", "no pair more than 20 apart"),
    ],
    ids=str,
)
def test_refused_contacts(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, TYPES[:-1] + "C", CUBE, start=positions())
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
