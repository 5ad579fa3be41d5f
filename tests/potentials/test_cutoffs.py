"""Cutoffs: values against the formulae, continuity, and derivatives of every order behind the mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from diffmd.potentials.cutoffs import CutoffSpec

ADAPTER = TypeAdapter(CutoffSpec)
RC, START = 2.5, 2.0
KINDS = {
    "truncated": RC,
    "shifted_potential": {"kind": "shifted_potential", "distance": RC},
    "shifted_force": {"kind": "shifted_force", "distance": RC},
    "switch": {"kind": "switch", "distance": RC, "from": START},
}


def u(r2, q):
    return q["a"] / r2**6 - q["b"] / r2**3


Q = {"a": 4.1, "b": 3.7}


def cut(kind):
    end = ADAPTER.validate_python(KINDS[kind]).build()
    return lambda r2, q: end.apply(u, r2, {name: jnp.asarray(value) for name, value in q.items()})


def by_hand(kind, r):
    energy, at_end = u(r**2, Q), u(RC**2, Q)
    slope = -12 * Q["a"] / RC**13 + 6 * Q["b"] / RC**7
    x = np.clip((r - START) / (RC - START), 0, 1)
    inside = {
        "truncated": energy,
        "shifted_potential": energy - at_end,
        "shifted_force": energy - at_end - (r - RC) * slope,
        "switch": energy * (1 - 10 * x**3 + 15 * x**4 - 6 * x**5),
    }[kind]
    return np.where(r < RC, inside, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_value_is_the_formula(kind, precision):
    r = np.linspace(0.8, 3, 200)
    value = cut(kind)(jnp.asarray(r**2), Q)
    assert value.dtype == precision
    np.testing.assert_allclose(value, by_hand(kind, r), rtol=1e-12 if precision == "float64" else 1e-4, atol=3e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_derivative_beyond_the_cutoff_is_zero(kind, precision):
    beyond = jnp.asarray([RC**2, 7.0, 1e4, 1e30, jnp.inf])
    q = {name: jnp.asarray(value) for name, value in Q.items()}
    function = cut(kind)
    for order in range(4):
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(function, 1), (0, None)))(beyond, q)
        assert np.all(np.asarray(values) == 0), (kind, order)
        assert all(np.all(np.asarray(s) == 0) for s in slopes.values()), (kind, order)
        function = jax.grad(function)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_inside_are_finite_up_to_the_edges(kind, precision):
    eps = 1e-12 if precision == "float64" else 1e-6
    r = jnp.asarray([0.9, START * (1 - eps), START, START * (1 + eps), RC * (1 - eps)])
    q = {name: jnp.asarray(value) for name, value in Q.items()}
    function = cut(kind)
    for _ in range(3):
        function = jax.grad(function)
        assert np.all(np.isfinite(jax.jit(jax.vmap(function, (0, None)))(r**2, q)))


@pytest.mark.parametrize(
    ("kind", "continuous"), [("truncated", 0), ("shifted_potential", 1), ("shifted_force", 2), ("switch", 3)]
)
def test_continuity_at_the_cutoff(kind, continuous, double):
    function = cut(kind)
    for order in range(4):
        inside = float(jax.jit(function)(jnp.asarray((RC * (1 - 1e-9)) ** 2), Q))
        assert (abs(inside) < 1e-6) == (order < continuous), order
        function = jax.grad(function)


def test_the_switch_leaves_alone_what_is_below_it(double):
    r2 = jnp.linspace(0.8, START, 50) ** 2
    np.testing.assert_array_equal(cut("switch")(r2, Q), u(r2, Q))


def test_a_switch_from_zero_is_finite_at_zero(double):
    end = ADAPTER.validate_python({"kind": "switch", "distance": 1.0, "from": 0}).build()
    soft = lambda r2: end.apply(lambda x, q: (1 - x) ** 2, r2, {})  # noqa: E731
    for _ in range(3):
        soft = jax.grad(soft)
        assert np.isfinite(soft(jnp.asarray(0.0)))


def test_parameter_derivatives_include_the_shift(double, slope):
    for kind in KINDS:
        for name in Q:
            f = lambda value, name=name, kind=kind: cut(kind)(jnp.asarray(2.2**2), {**Q, name: value})  # noqa: E731
            np.testing.assert_allclose(jax.grad(f)(jnp.asarray(Q[name])), slope(f, Q[name]), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_stays_nan(kind, precision):
    assert np.isnan(cut(kind)(jnp.asarray(jnp.nan), Q))


def test_constants_at_the_cutoff_are_not_computed_for_every_pair(double):
    """With scalar parameters u(r_c) and u'(r_c) are scalars of the jaxpr: only u and the subtractions are arrays."""
    end = ADAPTER.validate_python(KINDS["shifted_force"]).build()
    expensive = lambda r2, q: q["a"] * jnp.exp(-r2)  # noqa: E731
    jaxpr = jax.make_jaxpr(lambda r2, q: end.apply(expensive, r2, q))(jnp.ones(100), {"a": jnp.asarray(1.0)})
    shapes = [eqn.outvars[0].aval.shape for eqn in jaxpr.eqns if eqn.primitive.name == "exp"]
    assert sorted(shapes) == [(), (100,)]


def test_shorthands():
    assert ADAPTER.validate_python(2.5) == ADAPTER.validate_python({"kind": "truncated", "distance": 2.5})
    assert ADAPTER.validate_python(None) == ADAPTER.validate_python({"kind": "none"})
    assert ADAPTER.validate_python(None).build().distance is None
    assert ADAPTER.validate_python(2).build().truncated


@pytest.mark.parametrize(
    "bad",
    [0, -1.0, True, "2.5", {"distance": 2}, {"kind": "switch", "distance": 2}, {"kind": "truncated", "distance": -1},
     {"kind": "switch", "distance": 2, "from": 2}, {"kind": "shifted", "distance": 1}, {"kind": "none", "distance": 1}],
)  # fmt: skip
def test_refused(bad):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(bad)


def test_written_as_it_is_read():
    spec = ADAPTER.validate_python(KINDS["switch"])
    assert ADAPTER.dump_python(spec, by_alias=True) == KINDS["switch"]
