"""Correlations in time: closed forms, MDAnalysis, a harmonic oscillator and Brownian particles from real runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import experiment, runner
from support.objectives import ready

from diffmd.errors import ConfigError

CUBE = np.eye(3) * 3.0


def walk(frames=12, atoms=5, seed=0):
    """Positions and velocities of no physics."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, atoms, 3)), axis=0), rng.normal(size=(frames, atoms, 3))


def by_hand(x, lags, pair):
    return np.array([np.mean([pair(x[t], x[t + k]) for t in range(len(x) - k)]) for k in lags])


def dot(a, b):
    return np.sum(a * b, axis=-1).mean()


def squared(a, b):
    return np.sum((a - b) ** 2, axis=-1).mean()


def test_vacf(make, series, double):
    _, v = walk()
    masses = np.array([1.0, 2, 3, 1, 2])
    drift = np.sum(masses[:, None] * v, axis=1, keepdims=True) / masses.sum()
    for section, expected in (
        ({"lags": 7}, by_hand(v, range(7), dot)),
        ({}, by_hand(v, range(6), dot)),
        ({"lags": 12, "atoms": [1, 4]}, by_hand(v[:, [1, 4]], range(12), dot)),
        ({"lags": 3, "types": ["B"], "normalized": True}, by_hand(v[:, 3:], range(3), dot) / dot(v[:, 3:], v[:, 3:])),
        ({"lags": 4, "remove_com": True}, by_hand(v - drift, range(4), dot)),
    ):  # fmt: skip
        observable = make({"kind": "vacf", **section}, "AAABB")
        value = series(observable, 0 * v, v=v, dt=0.5, masses=jnp.asarray(masses))
        np.testing.assert_allclose(value, expected, atol=1e-12)
    assert make({"kind": "vacf"}, "A").least_frames == 4
    assert observable.least_frames == 4
    np.testing.assert_allclose(observable.abscissa(np.arange(3, 15) * 0.5), [0, 0.5, 1.0, 1.5])


def test_msd(make, series, double):
    x, _ = walk()
    x = x + 2
    masses = np.array([1.0, 2, 3, 1, 2])
    center = np.sum(masses[:, None] * x, axis=1, keepdims=True) / masses.sum()
    for section, expected in (
        ({"lags": 7}, by_hand(x, range(7), squared)),
        ({"types": ["B"]}, by_hand(x[:, 3:], range(6), squared)),
        ({"lags": 4, "remove_com": True}, by_hand(x - center, range(4), squared)),
    ):
        observable = make({"kind": "msd", **section}, "AAABB", CUBE)
        value = series(observable, x, CUBE, masses=jnp.asarray(masses))
        np.testing.assert_allclose(value, expected, rtol=1e-11)
    np.testing.assert_allclose(observable.abscissa(np.arange(12) * 0.5), [0, 0.5, 1.0, 1.5])


def test_mdanalysis_has_the_same_displacements(make, series, double):
    mda = pytest.importorskip("MDAnalysis")
    from MDAnalysis.analysis.msd import EinsteinMSD

    x = walk(20, 4)[0].astype(np.float32)
    universe = mda.Universe.empty(4, trajectory=True)
    universe.load_new(x)
    reference = EinsteinMSD(universe, msd_type="xyz", fft=False).run().results.timeseries
    observable = make({"kind": "msd", "lags": 20}, "AAAA")
    np.testing.assert_allclose(series(observable, x), reference, rtol=1e-6, atol=1e-12)


