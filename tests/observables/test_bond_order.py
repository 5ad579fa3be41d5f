"""Steinhardt's invariants and tetrahedral order: perfect crystals, SciPy and freud, derivatives, awkward places."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import sph_harm_y

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.observables.steinhardt import real_harmonics, wigner_3j

SKEWED = np.array([[3.0, 0, 0], [1.4, 2.9, 0], [-1.0, 0.9, 3.2]])
_FACES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
CELLS = {
    "fcc": (_FACES, [np.sqrt(2)] * 3),
    "bcc": ([[0, 0, 0], [0.5, 0.5, 0.5]], [1.0] * 3),
    "hcp": ([[0, 0, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0.5], [0, 1 / 3, 0.5]], [1, np.sqrt(3), np.sqrt(8 / 3)]),
    "diamond": (np.concatenate([_FACES, np.array(_FACES) + 0.25]), [1.0] * 3),
}


REPEATS = {"fcc": (2, 2, 2), "bcc": (3, 3, 3), "hcp": (3, 2, 2), "diamond": (2, 2, 2)}


def crystal(name):
    basis, edges = CELLS[name]
    repeats = REPEATS[name]
    grid = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 1, 3)
    return ((grid + basis) * edges).reshape(-1, 3), np.diag(np.array(edges) * repeats)


def section(distance=1.2, width=0.1, **fields):
    return {"kind": "steinhardt", "neighbors": {"distance": distance, "width": width}, **fields}


@pytest.fixture
def single():
    with jax.enable_x64(False):
        yield


def separations(x, h):
    d = x[None] - x[:, None]
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3) @ h
    images = d[:, :, None] + shifts
    chosen = np.argmin(np.sum(images**2, axis=-1), axis=-1)
    return np.take_along_axis(images, chosen[..., None, None], axis=2)[:, :, 0]


def by_hand(x, h, l, order, average, distance, width):  # noqa: E741
    """Complex harmonics from SciPy, 3-j symbols as integrals of three Y_lm would give them."""
    d = separations(x, h)
    r = np.linalg.norm(d, axis=-1)
    t = np.clip((r - distance + width / 2) / width, 0, 1)
    w = (1 - t**3 * (10 - 15 * t + 6 * t**2)) * ~np.eye(len(x), dtype=bool)
    u = d / np.where(r == 0, 1, r)[..., None]
    polar, azimuth = np.arccos(u[..., 2]), np.arctan2(u[..., 1], u[..., 0])
    y = np.stack([sph_harm_y(l, m, polar, azimuth) for m in range(-l, l + 1)])
    q = np.einsum("ij,mij->im", w, y)
    total = w.sum(axis=1, keepdims=True)
    if average == "global":
        q, total = q.sum(axis=0, keepdims=True), total.sum(axis=0, keepdims=True)
    q = q / np.where(total == 0, 1, total)
    square = np.sum(np.abs(q) ** 2, axis=1)
    if order == "q":
        return np.sqrt(4 * np.pi / (2 * l + 1) * square).mean()
    third = 0
    for m1, m2 in itertools.product(range(-l, l + 1), repeat=2):
        if abs(m1 + m2) <= l:
            third = third + wigner_3j(l, m1, m2) * q[:, l + m1] * q[:, l + m2] * q[:, l - m1 - m2]
    return (third.real / square**1.5).mean()


def test_three_j_symbols():
    # Tables: M. Rotenberg et al., The 3-j and 6-j Symbols (1959).
    assert wigner_3j(2, 0, 0) == pytest.approx(-np.sqrt(2 / 35), rel=1e-14)
    assert wigner_3j(4, 0, 0) == pytest.approx(np.sqrt(18 / 1001), rel=1e-14)
    assert wigner_3j(6, 0, 0) == pytest.approx(-np.sqrt(400 / 46189), rel=1e-14)
    assert wigner_3j(2, 2, -1) == pytest.approx(-np.sqrt(3 / 35), rel=1e-14)
    for l in (4, 6):  # noqa: E741
        # Orthogonality: the squares sum to one.
        squares = [wigner_3j(l, a, b) ** 2 for a in range(-l, l + 1) for b in range(-l, l + 1)]
        assert sum(squares) == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize("l", [4, 6])
def test_harmonics_are_scipys_everywhere(l, double):  # noqa: E741
    u = np.random.default_rng(0).normal(size=(30, 3))
    u[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    found = real_harmonics(l, tuple(jnp.asarray(u.T)))
    polar, azimuth = np.arccos(u[:, 2]), np.arctan2(u[:, 1], u[:, 0])
    y = [sph_harm_y(l, m, polar, azimuth) * (np.sqrt(2) * (-1) ** m if m else 1) for m in range(l + 1)]
    expected = [one.real for one in y] + [one.imag for one in y[1:]]
    np.testing.assert_allclose(found, expected, atol=1e-13)


KNOWN = {
    ("fcc", 4): (0.19094065, -0.15931737),
    ("fcc", 6): (0.57452426, -0.01316060),
    ("hcp", 4): (0.09722222, 0.13409705),
    ("hcp", 6): (0.48476169, -0.01244196),
    ("bcc", 4): (0.03636965, 0.15931737),
    ("bcc", 6): (0.51068823, 0.01316060),
}


def test_perfect_crystals(make, frame, double):
    some = [(6, "q", "global"), (4, "w", "local")]
    for name, cases in {"fcc": [*some, (4, "q", "local"), (6, "w", "global")], "hcp": some, "bcc": some}.items():
        x, h = crystal(name)
        observables = [make(section(l=l, order=o, average=a), "A" * len(x), h) for l, o, a in cases]  # noqa: E741
        values = jax.jit(lambda x: [o.measure(frame(x, h)) for o in observables])(x)  # noqa: B023
        for (l, order, _), value in zip(cases, values, strict=True):  # noqa: E741
            assert float(value) == pytest.approx(KNOWN[name, l]["qw".index(order)], abs=1e-7), (name, l, order)


def test_disordered_atoms_by_hand(make, frame, double):
    x = np.random.default_rng(1).uniform(-1, 2, (25, 3)) @ SKEWED
    cases = [(6, "q", "local"), (4, "q", "global"), (6, "w", "global"), (4, "w", "local")]
    observables = [make(section(0.9, 0.6, l=l, order=o, average=a), "A" * 25, SKEWED) for l, o, a in cases]  # noqa: E741
    values = jax.jit(lambda x: [o.measure(frame(x, SKEWED)) for o in observables])(x)
    for (l, order, average), value in zip(cases, values, strict=True):  # noqa: E741
        expected = by_hand(x, SKEWED, l, order, average, 0.9, 0.6)
        assert float(value) == pytest.approx(expected, rel=1e-10), (l, order, average)


def test_agrees_with_freud(make, frame, double):
    freud = pytest.importorskip("freud")
    x, h = crystal("fcc")
    # Not so far that the nearest twelve mix with the next six.
    x = (x + np.random.default_rng(2).normal(0, 0.03, x.shape)).astype(np.float32)
    for l, order, average in ((4, "q", "local"), (6, "w", "global")):  # noqa: E741
        referee = freud.order.Steinhardt(l=l, wl=order == "w", wl_normalize=order == "w")
        referee.compute((np.diag(h), x), neighbors={"r_max": 1.2})
        expected = referee.particle_order.mean() if average == "local" else referee.order
        observable = make(section(l=l, order=order, average=average), "A" * len(x), h)
        value = jax.jit(lambda x: observable.measure(frame(x, h)))(x.astype(float))  # noqa: B023
        assert float(value) == pytest.approx(float(expected), abs=1e-6), (l, order, average)


DATA = [
    section(0.9, 0.6),
    section(0.9, 0.6, order="w", average="global"),
    {"kind": "tetrahedral_order"},
]
WEIGHTS = np.array([1.0, 0.7, -0.4])


def test_derivatives(make, frame, double):
    edges = np.diag([2.8, 3.0, 3.2])
    x = np.random.default_rng(3).uniform(0, 1, (12, 3)) @ edges
    observables = [make(data, "A" * 12, edges) for data in DATA]

    def f(x, h):
        return sum(w * o.measure(frame(x, Box(h, "orthorhombic"))) for w, o in zip(WEIGHTS, observables, strict=True))

    at = (jnp.asarray(x), jnp.asarray(edges))
    along = (np.random.default_rng(4).normal(size=x.shape), np.diag([0.3, -0.5, 0.8]))
    forward = jax.jit(
        lambda t: jax.jvp(lambda t: f(*(a + t * b for a, b in zip(at, along, strict=True))), (t,), (1.0,))
    )
    low2, low, high, high2 = (forward(t)[0] for t in (-2e-4, -1e-4, 1e-4, 2e-4))
    fd = (8 * (high - low) - (high2 - low2)) / 12e-4
    reverse = jax.jit(jax.grad(f, (0, 1)))(*at)
    found = sum(float(jnp.sum(g * b)) for g, b in zip(reverse, along, strict=True))
    assert found == pytest.approx(float(fd), rel=1e-7)
    assert float(forward(0.0)[1]) == pytest.approx(found, rel=1e-10)


AWKWARD = {
    "isolated": [[0.0, 0, 0], [0, 0, 0.5], [5, 5, 5], [9, 9, 9], [15, 1, 1]],
    "nobody near": [[0.0, 0, 0], [5, 0, 0], [10, 5, 5], [15, 9, 9], [0, 10, 0]],
    "coincident": [[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1.0], [1, 0, 0]],
    "all at one place": [[1.0, 1, 1]] * 5,
    "at the poles": [[0.0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 0, 0.5], [0, 0, -0.5]],
    "where the weight begins and ends": [[0.0, 0, 0], [0.7, 0, 0], [0, 1.3, 0], [0, 0, 1.0], [0, 0.7, 0]],
}


def test_awkward_places_are_finite(make, frame, single):
    observables = [make(one, "AAAAA") for one in DATA]

    def both(x):
        measured = lambda x: jnp.stack([o.measure(frame(x)) for o in observables])  # noqa: E731
        along = jnp.cos(jnp.arange(15.0)).reshape(5, 3)
        return *jax.jvp(measured, (x,), (along,)), jax.grad(lambda x: measured(x) @ WEIGHTS)(x)

    for found in jax.jit(jax.vmap(both))(jnp.asarray(list(AWKWARD.values()))):
        assert found.dtype == "float32"
        for name, values in zip(AWKWARD, found, strict=True):
            assert np.all(np.isfinite(values)), (name, values)


def test_an_octahedron_has_no_second_moment_but_a_fourth(make, frame, double):
    # q4 of six bonds along the axes is sqrt(7/12), q6 sqrt(1/8); a lone bond has q = 1.
    x = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    for l, expected in ((4, np.sqrt(7 / 12)), (6, np.sqrt(1 / 8))):  # noqa: E741
        observable = make(section(l=l), "A" * 7)
        assert float(observable.measure(frame(x))) == pytest.approx((expected + 6) / 7, rel=1e-12)


def test_harmonics_are_streamed(make, frame, double):
    n, h = 600, np.eye(3) * 6.0
    observable = make(section(), "A" * n, h)
    gradient = jax.jit(jax.grad(lambda x: observable.measure(frame(x, h))))
    # All pairs times harmonics would be 37 MB, several times over.
    assert gradient.lower(jnp.zeros((n, 3))).compile().memory_analysis().temp_size_in_bytes < 5e6


def test_tetrahedral_order(make, frame, precision):
    x, h = crystal("diamond")
    value = make({"kind": "tetrahedral_order"}, "A" * len(x), h).measure(frame(x, h))
    assert value.dtype == precision
    assert float(value) == pytest.approx(1, abs=1e-6)
    # A selection sees itself alone: one of diamond's two sublattices is FCC.
    half = make({"kind": "tetrahedral_order", "types": ["A"]}, "AAAABBBB" * 8, h)
    assert float(half.measure(frame(x, h))) < 0.9


def test_tetrahedral_order_by_hand_and_in_a_gas(make, frame, double):
    rng = np.random.default_rng(6)
    observable = make({"kind": "tetrahedral_order"}, "A" * 20, SKEWED)
    measure = jax.jit(jax.vmap(lambda x: observable.measure(frame(x, SKEWED))))
    many = rng.uniform(-1, 1, (200, 20, 3)) @ SKEWED
    rows = np.asarray(measure(many))
    d = separations(many[0], SKEWED)
    r = np.linalg.norm(d, axis=-1)
    expected = 0.0
    for i in range(20):
        near = np.argsort(r[i])[1:5]
        u = d[i, near] / r[i, near, None]
        expected += 1 - 3 / 8 * sum((u[a] @ u[b] + 1 / 3) ** 2 for a, b in itertools.combinations(range(4), 2))
    assert float(rows[0]) == pytest.approx(expected / 20, rel=1e-12)
    # An ideal gas, but for an atom's being no neighbour of itself.
    assert abs(rows.mean()) < 5 * rows.std() / np.sqrt(200)


@pytest.mark.parametrize(
    ("data", "types", "h", "path", "said"),
    [
        (section(), "A", None, "", "at least two atoms"),
        (section(1.4, 0.4), "AAA", np.eye(3) * 3.0, ".neighbors.distance", "up to 1.6, beyond half"),
        (section(types=["X"]), "AA", None, ".types.0", "'X' is not a type"),
        ({"kind": "tetrahedral_order"}, "AAAA", None, "", "at least five atoms; 4 are"),
    ],
    ids=str,
)
def test_refused(make, data, types, h, path, said):
    with pytest.raises(ConfigError) as error:
        make(data, types, h)
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message


@pytest.mark.parametrize("data", [section(l=5), section(0.1, 0.3), section(width=0.0), {"kind": "steinhardt"}], ids=str)
def test_refused_by_the_schema(make, data):
    with pytest.raises(ValidationError):
        make(data, "AA")
