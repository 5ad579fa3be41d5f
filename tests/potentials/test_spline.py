"""Spline pairs: SciPy's B-spline, smoothness, the core, the sweep's adjoint in every coefficient, fits, refusals."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.interpolate import BSpline
from support.experiments import experiment

from diffmd.box import Box, minimum_image
from diffmd.config.build import build
from diffmd.config.learned import with_learned
from diffmd.config.loading import load
from diffmd.errors import ConfigError
from diffmd.neighbors import AllPairs
from diffmd.potentials.spline import basis, fitted
from diffmd.potentials.sweep import PairSweep

VALUES = np.random.default_rng(0).normal(size=9)
START, CUTOFF = 0.6, 1.5
SECTION = {"kind": "spline_pair", "from": START, "cutoff": CUTOFF, "values": VALUES.tolist()}
STEP = (CUTOFF - START) / 9
KNOTS = START + STEP * np.arange(10)


def scipy_spline(values=VALUES):
    n = len(values)
    h = (CUTOFF - START) / n
    return BSpline(START + h * np.arange(-3, n + 4), np.concatenate([values, np.zeros(3)]), 3)


def energy_of(potential, values=None):
    """u(r) as a function of r."""
    p = {name: jnp.asarray(value) for name, value in potential.parameters.items()}
    if values is not None:
        p["values"] = values
    q = potential.pair_parameters(p)
    return lambda r: potential.pair_energy(r * r, q)


def test_it_is_scipys(make, precision):
    # At knots, between them, and as near to the cutoff as numbers go.
    edge = np.nextafter(np.asarray(CUTOFF, precision), np.asarray(0, precision))
    r = np.concatenate([KNOTS[:-1] + 1e-6, np.linspace(START + 1e-6, CUTOFF, 101), [edge]])
    u = jax.jit(energy_of(make(SECTION)))(jnp.asarray(r))
    assert u.dtype == precision
    np.testing.assert_allclose(u, scipy_spline()(r), atol=1e-13 if precision == "float64" else 2e-6)
    beyond = jax.jit(jax.vmap(jax.value_and_grad(energy_of(make(SECTION)))))(jnp.asarray([CUTOFF + 1e-6, 2.0, 1e9]))
    assert not np.any(beyond[0])
    assert not np.any(beyond[1])


def test_derivatives_at_the_knots_and_at_the_cutoff(make, double):
    u, spline = energy_of(make(SECTION)), scipy_spline()
    derivatives = jax.jit(jax.vmap(lambda r: (jax.grad(u)(r), jax.grad(jax.grad(u))(r))))
    # r of a knot squared and rooted may lie on either side: two derivatives are continuous.
    r = np.concatenate([KNOTS[:-1], [np.nextafter(CUTOFF, 0)], (KNOTS[1:] + KNOTS[:-1]) / 2])
    for order, found in enumerate(derivatives(jnp.asarray(r)), 1):
        np.testing.assert_allclose(found, spline.derivative(order)(r), atol=1e-9)


@pytest.mark.parametrize("core", ["quadratic", "linear"])
def test_the_core(make, core, double):
    wall = {"wall": 7.0} if core == "linear" else {}
    u, spline = energy_of(make(SECTION | {"core": core} | wall)), scipy_spline()
    r = np.linspace(0, START, 20)
    d = r - START
    expected = spline(START) + spline.derivative(1)(START) * d
    if core == "quadratic":
        expected += spline.derivative(2)(START) * d * d / 2
    else:
        expected += 7.0 * (1 - r / START) ** 3
    np.testing.assert_allclose(u(jnp.asarray(r)), expected, rtol=1e-12, atol=1e-13)


def test_all_of_it_is_finite_in_awkward_places(make, precision):
    potential = make(SECTION | {"wall": 5.0})
    p = {name: jnp.asarray(value) for name, value in potential.parameters.items()}

    def u(p, r2):
        return potential.pair_energy(r2, potential.pair_parameters(p))

    r2 = jnp.asarray([0.0, 1e-300, 1e-30, START**2, CUTOFF**2, *(KNOTS**2), 1e30, jnp.inf])
    every = jax.jit(
        jax.vmap(lambda r2: (u(p, r2), jax.grad(u, 1)(p, r2), jax.grad(jax.grad(u, 1), 1)(p, r2), jax.grad(jax.grad(u, 1))(p, r2)))  # noqa: E501
    )(r2)  # fmt: skip
    for array in jax.tree.leaves(every):
        # The force is 2 S d: where S grows like 1/r, it is finite.
        assert np.all(np.isfinite(array)), array
    assert float(every[1][0]) == 0


TYPES = np.arange(14) % 2
H = np.array([[3.2, 0, 0], [1.0, 3.2, 0], [-0.7, 1.1, 3.4]])


def places():
    """Atoms at knots, at the cutoff and on top of each other."""
    x = np.random.default_rng(1).uniform(0, 1, (14, 3)) @ H
    x[1], x[2], x[3] = x[0] + [KNOTS[4], 0, 0], x[0] + [0, CUTOFF, 0], x[0]
    return x


@pytest.mark.parametrize(("between", "x64"), [(None, True), (["A", "B"], False)])
def test_the_sweep_and_its_adjoint_are_plain_autodiff(make, slope, between, x64):
    with jax.enable_x64(x64):
        section = SECTION | {"wall": 2.0, "values": VALUES[:6].tolist()}
        potential = make(section | ({} if between is None else {"types": between}), "AB" * 7)
        at, x = jnp.asarray(H), jnp.asarray(places())
        start = {name: jnp.asarray(value) for name, value in potential.parameters.items()}
        weights = jnp.cos(jnp.arange(42.0)).reshape(14, 3)
        on = ~np.eye(14, dtype=bool) if between is None else TYPES[:, None] != TYPES
        near = AllPairs(jnp.asarray(~np.eye(14, dtype=bool)), jnp.zeros(5, int))

        def naive(p, x, h):
            d = minimum_image(Box(h, "triclinic"), tuple(x[:, None, k] - x[None, :, k] for k in range(3)))
            r2 = jnp.where(on, sum(c * c for c in d), 9.0)
            q = potential.pair_parameters(p) | ({} if between is None else {"on": jnp.ones(())})
            return jnp.sum(jnp.where(on, potential.pair_energy(r2, q), 0)) / 2

        def plain(p, x, h):
            energy, slope = jax.value_and_grad(naive, 1)(p, x, h)
            return jnp.sum(weights * -slope) + 0.3 * energy

        def swept(mode):
            def loss(p, x, h):
                sweep = PairSweep(potential.pair_energy, TYPES, mode)
                found = sweep(x, Box(h, "triclinic"), near, potential.pair_parameters(p), ("forces", "energies"))
                return jnp.sum(weights * found.forces) + 0.3 * jnp.sum(found.energies)

            return loss

        tolerance = 1e-11 if x64 else 3e-5
        value, gradient = jax.jit(jax.value_and_grad(swept("reverse"), (0, 1, 2)))(start, x, at)
        expected, expected_gradient = jax.jit(jax.value_and_grad(plain, (0, 1, 2)))(start, x, at)
        assert float(value) == pytest.approx(float(expected), rel=tolerance)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(jnp.max(jnp.abs(b))))
        if x64:
            # Linear in the coefficients: any step will do.
            f = lambda v: swept("forward")(start | {"values": v}, x, at)  # noqa: E731
            np.testing.assert_allclose(gradient[0]["values"], slope(f, VALUES[:6], 0.1), rtol=1e-8, atol=1e-9)
            tangent = jax.jit(lambda t: jax.jvp(f, (start["values"],), (t,))[1])(jnp.asarray(VALUES[:6]))
            assert float(tangent) == pytest.approx(float(gradient[0]["values"] @ VALUES[:6]), rel=1e-10)


def test_a_curve_is_fitted():
    r = np.linspace(0.5, 1.6, 80)
    spline = scipy_spline()
    curve = np.stack([r, np.where(r < CUTOFF, spline(np.clip(r, START, CUTOFF)), 0)], axis=1)
    np.testing.assert_allclose(fitted(curve, START, CUTOFF, 9, "it"), VALUES, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(basis(r[10:70], START, CUTOFF, 9) @ VALUES, spline(r[10:70]), atol=1e-12)
    with pytest.raises(ConfigError, match=r"20 points .* do not determine 40 values"):
        fitted(curve[20:40], START, CUTOFF, 40, "it")


YAML = """
units: reduced
system:
  box: [4.0, 4.0, 4.0]
  atoms: [{type: A, count: 8, mass: 1.0}]
  positions: {kind: lattice, lattice: sc}
  velocities: {kind: zero}
