"""Straightness of fibres and nematic order: closed forms, derivatives, the places where directions tie."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.derivatives import check_derivatives, check_finite, quick_jit

from diffmd.errors import ConfigError

H = np.diag([3.0, 3.2, 3.4])
MEASURES = ["contour", "cosine", "linear"]
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])


@pytest.fixture
def measured(make, frame):
    """The values of several observables of n atoms as one function of the positions."""

    def function(sections, n, h=None):
        observables = [make(section, "A" * n, h) for section in sections]
        return quick_jit(lambda x: jnp.stack([o.measure(frame(x, h)) for o in observables]))

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


def test_straightness(measured, precision):
    x = np.cumsum(np.random.default_rng(0).uniform(-0.3, 0.9, (9, 3)), axis=0)
    groups = [[0, 1], [2], [3, 4, 5], [8, 6]]
    rows = {
        "chain": ({"chain": [1, 7]}, x[1:8]),
        "atoms": ([4, 0, 2, 8], x[[4, 0, 2, 8]]),
        "groups": (groups, np.stack([x[group].mean(axis=0) for group in groups])),
    }
    sections = [straightness(measure, centers) for centers, _ in rows.values() for measure in MEASURES]
    expected = [by_hand(measure, centers) for _, centers in rows.values() for measure in MEASURES]
    values = measured(sections, 9)(x)
    assert values.dtype == precision
    np.testing.assert_allclose(values, expected, rtol=1e-12 if precision == "float64" else 1e-5)


def test_straightness_across_the_box(measured, double):
    # Atom by atom: steps are shorter than half of the box.
    x = np.cumsum(np.random.default_rng(0).uniform(-0.3, 0.9, (9, 3)), axis=0)
    values = measured([straightness(measure, {"chain": [0, 8]}) for measure in MEASURES], 9, H)(x % np.diag(H))
    np.testing.assert_allclose(values, [by_hand(measure, x) for measure in MEASURES], rtol=1e-12)


def test_derivative_of_straightness(measured, double):
    f = measured([straightness(measure, [[0, 1], [2, 3, 4], [5], [6, 7]]) for measure in MEASURES], 8)
    gradient = check_derivatives(f, np.random.default_rng(1).normal(size=(8, 3)))
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)


def test_straightness_where_directions_are_lost(measured, precision):
    f = measured([straightness(measure, {"chain": [0, 4]}) for measure in MEASURES], 5)
    line = np.arange(5.0)[:, None] * [0.3, 0.2, 0.6]
    closed = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(f(line), 1, atol=1e-6)
    assert float(f(closed)[0]) == 0
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


@pytest.mark.parametrize("h", [None, H], ids=["none", "box"])
def test_nematic_order(measured, h, double):
    u = np.random.default_rng(3).normal(size=(10, 3)) * [1, 1, 3]
    u /= np.linalg.norm(u, axis=1)[:, None]
    q = (3 * np.einsum("ia,ib->ab", u, u) / 10 - np.eye(3)) / 2
    x = ends(u) if h is None else ends(u) % np.diag(H)
    values = measured([order(10), order(10, director=[0.0, 0.0, 2.5])], 20, h)(x)
    np.testing.assert_allclose(values, [np.linalg.eigvalsh(q)[-1], np.mean((3 * u[:, 2] ** 2 - 1) / 2)], rtol=1e-12)


ALTERNATING = ends(np.where(np.arange(6) % 2, 1, -1)[:, None] * [0.6, 0, 0.8])
FLAT = ends(np.stack([[np.cos(a), np.sin(a), 0] for a in np.arange(6) * np.pi / 6]))
ISOTROPIC = ends(OCTAHEDRON)
POINTS = np.ones((12, 3))


def test_nematic_order_in_closed_form(measured, precision):
    f = measured([order(6), order(6, director=[0.0, 1.0, 0.0])], 12)
    cases = ((ALTERNATING, [1, -1 / 2]), (FLAT, [1 / 4, 1 / 4]), (ISOTROPIC, [0, 0]), (POINTS, [0, 0]))
    for x, expected in cases:
        assert f(x).dtype == precision
        np.testing.assert_allclose(f(x), expected, atol=2e-6)
    *_, together = check_finite(f, ISOTROPIC, FLAT, ALTERNATING, POINTS)
    assert not np.any(together)
    level, *_ = check_finite(measured([order(6)], 12), ISOTROPIC)
    np.testing.assert_allclose(level, 0, atol=1e-5)


def test_derivative_of_nematic_order(measured, double):
    u = np.random.default_rng(5).normal(size=(6, 3))
    x = ends(u / np.linalg.norm(u, axis=1)[:, None])
    gradient = check_derivatives(measured([order(6), order(6, director=[1.0, 2.0, -1.0])], 12, H), x, rel=1e-6)
    # Longer axes are no other axes.
    np.testing.assert_allclose(np.sum(gradient[1::2] * (x[1::2] - x[::2]), axis=1), 0, atol=1e-12)


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
