"""Fluctuations: cells with soft boundaries, the ideal gas, heat capacity, compressibility, Binder's cumulant."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.observables.cells import Cells

BOX = np.array([[3.0, 0, 0], [0.5, 2.5, 0], [-0.3, 0.2, 4.0]])
VOLUME = 30.0


def positions(frames, atoms, seed=0):
    """Of an ideal gas, unwrapped."""
    return np.random.default_rng(seed).uniform(-1, 2, (frames, atoms, 3)) @ BOX


@pytest.mark.parametrize(("counts", "softness"), [((2, 3, 1), 0.1), ((1, 1, 2), 0.25), ((4, 2, 2), 0.02)])
def test_cells(counts, softness, precision):
    cells = Cells(counts, softness)
    box = Box(jnp.asarray(BOX), "triclinic")
    count = jax.jit(cells.numbers)
    numbers = count(box, jnp.asarray(positions(1, 40)[0]))
    assert numbers.dtype == precision
    assert numbers.shape == (cells.total,)
    assert float(numbers.sum()) == pytest.approx(40, rel=1e-12 if precision == "float64" else 1e-5)
    # Well inside a cell an atom counts once, on a face half, at a corner an eighth.
    middles = (np.array(list(itertools.product(*map(range, counts)))) + 0.5) / counts
    for shift in np.eye(3):
        inside = count(box, jnp.asarray((middles[:1] - shift) @ BOX))
        np.testing.assert_allclose(inside, np.eye(cells.total)[0], atol=0.2 if softness == 0.25 else 1e-4)
    corner = count(box, jnp.zeros((1, 3)))
    assert float(corner[0]) == pytest.approx(0.5 ** sum(n > 1 for n in counts), rel=1e-5)


@pytest.mark.parametrize(("n", "softness"), [(2, 0.25), (3, 0.1), (8, 0.2)])
def test_the_mean_square_weight_is_its_integral(n, softness, double):
    cells = Cells((1, n, 1), softness)
    s = (np.arange(2000) + 0.5) / 2000
    one = np.stack([0 * s, s, 0 * s], axis=-1)
    box = Box(jnp.eye(3), "orthorhombic")
    weights = np.asarray(jax.jit(jax.vmap(cells.numbers, (None, 0)))(box, jnp.asarray(one[:, None]))[:, 0])
    assert weights.mean() == pytest.approx(1 / n, rel=1e-12)
    assert cells.mean_square_weight == pytest.approx((weights**2).mean(), rel=1e-10)
    assert cells.ideal_variance == pytest.approx(weights.var(), rel=1e-10)


def test_density_fluctuation(make, frame, double):
    x = positions(1, 40)[0]
    types = "AB" * 20
    observable = make({"kind": "density_fluctuation", "cells": [3, 2, 2], "types": ["B"]}, types, BOX)
    value = jax.jit(lambda x: observable.measure(frame(x, BOX)))(x)
    cells = Cells((3, 2, 2), 0.1)
    numbers = np.asarray(jax.jit(cells.numbers)(Box(jnp.asarray(BOX), "triclinic"), jnp.asarray(x[1::2])))
    assert value.shape == ()
    assert float(value) == pytest.approx(numbers.var() / numbers.mean() ** 2, rel=1e-12)
    assert observable.configurational


def test_an_ideal_gas_fluctuates_as_it_should(make, rows, series, double):
    frames, n, cells = 1500, 30, [2, 2, 3]
    x = positions(frames, n, 1)
    observable = make({"kind": "compressibility", "temperature": 1.5, "cells": cells, "softness": 0.2}, "A" * n, BOX)
    kept = rows(observable, x, BOX)
    blocks = np.array(jax.vmap(observable.over)({k: v.reshape(15, -1, *v.shape[1:]) for k, v in kept.items()}))
    error = np.std(blocks) / np.sqrt(14)
    expected = VOLUME / (n * 1.5)
    assert error < 0.02 * expected
    assert np.mean(blocks) == pytest.approx(expected, abs=4 * error)
    assert float(observable.over(kept)) == pytest.approx(np.mean(blocks), rel=1e-10)
    # Sharp cells: the textbook's V_c var(N_c) / (<N_c>^2 k_B T), over 1 - V_c / V.
    sharp = make({"kind": "compressibility", "temperature": 1.5, "cells": cells, "softness": 1e-6}, "A" * n, BOX)
    numbers = np.asarray(rows(sharp, x[:20], BOX)["numbers"])
    np.testing.assert_allclose(numbers, np.round(numbers), atol=1e-9)
    textbook = VOLUME / 12 * np.mean((numbers - n / 12) ** 2) / (n / 12) ** 2 / 1.5 / (1 - 1 / 12)
    assert float(series(sharp, x[:20], BOX)) == pytest.approx(textbook, rel=1e-4)


def test_the_volume_fluctuates(make, series, double):
    h = BOX * np.array([1.0, 1.1, 0.95, 1.02])[:, None, None]
    v = np.abs(np.linalg.det(h))
    observable = make({"kind": "compressibility", "ensemble": "volume", "temperature": 2.0}, "AA", BOX)
    value = series(observable, positions(4, 2), h)
    assert float(value) == pytest.approx(v.var() / (2 * v.mean()), rel=1e-12)
    assert float(series(observable, positions(4, 2), BOX)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("units", ["reduced", "md"])
def test_heat_capacity(make, series, units, double):
    k = 1.0 if units == "reduced" else 8.31446261815324e-3
    x, v = positions(6, 3), np.random.default_rng(3).normal(size=(6, 3, 3))
    masses = np.array([1.0, 2, 3])
    kinetic = (masses * (v**2).sum(axis=-1)).sum(axis=-1) / 2
    energy = (x**2).sum(axis=(1, 2)) + kinetic
    temperature = 2 * kinetic / (6 * k)
    given = {"masses": jnp.asarray(masses), "degrees_of_freedom": 6,
             "potential_energy": lambda x: jnp.sum(x**2)}  # fmt: skip
    for section, expected in (
        ({}, energy.var() / (k * temperature.mean() ** 2)),
        ({"temperature": 1.5}, energy.var() / (k * 1.5**2)),
        ({"temperature": 1.5, "per_atom": True}, energy.var() / (k * 1.5**2) / 3),
    ):
        observable = make({"kind": "heat_capacity", **section}, "AAA", units=units)
        value = series(observable, x, v=v, **given)
        assert float(value) == pytest.approx(expected, rel=1e-12)


def test_harmonic_particles_have_half_a_boltzmann_for_each_square(make, rows, double):
    """Einstein's crystal: C_V = k_B / 2 (3 N + 3 N)."""
    n, temperature = 8, 1.3
    rng = np.random.default_rng(4)
    x, v = rng.normal(size=(2, 6000, n, 3)) * np.sqrt(temperature)
    observable = make({"kind": "heat_capacity", "per_atom": True}, "A" * n)
    kept = rows(observable, x, v=v, degrees_of_freedom=3 * n, potential_energy=lambda x: jnp.sum(x**2) / 2)
    assert float(observable.over(kept)) == pytest.approx(3.0, abs=4 * 3 * np.sqrt(2 / 6000))


