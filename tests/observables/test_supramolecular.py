"""Straightness of fibres and nematic order: closed forms, derivatives, the places where directions tie."""

import jax
import numpy as np
import pytest
from support.derivatives import check_derivatives, check_finite

from diffmd.errors import ConfigError

H = np.diag([3.0, 3.2, 3.4])
MEASURES = ["contour", "cosine", "linear"]


@pytest.fixture
def measured(make, frame):
    def function(section, n, h=None):
        observable = make(section, "A" * n, h)
        return jax.jit(lambda x: observable.measure(frame(x, h)))

    return function


def straightness(measure, centers):
    return {"kind": "straightness", "measure": measure, "centers": centers}


def by_hand(measure, c):
    b = np.diff(c, axis=0)
    u = b / np.linalg.norm(b, axis=1)[:, None]
    l = np.linalg.eigvalsh(np.cov(c.T))  # noqa: E741
    return {
        "contour": np.linalg.norm(c[-1] - c[0]) / np.linalg.norm(b, axis=1).sum(),
        "cosine": np.sum(u[1:] * u[:-1], axis=1).mean(),
        "linear": l[-1] / l.sum(),
    }[measure]


@pytest.mark.parametrize("measure", MEASURES)
def test_straightness(measured, measure, precision):
    x = np.cumsum(np.random.default_rng(0).uniform(-0.3, 0.9, (9, 3)), axis=0)
    for centers, expected in (
        ({"chain": [1, 7]}, x[1:8]),
        ([4, 0, 2, 8], x[[4, 0, 2, 8]]),
        ([[0, 1], [2], [3, 4, 5], [8, 6]], np.stack([x[:2].mean(0), x[2], x[3:6].mean(0), x[[6, 8]].mean(0)])),
    ):
        value = measured(straightness(measure, centers), 9)(x)
        assert value.dtype == precision
        assert float(value) == pytest.approx(by_hand(measure, expected), rel=1e-12 if precision == "float64" else 1e-5)
    # Across the box, atom by atom: steps are shorter than half of it.
    torn = x % np.diag(H)
    value = measured(straightness(measure, {"chain": [0, 8]}), 9, H)(torn)
    assert float(value) == pytest.approx(by_hand(measure, x), rel=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_derivative_of_straightness(measured, measure, double):
    f = measured(straightness(measure, [[0, 1], [2, 3, 4], [5], [6, 7]]), 8)
    gradient = check_derivatives(f, np.random.default_rng(1).normal(size=(8, 3)))
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_straightness_where_directions_are_lost(measured, measure, precision):
    f = measured(straightness(measure, {"chain": [0, 4]}), 5)
    line = np.arange(5.0)[:, None] * [0.3, 0.2, 0.6]
    closed = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert float(f(line)) == pytest.approx(1, abs=1e-6)
    straight, _, together = check_finite(f, line, closed, np.ones((5, 3)))
    # At its greatest, so level.
    np.testing.assert_allclose(straight, 0, atol=1e-5)
    assert not np.any(together)


def order(axes, **section):
    return {"kind": "nematic_order", "axes": [[2 * k, 2 * k + 1] for k in range(axes)], **section}


def ends(u, seed=0):
    """Atoms at the ends of axes along u, of various lengths."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1, 1, (len(u), 3))
    return np.stack([start, start + rng.uniform(0.5, 1.4, (len(u), 1)) * u], axis=1).reshape(-1, 3)


def test_nematic_order(measured, double):
    u = np.random.default_rng(3).normal(size=(10, 3)) * [1, 1, 3]
    u /= np.linalg.norm(u, axis=1)[:, None]
    q = (3 * np.einsum("ia,ib->ab", u, u) / 10 - np.eye(3)) / 2
    for h in (None, H):
        x = ends(u) if h is None else ends(u) % np.diag(H)
        assert float(measured(order(10), 20, h)(x)) == pytest.approx(np.linalg.eigvalsh(q)[-1], rel=1e-12)
        along = measured(order(10, director=[0.0, 0.0, 2.5]), 20, h)(x)
        assert float(along) == pytest.approx(np.mean((3 * u[:, 2] ** 2 - 1) / 2), rel=1e-12)


def test_nematic_order_in_closed_form(measured, precision):
    n = np.array([0.6, 0, 0.8])
    heads_and_tails = np.where(np.arange(6) % 2, 1, -1)[:, None] * n
    plane = np.stack([[np.cos(a), np.sin(a), 0] for a in np.arange(6) * np.pi / 6])
    isotropic = np.concatenate([np.eye(3), -np.eye(3)])
    for u, expected in ((heads_and_tails, 1), (plane, 1 / 4), (isotropic, 0)):
        value = measured(order(6), 12)(ends(u))
        assert value.dtype == precision
        assert float(value) == pytest.approx(expected, abs=2e-6)
    assert float(measured(order(6, director=[0.0, 1.0, 0.0]), 12)(ends(heads_and_tails))) == pytest.approx(-1 / 2)


@pytest.mark.parametrize("director", [None, [1.0, 2.0, -1.0]], ids=["best", "given"])
def test_derivative_of_nematic_order(measured, director, double):
    u = np.random.default_rng(5).normal(size=(6, 3))
    x = ends(u / np.linalg.norm(u, axis=1)[:, None])
    gradient = check_derivatives(measured(order(6, director=director), 12, H), x, rel=1e-6)
    # Longer axes are no other axes.
    np.testing.assert_allclose(np.sum(gradient[1::2] * (x[1::2] - x[::2]), axis=1), 0, atol=1e-12)


def test_nematic_order_where_directions_tie(measured, precision):
    f = measured(order(6), 12)
    isotropic = ends(np.concatenate([np.eye(3), -np.eye(3)]))
    plane = ends(np.stack([[np.cos(a), np.sin(a), 0] for a in np.arange(6) * np.pi / 6]))
    level, _, together = check_finite(f, isotropic, plane, np.ones((12, 3)))
    np.testing.assert_allclose(level, 0, atol=1e-5)
    assert not np.any(together)
    assert float(f(np.ones((12, 3)))) == 0


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        (straightness("contour", [0, 1]), ".centers", "at least three centers"),
        (straightness("contour", {"chain": [0, 1]}), ".centers", "at least three centers"),
        (straightness("contour", {"chain": [2, 12]}), ".centers.chain", "atoms are 0 to 11"),
        (straightness("contour", [[0], [], [2]]), ".centers.1", "empty"),
        (straightness("contour", [0, 1, 12]), ".centers.2", "not there"),
        (straightness("contour", [[0, 0], [1], [2]]), ".centers.0", "twice"),
        (order(7), ".axes.6", "not there"),
        (order(0), ".axes", "empty"),
        (order(2, director=[0.0, 0.0, 0.0]), ".director", "points nowhere"),
    ],
    ids=str,
)
def test_refused_fibres(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "A" * 12)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
