"""Optimizers and schedules: optax's numbers, under bounds, transforms, clipping and resumption."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter, ValidationError

import diffmd.training  # noqa: F401 - registers the kinds
from diffmd.errors import ConfigError, NumericalError, OutputError
from diffmd.spec import OPTIMIZERS
from diffmd.training.optimizers import Optimizer, OptimizerState, state_from_arrays, state_to_arrays
from diffmd.training.rules import Rule, Rules, softplus_inverse
from diffmd.training.schedules import schedule_of

SPECS = TypeAdapter(OPTIMIZERS.union())
START = {"potentials.lj.sigma": np.array([0.3, 1.2]), "potentials.nn.weights.0/weight": np.array([[2.0], [-1.0]])}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def make(section: dict, rules: dict[str, Rule] | None = None, clip: float | None = None) -> Optimizer:
    return SPECS.validate_python(section).optimizer(Rules(rules or {}), clip)


def arrays(values: dict, dtype: str = "f8") -> dict[str, jax.Array]:
    return {path: jnp.asarray(np.asarray(x, dtype)) for path, x in values.items()}


def bowl(p):
    """An anisotropic bowl with its minimum at 1."""
    loss, g = jax.value_and_grad(lambda q: sum(jnp.sum((i + 1) * (x - 1) ** 2) for i, x in enumerate(q.values())))(p)
    return float(loss), g


def descend(optimizer: Optimizer, p, epochs: int, f=bowl, state: OptimizerState | None = None):
    state = optimizer.init(p) if state is None else state
    rates = []
    for _ in range(epochs):
        loss, g = f(p)
        p, state, rate = optimizer.update(p, loss, g, state, f)
        rates.append(rate)
    return p, state, rates


CASES = [
    ({"kind": "sgd", "learning_rate": 0.1}, lambda: optax.sgd(0.1)),
    ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True}, lambda: optax.sgd(0.1, 0.8, True)),
    (
        {"kind": "adam", "learning_rate": 0.1, "b1": 0.8, "b2": 0.9, "eps": 1e-6},
        lambda: optax.adam(0.1, 0.8, 0.9, 1e-6),
    ),
    ({"kind": "adamw", "learning_rate": 0.1, "weight_decay": 0.02}, lambda: optax.adamw(0.1, weight_decay=0.02)),
    (
        {"kind": "rmsprop", "learning_rate": 0.1, "decay": 0.8, "momentum": 0.5},
        lambda: optax.rmsprop(0.1, 0.8, momentum=0.5),
    ),
    (
        {"kind": "adam", "learning_rate": {"kind": "cosine_decay", "init_value": 0.2, "decay_steps": 5}},
        lambda: optax.adam(optax.cosine_decay_schedule(0.2, 5)),
    ),
]


@pytest.mark.parametrize(("section", "reference"), CASES, ids=[str(i) for i in range(len(CASES))])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_equals_optax_by_hand(section, reference, dtype):
    p, _, _ = descend(make(section), arrays(START, dtype), 7)
    transform, expected = reference(), arrays(START, dtype)
    state = transform.init(expected)
    for _ in range(7):
        updates, state = transform.update(bowl(expected)[1], state, expected)
        expected = optax.apply_updates(expected, updates)
    for path in START:
        assert p[path].dtype == dtype
        np.testing.assert_allclose(p[path], expected[path], rtol=1e-5 if dtype == "f4" else 1e-13)


def test_clipping_scales_the_whole_gradient():
    p = arrays(START)
    _, g = bowl(p)
    norm = float(jnp.sqrt(sum(jnp.sum(x**2) for x in g.values())))
    for clip in (0.5 * norm, 2 * norm):
        p_new, _, _ = descend(make({"kind": "sgd", "learning_rate": 0.1}, clip=clip), p, 1)
        for path in p:
            np.testing.assert_allclose(p_new[path], p[path] - 0.1 * min(1, clip / norm) * g[path], rtol=1e-12)


def test_clipping_is_of_the_physical_gradient():
    p, clip = arrays({"a": 0.5}), 0.1
    optimizer = make({"kind": "sgd", "learning_rate": 1.0}, {"a": Rule(positive=True)}, clip)
    p_new, _, _ = optimizer.update(p, 0.0, arrays({"a": 7.0}), optimizer.init(p), bowl)
    u = softplus_inverse(jnp.asarray(0.5)) - clip * (1 - np.exp(-0.5))
    np.testing.assert_allclose(p_new["a"], np.log1p(np.exp(u)), rtol=1e-13)


def test_own_learning_rates_replace_the_base_one():
    a, b = START
    schedule = {"kind": "warmup_cosine", "peak_value": 0.1, "warmup_steps": 2, "decay_steps": 6}
    optimizer = make({"kind": "adam", "learning_rate": schedule}, {b: Rule(learning_rate=0.3)})
    p, _, rates = descend(optimizer, arrays(START), 5)
    only_a, _, _ = descend(make({"kind": "adam", "learning_rate": schedule}), arrays(START), 5)
    only_b, _, _ = descend(make({"kind": "adam", "learning_rate": 0.3}), arrays(START), 5)
    np.testing.assert_allclose(p[a], only_a[a], rtol=1e-13)
    np.testing.assert_allclose(p[b], only_b[b], rtol=1e-13)
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.1 * (1 + np.cos(np.pi / 4)) / 2, 0.05], atol=1e-12)


def test_bounds_project_after_the_step():
    rules = {"potentials.lj.sigma": Rule(lower=0.31, upper=0.9)}
    with pytest.raises(ConfigError, match=r"potentials\.lj\.sigma: it starts below its own bound 0\.31"):
        make({"kind": "sgd", "learning_rate": 0.1}, rules).init(arrays(START))
    start = arrays(START | {"potentials.lj.sigma": [0.5, 0.8]})
    p, _, _ = descend(make({"kind": "sgd", "learning_rate": 0.4}, rules), start, 3)
    np.testing.assert_array_equal(p["potentials.lj.sigma"], [0.9, 0.9])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_softplus_goes_there_and_back(dtype):
    x = jnp.asarray(np.array([1e-30, 1e-6, 0.01, 1.0, 30.0, 800.0, 1e6], dtype))
    u = softplus_inverse(x)
    assert u.dtype == dtype
    assert np.all(np.isfinite(u))
    # u = log x for small x, so that an error of one ulp in u is |u| ulp in x.
    scale = np.maximum(1, np.abs(np.log(np.asarray(x, "f8"))))
    error = np.abs(np.asarray(jax.nn.softplus(u), "f8") / np.asarray(x, "f8") - 1)
    assert np.all(error <= 4 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_positive_stays_positive_and_follows_the_chain_rule(dtype):
    rules = Rules({"a": Rule(positive=True)})
    p = arrays({"a": [0.02, 3.0]}, dtype)
    g = rules.free_gradient(p, arrays({"a": [1.0, 1.0]}, dtype))
    expected = jax.grad(lambda u: jnp.sum(jax.nn.softplus(u)))(rules.to_free(p)["a"])
    np.testing.assert_allclose(g["a"], expected, rtol=1e-5 if dtype == "f4" else 1e-13)
    optimizer = make({"kind": "sgd", "learning_rate": 1e8}, {"a": Rule(positive=True)})
    p, _, _ = optimizer.update(p, 0.0, arrays({"a": [1.0, 1.0]}, dtype), optimizer.init(p), bowl)
    assert np.all(np.asarray(p["a"]) > 0)
    assert np.all(np.isfinite(rules.to_free(p)["a"]))
    with pytest.raises(ConfigError, match="over 0"):
        optimizer.init(arrays({"a": [0.0, 1.0]}, dtype))


def rosenbrock(p):
    def f(q):
        x, y = q["x"], q["y"]
        return jnp.sum((1 - x) ** 2 + 100 * (y - x**2) ** 2)

    loss, g = jax.value_and_grad(f)(p)
    return float(loss), g


def test_lbfgs_minimises_rosenbrock():
    p, _, _ = descend(make({"kind": "lbfgs"}), arrays({"x": -1.2, "y": 1.0}), 60, rosenbrock)
    np.testing.assert_allclose([p["x"], p["y"]], 1, atol=1e-8)


def test_lbfgs_never_goes_up_and_stops_at_a_bound():
    optimizer = make({"kind": "lbfgs"}, {"x": Rule(lower=-2, upper=0.5), "y": Rule(positive=True)})
    p, state, losses = arrays({"x": -1.2, "y": 1.0}), None, []
    state = optimizer.init(p)
    for _ in range(60):
        loss, g = rosenbrock(p)
        losses.append(loss)
        p, state, _ = optimizer.update(p, loss, g, state, rosenbrock)
    assert np.all(np.diff(losses) <= 0)
    np.testing.assert_allclose([p["x"], p["y"]], [0.5, 0.25], atol=1e-6)


def test_lbfgs_steps_back_from_a_simulation_that_fails():
    def cliff(p):
        if float(p["x"]) > 1.5:
            raise NumericalError("the simulation left the finite numbers")
        return float((p["x"] - 1.4) ** 4), {"x": 4 * (p["x"] - 1.4) ** 3}

    p, _, _ = descend(make({"kind": "lbfgs"}), arrays({"x": -3.0}), 30, cliff)
    assert abs(float(p["x"]) - 1.4) < 0.02


def test_lbfgs_takes_the_best_step_at_a_kink():
    def kink(p):
        return float(abs(p["x"] - 0.5)), {"x": jnp.sign(p["x"] - 0.5)}

    p, _, _ = descend(make({"kind": "lbfgs"}), arrays({"x": 1.23}), 3, kink)
    assert abs(float(p["x"]) - 0.5) < 1e-3


def test_lbfgs_takes_a_fixed_step_where_asked():
    p = arrays(START)
    p_new, _, rates = descend(make({"kind": "lbfgs", "learning_rate": 0.2}), p, 1)
    assert rates == [0.2]
    _, g = bowl(p)
    norm = float(jnp.sqrt(sum(jnp.sum(x**2) for x in g.values())))
    for path in p:
        np.testing.assert_allclose(p_new[path], p[path] - 0.2 / norm * g[path], rtol=1e-12)


def test_lbfgs_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match="clip"):
        make({"kind": "lbfgs"}, clip=1.0)
    with pytest.raises(ConfigError, match="learning_rate"):
        make({"kind": "lbfgs"}, {"x": Rule(learning_rate=0.1)})


@pytest.mark.parametrize(
    ("schedule", "epoch", "rate"),
    [
        (0.3, 12, 0.3),
        ({"kind": "constant", "value": 0.2}, 100, 0.2),
        ({"kind": "cosine_decay", "init_value": 2.0, "decay_steps": 10, "alpha": 0.1}, 0, 2.0),
        ({"kind": "cosine_decay", "init_value": 2.0, "decay_steps": 10, "alpha": 0.1}, 5, 1.1),
        ({"kind": "cosine_decay", "init_value": 2.0, "decay_steps": 10, "alpha": 0.1}, 15, 0.2),
        ({"kind": "exponential_decay", "init_value": 1.0, "transition_steps": 2, "decay_rate": 0.25}, 3, 0.125),
        (
            {
                "kind": "exponential_decay",
                "init_value": 1.0,
                "transition_steps": 2,
                "decay_rate": 0.25,
                "transition_begin": 4,
                "staircase": True,
                "end_value": 0.1,
            },
            7,
            0.25,
        ),
        ({"kind": "warmup_cosine", "peak_value": 1.0, "warmup_steps": 4, "decay_steps": 8}, 1, 0.25),
        ({"kind": "warmup_cosine", "peak_value": 1.0, "warmup_steps": 4, "decay_steps": 8}, 6, 0.5),
    ],
)
def test_schedules_at_given_epochs(schedule, epoch, rate):
    spec = SPECS.validate_python({"kind": "sgd", "learning_rate": schedule})
    np.testing.assert_allclose(schedule_of(spec.learning_rate)(epoch), rate, rtol=1e-6)


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "sgd"},
        {"kind": "sgd", "learning_rate": -0.1},
        {"kind": "sgd", "learning_rate": "0.1"},
        {"kind": "sgd", "learning_rate": {"kind": "linear"}},
        {"kind": "adam", "learning_rate": 0.1, "b1": 1.0},
        {
            "kind": "adam",
            "learning_rate": {"kind": "warmup_cosine", "peak_value": 1, "warmup_steps": 4, "decay_steps": 4},
        },
    ],
)
def test_bad_sections_are_refused(section):
    with pytest.raises(ValidationError):
        SPECS.validate_python(section)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "section",
    [CASES[1][0], CASES[5][0], CASES[3][0], CASES[4][0], {"kind": "lbfgs", "memory_size": 3}],
    ids=lambda section: section["kind"],
)
def test_resumed_equals_unbroken_bit_for_bit(section, dtype):
    rules = {"potentials.lj.sigma": Rule(positive=True, upper=4.0)}
    if section["kind"] != "lbfgs":
        rules["potentials.nn.weights.0/weight"] = Rule(learning_rate=0.02)
    optimizer, start = make(section, rules), arrays(START, dtype)
    unbroken, last, rates = descend(optimizer, start, 9)
    halfway, state, _ = descend(optimizer, start, 4)
    saved = state_to_arrays(state)
    assert all(isinstance(x, np.ndarray) and "/" not in name for name, x in saved.items())
    again = make(section, rules)
    restored = state_from_arrays(again.init(arrays(START, dtype)), saved)
    resumed, end, tail = descend(
        again, arrays({k: np.asarray(x) for k, x in halfway.items()}, dtype), 5, state=restored
    )
    assert tail == rates[4:]
    for path in start:
        assert np.asarray(resumed[path]).tobytes() == np.asarray(unbroken[path]).tobytes()
    for name, x in state_to_arrays(last).items():
        assert x.tobytes() == state_to_arrays(end)[name].tobytes()


def test_a_state_of_something_else_is_refused():
    p = arrays(START)
    adam, sgd = make({"kind": "adam", "learning_rate": 0.1}), make({"kind": "sgd", "learning_rate": 0.1})
    with pytest.raises(OutputError, match="another optimizer"):
        state_from_arrays(adam.init(p), state_to_arrays(sgd.init(p)))
    with pytest.raises(OutputError, match="another optimizer"):
        state_from_arrays(adam.init(p), state_to_arrays(adam.init(arrays(START, "f4"))))