def test_ballistic_motion(make, series, double):
    v = np.random.default_rng(1).normal(size=(4, 3))
    times = 0.25 * np.arange(11)
    x = 0.3 + times[:, None, None] * v
    speed2 = np.sum(v**2, axis=-1).mean()
    steady = np.broadcast_to(v, x.shape)

    def value(section):
        observable = make(section, "AAAA")
        found = series(observable, x, v=steady, dt=0.25)
        return np.asarray(found)

    rel = 1e-11
    np.testing.assert_allclose(value({"kind": "msd", "lags": 8}), speed2 * times[:8] ** 2, rtol=rel, atol=1e-12)
    # The line of least squares through t^2 at evenly spaced points from a to b has the slope a + b.
    einstein = {"kind": "diffusion_einstein"}
    assert value(einstein | {"from": 2, "to": 7}) == pytest.approx(speed2 * 9 * 0.25 / 6, rel=rel)
    assert value(einstein) == pytest.approx(speed2 * 5 * 0.25 / 6, rel=rel)
    assert value({"kind": "diffusion_green_kubo", "lags": 9}) == pytest.approx(speed2 * 8 * 0.25 / 3, rel=rel)
    assert make(einstein | {"to": 7}, "A").least_frames == 8
    assert make(einstein | {"from": 3}, "A").least_frames == 10


@pytest.mark.parametrize("lags", [2, 9])
def test_the_spectrum_is_a_cosine_transform(make, series, lags, double):
    _, v = walk(20)
    dt, masses = 0.2, np.array([1.0, 2, 3, 1, 2])
    weighted = np.sqrt(masses)[:, None] * v
    f = np.arange(lags) / (2 * (lags - 1) * dt)
    for section, u, w in (
        ({"normalized": False, "window": "none"}, v, np.ones(lags)),
        ({"normalized": False, "mass_weighted": True}, weighted, np.cos(np.pi * np.arange(lags) / (2 * lags - 2)) ** 2),
        ({}, v, np.cos(np.pi * np.arange(lags) / (2 * lags - 2)) ** 2),
    ):
        observable = make({"kind": "vacf_spectrum", "lags": lags, **section}, "AAABB")
        value = series(observable, 0 * v, v=v, dt=dt, masses=jnp.asarray(masses))
        c = by_hand(u, range(lags), dot) * w
        c = c / c[0] if not section else c
        t = dt * np.arange(lags)
        expected = 4 * np.trapezoid(c * np.cos(2 * np.pi * f[:, None] * t), t, axis=-1)
        np.testing.assert_allclose(value, expected, atol=1e-11)
        np.testing.assert_allclose(observable.abscissa(3 + dt * np.arange(20)), f)
        # What it is normalised to.
        assert np.trapezoid(value, f) == pytest.approx(c[0], rel=1e-11)


def test_a_line_of_the_spectrum_stands_at_its_frequency(make, series, double):
    dt, frequency = 0.01, 4.0
    t = dt * np.arange(400)
    v = np.cos(2 * np.pi * frequency * t)[:, None, None] * np.ones((1, 2, 3))
    observable = make({"kind": "vacf_spectrum"}, "AA")
    value = series(observable, 0 * v, v=v, dt=dt)
    assert observable.abscissa(t)[np.argmax(value)] == pytest.approx(frequency, abs=0.3)


def oscillator_vacf(k, dt, frames, lags, amplitude=0.2, reduced_mass=1.0):
    """Of two atoms of mass 2 on a spring, released at rest, by velocity Verlet: x_n = A cos(n theta) exactly, with
    cos(theta) = 1 - (omega dt)^2 / 2, and v_n = (x_{n+1} - x_{n-1}) / (2 dt). Each atom has half the relative one."""
    theta = np.arccos(1 - k / reduced_mass * dt**2 / 2)
    v = -amplitude / 2 * np.sin(theta) * np.sin(theta * np.arange(frames)) / dt
    return by_hand(v, range(lags), lambda a, b: a * b)


