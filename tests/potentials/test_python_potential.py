"""The user's own energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.box import Box
from diffmd.errors import ConfigError

SECTION = {"kind": "python", "function": "./mine.py:energy", "parameters": {"a": 1.5, "b": [1, 2.0, 3.0]}}


def well(positions, box, neighbors, types, parameters):
    return jnp.sum(parameters["a"] * (types + 1) * jnp.sum((positions - parameters["b"]) ** 2, axis=-1))


def test_energy_and_derivatives(make, slope, double):
    asked = []
    potential = make(SECTION | {"cutoff": 2.0}, "AB", load_function=lambda reference: asked.append(reference) or well)
    assert asked == ["./mine.py:energy"]
    assert potential.cutoff == 2.0
    p = {name: jnp.asarray(value) for name, value in potential.parameters.items()}
    assert set(p) == {"parameters.a", "parameters.b"}
    box, x = Box(jnp.eye(3), "none"), jnp.asarray([[0.0, 1, 2], [2, 1, 0]])
    f = lambda p, x: potential.energy(p, x, box, None)  # noqa: E731
    assert float(f(p, x)) == pytest.approx(1.5 * (1 + 1 + 1 + 2 * (1 + 1 + 9)))
    for name, value in p.items():
        g = lambda v, name=name: f({**p, name: v}, x)  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.grad(g))(value), slope(g, value), rtol=1e-10)


def test_what_is_no_energy_is_refused(make):
    potential = make(SECTION, load_function=lambda reference: lambda *arguments: jnp.zeros(3))
    with pytest.raises(ConfigError, match="one real number"):
        potential.energy({}, jnp.zeros((4, 3)), Box(jnp.eye(3), "none"), None)


def test_nothing_is_imported_unless_the_context_allows_it(make):
    with pytest.raises(ConfigError, match="not allowed"):
        make(SECTION)


@pytest.mark.parametrize(
    "bad", [{"function": "mine.py"}, {"function": "mine:1+1"}, {"cutoff": -1.0}, {"parameters": {"a": "x"}}]
)
def test_refused_by_the_schema(make, bad):
    with pytest.raises(ValidationError):
        make(SECTION | bad, load_function=lambda reference: well)
