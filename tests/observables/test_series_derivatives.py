"""Derivatives of correlations and fluctuations: backward, forward, by differences; and single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

H = np.array([[3.0, 0, 0], [0.5, 2.5, 0], [-0.3, 0.2, 4.0]])
FRAMES, ATOMS = 8, 4
SECTIONS = {
    "vacf": {"kind": "vacf", "lags": 4, "normalized": True, "remove_com": True},
    "vacf_spectrum": {"kind": "vacf_spectrum", "lags": 4, "mass_weighted": True, "normalized": False},
    "diffusion_green_kubo": {"kind": "diffusion_green_kubo", "lags": 4, "types": ["A"]},
    "msd": {"kind": "msd", "lags": 4, "remove_com": True},
    "diffusion_einstein": {"kind": "diffusion_einstein", "from": 1, "to": 5},
    "heat_capacity": {"kind": "heat_capacity", "per_atom": True},
    "compressibility": {"kind": "compressibility", "cells": [2, 1, 2], "softness": 0.2},
    "volume": {"kind": "compressibility", "ensemble": "volume"},
    "binder_cumulant": {"kind": "binder_cumulant", "observable": {"kind": "pressure"}},
    "density_fluctuation": {"kind": "binder_cumulant", "centered": True,
                            "observable": {"kind": "density_fluctuation", "cells": [3, 1, 1]}},
    "stress_tensor": {"kind": "binder_cumulant", "observable": {"kind": "stress_tensor", "temperature": 0.7}},
    "density": {"kind": "binder_cumulant", "observable": {"kind": "density", "of": "mass"}},
}  # fmt: skip


def numbers():
    rng = np.random.default_rng(7)
    return {
        "x": np.cumsum(rng.normal(size=(FRAMES, ATOMS, 3)), axis=0),
        "v": rng.normal(size=(FRAMES, ATOMS, 3)),
        "h": H * rng.uniform(0.9, 1.1, (FRAMES, 1, 1)),
        "dt": np.array(0.3),
        "masses": np.array([1.0, 2, 2, 3]),
    }


def loss_of(observable, rows):
    def loss(given):
        shape = jax.eval_shape(observable.over, jax.eval_shape(lambda: kept(given))).shape
        weights = np.random.default_rng(8).uniform(0.5, 1.5, shape)
        return jnp.sum(jnp.asarray(weights, jnp.zeros(()).dtype) * observable.over(kept(given)))

    def kept(given):
        return rows(
            observable, given["x"], given["h"], given["v"], given["dt"], masses=given["masses"],
            degrees_of_freedom=3 * ATOMS,
            potential_energy=lambda x: jnp.sum(jnp.sin(x)),
            virial=lambda x: jnp.sum(x[:, :, None] * jnp.sin(x)[:, None, :], axis=0),
        )  # fmt: skip

    return loss


@pytest.mark.parametrize("name", SECTIONS)
def test_derivatives(make, rows, name, double):
    loss = loss_of(make(SECTIONS[name], "AABB", H), rows)
    at = {key: jnp.asarray(value) for key, value in numbers().items()}
    rng = np.random.default_rng(9)
    along = {key: jnp.asarray(rng.normal(size=np.shape(value))) for key, value in at.items()}
    along["h"] = along["h"] * np.tri(3) * 0.3
    keys = list(at)
    # One row for each of the arguments.
    each = {key: jnp.stack([along[key] if key == k else 0 * along[key] for k in keys]) for key in keys}

    @jax.jit
    def every(at, each):
        def moved(step):
            return jax.vmap(lambda t: loss({key: at[key] + step * t[key] for key in keys}))(each)

        step = 1e-4
        shifted = jax.lax.map(moved, step * jnp.asarray([-2.0, -1, 1, 2]))
        slopes = jnp.sum(jnp.asarray([1.0, -8, 8, -1])[:, None] * shifted, axis=0) / (12 * step)
        forward = jax.vmap(lambda t: jax.jvp(loss, (at,), (t,))[1])(each)
        return jax.grad(loss)(at), forward, slopes

    gradient, forward, slopes = every(at, each)
    backward = np.array([float(jnp.sum(gradient[key] * along[key])) for key in keys])
    size = np.abs(backward).max()
    assert size > 1e-4
    np.testing.assert_allclose(backward, slopes, rtol=1e-7, atol=1e-9 * max(size, 1))
    np.testing.assert_allclose(forward, backward, rtol=1e-10, atol=1e-12 * size)


def test_single_precision_stays_single(make, rows):
    given = {key: jnp.asarray(value, np.float32) for key, value in numbers().items()}
    for name, section in SECTIONS.items():
        loss = loss_of(make(section, "AABB", H), rows)
        assert jax.eval_shape(loss, given).dtype == np.float32, name
    # The one with the most room for cancellation.
    values = []
    for double in (True, False):
        with jax.enable_x64(double):
            loss = loss_of(make(SECTIONS["heat_capacity"], "AABB", H), rows)
            values.append(float(jax.jit(loss)({key: jnp.asarray(value, float) for key, value in numbers().items()})))
    assert values[1] == pytest.approx(values[0], rel=1e-4)