potentials:
  free: {kind: spline_pair, from: 0.6, cutoff: 1.5, knots: 9, values: {kind: file, path: u.csv}}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.01}, steps: 1}
loss: [{observable: {kind: potential_energy}, compare: none}]
parameters: [%s]
"""


@pytest.mark.parametrize("pattern", ["potentials.free.values", "potentials.*", '"potentials.free.values[2:5]"'])
def test_through_a_config_from_a_file_to_what_was_learned(tmp_path, double, pattern):
    r = np.linspace(START, CUTOFF, 50)
    with (tmp_path / "u.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("r", "u"), *zip(r, scipy_spline()(r), strict=True)])
    (tmp_path / "c.yaml").write_text(YAML % pattern)
    loaded = load(tmp_path / "c.yaml")
    built = build(loaded)
    p = built.objective.parameters.initial(built.values)
    path = next(iter(p))
    chosen = VALUES[2:5] if "2:5" in pattern else VALUES
    np.testing.assert_allclose(p[path], chosen, rtol=1e-8, atol=1e-9)
    learned = with_learned(built, loaded.data, {path: p[path] + 1.0}, "weights.h5").data
    written = learned["potentials"]["free"]["values"]
    expected = VALUES + (np.isin(np.arange(9), [2, 3, 4]) if "2:5" in pattern else 1.0)
    np.testing.assert_allclose(written, expected, rtol=1e-8, atol=1e-9)
    again = experiment(learned["system"], learned["potentials"], parameters=["potentials.free.values"])
    np.testing.assert_allclose(again.values["default"]["potentials.free.values"], expected, rtol=1e-8, atol=1e-9)


def test_types(make):
    three = make(SECTION | {"types": ["C", "A"]}, "ABC")
    np.testing.assert_array_equal(three.between, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(make(SECTION | {"types": ["B"]}, "AB").between, [[0, 0], [0, 1]])
    flat = make({"kind": "spline_pair", "from": 0.5, "cutoff": 1.0, "knots": 5, "values": 0.2})
    np.testing.assert_array_equal(flat.parameters["values"], np.full(5, 0.2))


def test_refused(make):
    with pytest.raises(ConfigError, match="'X' is not a type") as error:
        make(SECTION | {"types": ["A", "X"]})
    assert error.value.path == "potentials.it.types.1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"from": 1.5}, "smaller than the cutoff"),
        ({"values": 0.0}, "how many `knots`"),
        ({"knots": 8}, "9 values are listed for 8 knots"),
        ({"values": [1.0, 2.0]}, "at least 4 values"),
        ({"from": 0.0, "wall": 1.0}, "more than 0"),
        ({"knots": 101}, "less than or equal to 100"),
        ({"types": []}, "at least 1"),
        ({"core": "flat"}, "'quadratic' or 'linear'"),
    ],
    ids=str,
)
def test_refused_by_the_schema(make, changes, said):
    with pytest.raises(ValidationError, match=said):
        make(SECTION | changes)
