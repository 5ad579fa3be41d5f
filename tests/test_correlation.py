"""The reduction ``correlation`` and observables of a series in a loss: by hand, and a harmonic oscillator's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import changed, ready

from diffmd.errors import ConfigError
from diffmd.losses import ALL, LossTerm, correlation, evaluate
from diffmd.observables.base import Frame, Observable, SeriesObservable


@dataclasses.dataclass(frozen=True)
class Value(Observable):
    def measure(self, frame: Frame) -> jax.Array:
        return jnp.zeros(())


@dataclasses.dataclass(frozen=True)
class Sum(SeriesObservable):
    def measure(self, frame: Frame) -> dict[str, jax.Array]:
        return {"x": jnp.zeros(())}

    def over(self, rows) -> jax.Array:
        return jnp.cumsum(rows["x"])[:3]

    def abscissa(self, times):
        return times[:3] - times[0]

    @property
    def least_frames(self) -> int:
        return 3


ROWS = np.random.default_rng(0).normal(size=(9, 2))


def by_hand(x, lags):
    d = x - x.mean(axis=0)
    return np.array([np.mean([d[t] * d[t + k] for t in range(len(x) - k)], axis=0) for k in range(lags)])


@pytest.mark.parametrize("lags", [1, 4, 9])
def test_by_hand(lags, precision):
    found = jax.jit(correlation, static_argnums=1)(jnp.asarray(ROWS), lags)
    assert found.dtype == precision
    np.testing.assert_allclose(found, by_hand(ROWS, lags), atol=1e-12 if precision == "float64" else 1e-6)


def test_lag_zero_is_the_variance(double):
    np.testing.assert_allclose(correlation(jnp.asarray(ROWS), 1)[0], ROWS.var(axis=0), rtol=1e-13)


def test_its_derivatives(double):
    term = LossTerm.create("loss.0", Value(), frames=ALL, reduce="correlation", lags=5, target=0.1)
    f = jax.jit(lambda x: evaluate([term], [x])[0])
    x, along = jnp.asarray(ROWS), np.random.default_rng(1).normal(size=ROWS.shape)
    fd = (f(x + 1e-5 * along) - f(x - 1e-5 * along)) / 2e-5
    assert float(jnp.sum(jax.grad(f)(x) * along)) == pytest.approx(float(fd), rel=1e-8)
    assert float(jax.jvp(f, (x,), (jnp.asarray(along),))[1]) == pytest.approx(float(fd), rel=1e-8)


def test_a_curve_is_interpolated_onto_the_lags():
    times = 0.5 * np.arange(9) + 3
    curve = (np.array([0.0, 2.0]), np.array([1.0, 5.0]))
    term = LossTerm.create("loss.0", Value(), frames=ALL, reduce="correlation", curve=curve, times=times)
    np.testing.assert_allclose(term.target, [1.0, 2, 3, 4])
    term = LossTerm.create("loss.0", Sum(), frames=ALL, curve=curve, times=times)
    np.testing.assert_allclose(term.target, [1.0, 2, 3])
    value, _ = evaluate([term], [{"x": jnp.asarray([1.0, 1, 2, 9])}])
    assert float(value) == pytest.approx((0 + 0 + 1) / 3)


@pytest.mark.parametrize(
    ("observable", "fields", "frames", "path", "said"),
    [
        (Value(), {"reduce": "correlation"}, 1, "frames", "1 frames are too few: at least 2"),
        (Value(), {"reduce": "correlation", "lags": 5}, 4, "lags", "5 lags do not fit 4 frames"),
        (Value(), {"lags": 5}, 9, "lags", "lags are of reduce: correlation"),
        (Sum(), {}, 2, "frames", "2 frames are too few: at least 3"),
        (Sum(), {"reduce": "variance"}, 9, "reduce", "leave reduce: variance out"),
        (Sum(), {"target": [1.0, 2.0]}, 9, "target", "shape (2,), the observable (3,)"),
    ],
    ids=str,
)
def test_refused(observable, fields, frames, path, said):
    with pytest.raises(ConfigError) as error:
        LossTerm.create("loss.0", observable, frames=ALL, **{"target": 0.1} | fields, times=np.arange(frames) * 1.0)
    assert error.value.path == f"loss.0.{path}"
    assert said in error.value.message


def test_the_distance_of_an_oscillator(double):
    """Velocity Verlet gives r_n = r0 + A cos(n theta) exactly, with cos(theta) = 1 - (omega dt)^2 / 2."""
    k, dt, amplitude = 9.0, 0.05, 0.2
    spring = {
        "system": {
            "box": None,
            "atoms": [{"type": "A", "count": 2, "mass": 2.0}],
            "positions": {"kind": "inline", "values": [[0.0, 0, 0], [1.2, 0, 0]]},
            "velocities": {"kind": "zero"},
        },
        "potentials": {"spring": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": k}},
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": dt}, "steps": 60},
        "loss": [
            {"observable": {"kind": "distance", "pairs": [[0, 1]]}, "frames": {"from": 0, "every": 2},
             "reduce": "correlation", "lags": 9, "target": 0.003}
        ],
        "parameters": ["potentials.spring.k"],
    }  # fmt: skip

    def loss(k):
        theta = np.arccos(1 - k * dt**2 / 2)
        r = 1 + amplitude * np.cos(theta * np.arange(0, 61, 2))
        return np.mean((by_hand(r, 9) - 0.003) ** 2)

    found = ready(spring).reverse()
    assert found.loss == pytest.approx(loss(k), rel=1e-11)
    slope = (loss(k + 1e-5) - loss(k - 1e-5)) / 2e-5
    assert float(found.gradients["potentials.spring.k"]) == pytest.approx(slope, rel=1e-6)
    # Over whole periods of a fine trajectory it is (A^2 / 2) cos(omega t).
    theta = 2 * np.pi / 400
    np.testing.assert_allclose(by_hand(np.cos(theta * np.arange(40_000)), 50)[::7],
                               np.cos(theta * np.arange(50))[::7] / 2, atol=1e-3)  # fmt: skip
    with pytest.raises(ConfigError, match="50 lags do not fit 31 frames"):
        ready(changed(spring, loss__0__lags=50))
