"""Losses, by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.losses import ALL, END, Frames, LossTerm, evaluate, frame_steps
from diffmd.observables.base import Frame, Observable


@dataclasses.dataclass(frozen=True)
class Scalar(Observable):
    def measure(self, frame: Frame) -> jax.Array:
        return jnp.zeros(())


@dataclasses.dataclass(frozen=True)
class Curve(Observable):
    @property
    def grid(self) -> jax.Array:
        return jnp.asarray([0.5, 1.0, 1.5])

    def measure(self, frame: Frame) -> jax.Array:
        return jnp.zeros(3)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def term(observable=None, **fields):
    if "curve" in fields:
        fields["curve"] = tuple(np.array(column) for column in fields["curve"])
    return LossTerm.create("loss.0", observable or Scalar(), **fields)


def value(one, rows):
    loss, terms = evaluate([one], [jnp.asarray(rows)])
    assert terms.shape == (1,)
    assert float(terms[0]) == float(loss)
    return float(loss)


ROWS = np.array([1.0, 4.0, 2.5, 0.5])


@pytest.mark.parametrize(("reduce", "y"), [("mean", [2.0]), ("none", ROWS), ("variance", [ROWS.var()]), ("max", [4.0])])
@pytest.mark.parametrize(
    ("compare", "c"),
    [
        ("absolute", lambda y, t: abs(y - t)),
        ("squared", lambda y, t: (y - t) ** 2),
        ("relative", lambda y, t: ((y - t) / t) ** 2),
        ("huber", lambda y, t: np.where(abs(y - t) < 1, (y - t) ** 2 / 2, abs(y - t) - 0.5)),
    ],
)
def test_reductions_and_comparisons(reduce, y, compare, c):
    got = value(term(reduce=reduce, compare=compare, target=1.7, weight=3.0), ROWS)
    assert got == pytest.approx(3 * np.mean(c(np.asarray(y), 1.7)), rel=1e-14)


def test_no_comparison_is_the_value_itself():
    assert value(term(compare="none", weight=2.0), ROWS) == 4.0
    assert value(term(compare="none", reduce="variance"), ROWS) == pytest.approx(ROWS.var())


def test_curves_are_averaged_over_elements():
    rows = np.array([[1.0, 2, 3], [3, 2, 1]])
    assert value(term(Curve(), target=[2.0, 2, 2]), rows) == 0
    assert value(term(Curve(), target=[2.0, 2, 2], reduce="none"), rows) == pytest.approx(4 / 6)
    assert value(term(Curve(), target=1.0, compare="absolute"), rows) == 1.0


def test_terms_are_weighted_and_add_up():
    terms = [term(target=1.0, weight=2.0), term(target=0.0, compare="absolute", weight=0.5)]
    loss, values = evaluate(terms, [jnp.asarray([3.0]), jnp.asarray([-4.0])])
    np.testing.assert_array_equal(values, [8.0, 2.0])
    assert float(loss) == 10.0
    assert float(evaluate([], [])[0]) == 0


@pytest.mark.parametrize("compare", ["absolute", "squared", "relative", "huber", "none"])
@pytest.mark.parametrize("reduce", ["mean", "none", "variance", "max"])
def test_derivatives(reduce, compare):
    one = term(reduce=reduce, compare=compare, target=None if compare == "none" else 1.7)
    f = jax.jit(lambda rows: evaluate([one], [rows])[0])
    gradient = jax.grad(f)(jnp.asarray(ROWS))
    for k in range(4):
        step = 1e-6 * np.eye(4)[k]
        assert float(gradient[k]) == pytest.approx(float((f(ROWS + step) - f(ROWS - step)) / 2e-6), rel=1e-6, abs=1e-8)


def test_a_target_that_is_met_has_a_finite_derivative():
    for compare in ("absolute", "squared", "relative", "huber"):
        one = term(compare=compare, target=2.0)
        assert float(jax.grad(lambda rows: evaluate([one], [rows])[0])(jnp.asarray([2.0]))[0]) == 0  # noqa: B023


def test_frames():
    assert frame_steps(term(target=1.0, frames=END), 500).tolist() == [500]
    assert frame_steps(term(target=1.0, frames=ALL), 4).tolist() == [0, 1, 2, 3, 4]
    assert frame_steps(term(target=1.0, frames=Frames(10, 30, 10)), 40).tolist() == [10, 20, 30]
    assert frame_steps(term(target=1.0, frames=Frames(10, 35, 10)), 40).tolist() == [10, 20, 30]
    assert frame_steps(term(target=1.0, frames=Frames(10, None, 15)), 40).tolist() == [10, 25, 40]
    for frames in (Frames(0, 41), Frames(50), Frames(20, 10)):
        with pytest.raises(ConfigError, match=r"loss\.0\.frames"):
            frame_steps(term(target=1.0, frames=frames), 40)


def test_a_curve_is_interpolated_onto_the_grid():
    one = term(Curve(), curve=([0.0, 1.0, 2.0], [0.0, 2.0, 10.0]))
    np.testing.assert_allclose(one.target, [1.0, 2.0, 6.0])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "needs a target"),
        ({"compare": "none", "target": 1.0}, "takes no target"),
        ({"compare": "relative", "target": 0.0}, "zero"),
        ({"compare": "relative", "target": [1.0, 0.0, 1.0], "observable": Curve()}, "zero"),
        ({"curve": ([0.0, 1.0], [0.0, 1.0])}, "no curve"),
        ({"observable": Curve(), "curve": ([0.6, 2.0], [0.0, 1.0])}, "covers 0.6 to 2"),
        ({"observable": Curve(), "curve": ([0.0, 1.4], [0.0, 1.0])}, "grid 0.5 to 1.5"),
        ({"observable": Curve(), "curve": ([0.0, 2.0, 1.0], [0.0, 1.0, 1.0])}, "increase"),
        ({"observable": Curve(), "curve": ([0.0, 2.0], [0.0, np.nan])}, "finite"),
        ({"observable": Curve(), "curve": ([0.0], [0.0])}, "at least two rows"),
        ({"observable": Curve(), "target": [1.0, 2.0]}, "shape (2,)"),
    ],
    ids=str,
)
def test_refused(fields, said):
    with pytest.raises(ConfigError) as error:
        term(**dict(fields))
    assert error.value.path == "loss.0.target"
    assert said in error.value.message


def test_a_target_of_another_shape_than_the_measurement_is_refused():
    with pytest.raises(ConfigError, match="shape"):
        value(term(target=[1.0, 2.0]), ROWS)