def test_binder_cumulant(make, series, double):
    rng = np.random.default_rng(5)
    section = {"kind": "binder_cumulant", "observable": {"kind": "potential_energy"}}
    observable = make(section, "A")
    centered = make(section | {"centered": True}, "A")

    def of(observable, m):
        given = {"potential_energy": lambda x: x[0, 0]}
        value = series(observable, np.asarray(m)[:, None, None] * np.ones((1, 1, 3)), **given)
        assert value.shape == ()
        return float(value)

    assert of(observable, [2.0, -2, 2, 2]) == pytest.approx(2 / 3)
    m = rng.normal(size=20_000)
    assert of(observable, m) == pytest.approx(0, abs=4 * np.sqrt(24 / 20_000) / 3 * 2)
    m = 3 + rng.normal(size=50)
    assert of(observable, m) == pytest.approx(1 - np.mean(m**4) / 3 / np.mean(m**2) ** 2, rel=1e-12)
    m = m - m.mean()
    assert of(centered, m + 3) == pytest.approx(1 - np.mean(m**4) / 3 / np.mean(m**2) ** 2, rel=1e-10)


def test_binder_cumulant_of_a_vector(make, rows, double):
    """The diagonal of a stress that is -m/V: m^2 = m . m."""
    m = np.random.default_rng(6).normal(size=(30, 3))
    observable = make({"kind": "binder_cumulant", "observable": {"kind": "stress_tensor"}}, "A", BOX)
    kept = rows(observable, m[:, None], BOX, virial=lambda x: jnp.diag(x[0]))
    square = np.sum(m**2, axis=1)
    assert float(observable.over(kept)) == pytest.approx(1 - np.mean(square**2) / 3 / np.mean(square) ** 2)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"kind": "density_fluctuation", "cells": [1, 1, 1]}, ".cells", "cut into 1 cells"),
        ({"kind": "compressibility", "cells": [1, 1, 1]}, ".cells", "cut into 1 cells"),
        ({"kind": "density_fluctuation", "cells": [100, 100, 100]}, ".cells", "1000000 cells"),
        ({"kind": "binder_cumulant", "observable": {"kind": "msd"}}, ".observable", "whole series"),
        (
            {"kind": "binder_cumulant", "observable": {"kind": "rdf", "range": 9.0}},
            ".observable.range",
            "beyond half",
        ),
        (
            {"kind": "binder_cumulant", "observable": {"kind": "potential_energy", "potential": "lj"}},
            ".observable.potential",
            "(potentials: none)",
        ),
    ],
    ids=str,
)
def test_refused(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AA", BOX)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "density_fluctuation", "softness": 0.3},
        {"kind": "compressibility", "cells": [2, 2]},
        {"kind": "heat_capacity", "temperature": 0.0},
        {"kind": "binder_cumulant"},
        {"kind": "binder_cumulant", "observable": {"kind": "unheard_of"}},
        {"kind": "binder_cumulant", "observable": {"kind": "rdf", "range": 1.0, "bin": 3}},
    ],
    ids=str,
)
def test_refused_by_the_schema(make, section):
    with pytest.raises(ValidationError):
        make(section, "AA", BOX)