def test_a_harmonic_oscillator_and_its_derivative(double):
    k, dt, lags = 9.0, 0.05, 11
    target = [0.01 * n for n in range(lags)]
    case = ready(
        {
            "system": {
                "box": None,
                "atoms": [{"type": "A", "count": 2, "mass": 2.0}],
                "positions": {"kind": "inline", "values": [[0.0, 0, 0], [1.2, 0, 0]]},
                "velocities": {"kind": "zero"},
            },
            "potentials": {"spring": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": k}},
            "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": dt}, "steps": 60},
            "loss": [{"observable": {"kind": "vacf", "lags": lags}, "frames": "all", "target": target}],
            "parameters": ["potentials.spring.k", "dynamics.integrator.dt"],
        }
    )

    def loss(k, dt):
        return np.mean((oscillator_vacf(k, dt, 61, lags) - target) ** 2)

    for method in (case.reverse, case.forward):
        found = method()
        assert found.loss == pytest.approx(loss(k, dt), rel=1e-12)
        for path, slope in (
            ("potentials.spring.k", (loss(k + 1e-5, dt) - loss(k - 1e-5, dt)) / 2e-5),
            ("dynamics.integrator.dt", (loss(k, dt + 1e-7) - loss(k, dt - 1e-7)) / 2e-7),
        ):
            assert float(found.gradients[path]) == pytest.approx(slope, rel=1e-6)
    # And what theory says of a long run: v.v of an oscillator is a cosine.
    long = oscillator_vacf(k, dt, 20_000, 40)
    np.testing.assert_allclose(long / long[0], np.cos(3.0 * dt * np.arange(40)), atol=0.03)


def test_brownian_particles_diffuse(make, rows, double):
    friction, temperature, mass, n = 4.0, 1.5, 2.0, 100
    built = experiment(
        {
            "box": None,
            "atoms": [{"type": "A", "count": n, "mass": mass}],
            "positions": {"kind": "inline", "values": [[3.0 * k, 0.0, 0.0] for k in range(n)]},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": temperature},
        },
        {"none": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 3.0, "k": 1e-9}},
        {"integrator": {"kind": "langevin", "dt": 0.05, "friction": friction, "temperature": temperature}},
    )
    run = runner(built)(1200, 1)
    expected = temperature / (mass * friction)
    for section in (
        {"kind": "diffusion_einstein", "from": 30, "to": 60},
        {"kind": "diffusion_green_kubo", "lags": 40},
    ):
        observable = make(section, "A" * n)
        kept = rows(observable, run["positions"], v=run["velocities"], dt=0.05)
        name = "positions" if "positions" in kept else "velocities"
        over, blocks = jax.jit(observable.over), np.arange(n).reshape(10, -1)
        per_block = [float(over(kept | {name: kept[name][:, block]})) for block in blocks]
        error = np.std(per_block) / np.sqrt(9)
        assert error < 0.05 * expected
        assert np.mean(per_block) == pytest.approx(expected, abs=4 * error)
    # S(0) is 12 D.
    observable = make({"kind": "vacf_spectrum", "lags": 40, "normalized": False, "window": "none"}, "A" * n)
    kept = rows(observable, run["positions"], v=run["velocities"], dt=0.05)
    zero = float(observable.over(kept)[0]) / 12
    whole = make({"kind": "diffusion_green_kubo", "lags": 40}, "A" * n)
    assert zero == pytest.approx(float(whole.over(kept)), rel=1e-10)


def test_lags_are_streamed(make, double):
    frames, atoms = 400, 50
    observable = make({"kind": "vacf"}, "A" * atoms)

    def loss(v):
        return jnp.sum(observable.over({"velocities": v, "time": jnp.arange(400.0)}) ** 2)

    memory = jax.jit(jax.grad(loss)).lower(jnp.zeros((frames, atoms, 3))).compile().memory_analysis()
    # All lags times frames would be 96 MB, and the frames alone are 0.5.
    assert memory.temp_size_in_bytes < 6e6


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        ({"kind": "vacf", "types": ["X"]}, ".types.0", "'X' is not a type"),
        ({"kind": "msd", "atoms": [3]}, ".atoms.0", "no atom 3"),
        ({"kind": "diffusion_einstein", "from": 4, "to": 4}, ".to", "two lags, and `from` is 4"),
    ],
    ids=str,
)
def test_refused(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AAA")
    assert error.value.path == f"loss.0.observable{path}"
    assert said in error.value.message
