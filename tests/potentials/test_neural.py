"""Neural bonds: the network, its first weights, force and energy, and the awkward places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.errors import ConfigError
from diffmd.potentials.neural import ACTIVATIONS, glorot_weights

FORCE = {"kind": "neural_bond", "bonds": [[0, 2], [1, 3]]}
PINNED = [-1.3815544093468557, -0.731009262854454]
X = np.array([[0.1, 0.2, 0.3], [0.8, 0.1, 0.2], [1.3, 0.9, 0.1], [0.9, -0.5, 0.9]])


def starting(potential):
    return {name: jnp.asarray(value) for name, value in potential.parameters.items()}


def vectors(potential, x):
    return jnp.diff(jnp.asarray(x)[potential.atoms], axis=1)


def by_hand(p, r):
    w0, b0, w1, b1 = (np.asarray(p[f"weights.{k}"]) for k in ("0/weight", "0/bias", "1/weight", "1/bias"))
    return np.tanh(w1 @ np.maximum(w0[:, 0] * r + b0, 0) + b1)[0]


def test_shapes_and_first_weights(make):
    p = make(FORCE | {"widths": [6, 4], "activations": ["relu", "silu", "tanh"]}).parameters
    shapes = {name: value.shape for name, value in p.items()}
    assert shapes == {
        "weights.0/weight": (6, 1), "weights.0/bias": (6,), "weights.1/weight": (4, 6),
        "weights.1/bias": (4,), "weights.2/weight": (1, 4), "weights.2/bias": (1,),
    }  # fmt: skip
    for name, value in p.items():
        if name.endswith("bias"):
            assert not value.any()


def test_first_weights_are_glorot_uniform_and_a_function_of_the_seed():
    a, b = glorot_weights([200, 300], 5)["0/weight"], glorot_weights([200, 300], 5)["0/weight"]
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, glorot_weights([200, 300], 6)["0/weight"])
    bound = np.sqrt(6 / 500)
    assert np.abs(a).max() <= bound
    assert abs(a.mean()) < 5 * bound / np.sqrt(3 * a.size)
    assert a.var() == pytest.approx(bound**2 / 3, rel=0.02)
    # Pinned: a seed means the same network for ever.
    np.testing.assert_allclose(glorot_weights([1, 2], 0)["0/weight"][:, 0], PINNED, rtol=0, atol=1e-15)


def test_a_positive_force_attracts(make, precision):
    potential = make(FORCE)
    p = starting(potential)
    gradients = potential.term_gradients(p, vectors(potential, X))
    assert gradients.shape == (2, 1, 3)
    assert gradients.dtype == precision
    for term, (i, j) in enumerate(FORCE["bonds"]):
        r = np.linalg.norm(X[j] - X[i])
        # dU/dv along x_j - x_i: the force on j is its negative, so that f > 0 pulls j toward i.
        np.testing.assert_allclose(gradients[term, 0], by_hand(p, r) * (X[j] - X[i]) / r, rtol=2e-6, atol=1e-7)


def test_the_energy_of_a_force_is_its_integral(make, double):
    smooth = make(FORCE | {"widths": [8], "activations": ["tanh", "identity"]})
    p = starting(smooth)
    v = vectors(smooth, X)
    gradient = jax.grad(lambda v: jnp.sum(smooth.term_energies(p, v)))(v)
    np.testing.assert_allclose(gradient, smooth.term_gradients(p, v), rtol=1e-12, atol=1e-13)
    assert float(jnp.sum(smooth.term_energies(p, 0 * v))) == 0
    # With a kink inside the range: within what the docstring promises.
    kinked = make(FORCE | {"widths": [1], "activations": ["relu", "identity"]})
    p = {"weights.0/weight": jnp.ones((1, 1)), "weights.0/bias": jnp.asarray([-0.41]),
         "weights.1/weight": jnp.ones((1, 1)), "weights.1/bias": jnp.zeros(1)}  # fmt: skip
    r = np.linalg.norm(np.asarray(v)[:, 0], axis=-1)
    assert np.all(np.abs(kinked.term_energies(p, v) - (r - 0.41) ** 2 / 2) < 2e-4 * r**2)


def test_energy_output(make, slope, double):
    potential = make(FORCE | {"output": "energy", "activations": ["silu", "tanh"]})
    p = starting(potential)
    f = lambda x: jnp.sum(potential.term_energies(p, vectors(potential, x)))  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(f))(jnp.asarray(X)), slope(f, X), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("output", ["force", "energy"])
def test_parameter_derivatives(make, slope, output, double):
    potential = make(FORCE | {"output": output, "activations": ["tanh", "tanh"]})
    p = starting(potential)
    v = vectors(potential, X)

    def total(p):
        if output == "energy":
            return jnp.sum(potential.term_energies(p, v))
        return jnp.sum(potential.term_gradients(p, v) * jnp.arange(6.0).reshape(2, 1, 3))

    for name, value in p.items():
        f = lambda w, name=name: total({**p, name: w})  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.grad(f))(value), slope(f, value), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("output", ["force", "energy"])
def test_coincident_atoms(make, precision, output):
    potential = make(FORCE | {"output": output})
    p, v = starting(potential), jnp.zeros((2, 1, 3))
    if output == "force":
        force = lambda v: potential.term_gradients(p, v)  # noqa: E731
    else:
        force = jax.grad(lambda v: jnp.sum(potential.term_energies(p, v)))
    np.testing.assert_array_equal(force(v), np.zeros((2, 1, 3)))
    assert np.all(np.isfinite(jax.jit(jax.jacobian(force))(v)))
    assert np.all(np.isfinite(potential.term_energies(p, v)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(make, name, double):
    potential = make(FORCE | {"activations": [name, name]})
    slopes = jax.grad(lambda p: jnp.sum(potential.term_gradients(p, vectors(potential, X))))(starting(potential))
    assert all(np.all(np.isfinite(s)) for s in slopes.values())


def test_weights_from_a_file(make):
    section = FORCE | {"weights": {"kind": "file", "path": "w.h5"}}
    given = {name: value + 1 for name, value in glorot_weights([1, 5, 1], 3).items()}
    asked = []
    potential = make(section, read_weights=lambda path: asked.append(path) or given)
    assert asked == ["w.h5"]
    for name, value in given.items():
        np.testing.assert_array_equal(potential.parameters[f"weights.{name}"], value)
    with pytest.raises(ConfigError, match=r"0/bias in the file has shape \(5,\)"):
        make(section | {"widths": [4]}, read_weights=lambda path: given)
    with pytest.raises(ConfigError, match="missing"):
        make(section, read_weights=lambda path: {"0/weight": given["0/weight"]})
    with pytest.raises(ConfigError, match="no such layer"):
        make(section, read_weights=lambda path: given | {"2/bias": np.zeros(1)})


@pytest.mark.parametrize(
    "bad",
    [
        {"activations": ["relu"]},
        {"activations": ["relu", "swosh"]},
        {"widths": [0]},
        {"output": "both"},
        {"weights": "w.h5"},
    ],
)
def test_refused_by_the_schema(make, bad):
    with pytest.raises(ValidationError):
        make(FORCE | bad)
