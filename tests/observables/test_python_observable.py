"""The user's own observable: of a frame, of the series, and through configs."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import FLUID, changed, ready

from diffmd.config.build import build
from diffmd.config.files import input_files
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError

SECTION = {"kind": "python", "function": "./mine.py:spread", "parameters": {"a": 2.0, "b": [1, 2.0, 3.0]}}


def spread(frame, types, parameters):
    x = frame.positions - parameters["b"]
    return parameters["a"] * jnp.sum(x**2 * (types + 1)[:, None], axis=0) / frame.box.vectors[0, 0]


def path_length(frames, types, parameters):
    return jnp.sum(jnp.linalg.norm(jnp.diff(frames["positions"], axis=0), axis=-1)) / frames["time"][-1]


def test_of_a_frame(make, frame, precision):
    asked = []
    observable = make(SECTION, "AB", np.eye(3) * 4, load_function=lambda name, path: asked.append(name) or spread)
    assert asked == ["./mine.py:spread"]
    assert not observable.configurational
    assert make(SECTION | {"configurational": True}, "AB", load_function=lambda name, path: spread).configurational
    x = np.array([[0.0, 1, 2], [2, 1, 0]])
    measure = lambda x: observable.measure(frame(x, np.eye(3) * 4))  # noqa: E731
    value = measure(x)
    assert value.dtype == precision
    np.testing.assert_allclose(value, [(1 + 2) / 2, (1 + 2) / 2, (1 + 18) / 2], rtol=1e-6)
    np.testing.assert_allclose(
        jax.jacrev(measure)(jnp.asarray(x))[0, :, 0], 2 * (x[:, 0] - 1) * [1, 2] * 2 / 4, rtol=1e-6
    )


def test_of_the_series(make, rows, series, precision):
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    section = SECTION | {"series": True}
    observable = make(section | {"keep": ["positions", "time"]}, "AB", load_function=lambda name, path: path_length)
    kept = rows(observable, x, dt=0.5)
    assert set(kept) == {"positions", "time"}
    value = observable.over(kept)
    assert value.dtype == precision
    assert float(value) == pytest.approx(np.linalg.norm(np.diff(x, axis=0), axis=-1).sum() / 2, rel=1e-5)
    everything = ["positions", "velocities", "masses", "box", "time", "potential_energy", "virial"]
    all_kept = rows(make(section | {"keep": everything}, "AB", load_function=lambda name, path: path_length), x)
    assert {name: value.shape for name, value in all_kept.items()} == {
        "positions": (5, 2, 3), "velocities": (5, 2, 3), "masses": (5, 2), "box": (5, 3, 3), "time": (5,),
        "potential_energy": (5,), "virial": (5, 3, 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("returned", "said"),
    [("nothing", "not str"), (None, "not NoneType"), (np.array([1, 2]), "real numbers, not int"), (1j, "not complex")],
    ids=str,
)
def test_what_is_no_measurement_is_refused(make, frame, returned, said):
    observable = make(SECTION, "AA", load_function=lambda name, path: lambda *arguments: returned)
    with pytest.raises(ConfigError) as error:
        observable.measure(frame(np.zeros((2, 3))))
    assert error.value.path == "loss.0.observable.function"
    assert said in error.value.message


def test_refused(make):
    with pytest.raises(ConfigError, match="not allowed"):
        make(SECTION, "AA")
    with pytest.raises(ConfigError, match="the list is empty") as error:
        make(SECTION | {"series": True, "keep": []}, "AA", load_function=lambda name, path: spread)
    assert error.value.path == "loss.0.observable.keep"


MINE = """
import jax.numpy as jnp
import touched

def rise(frame, types, parameters):
    return jnp.sum(frame.positions[:, 2] ** 2 * (1 + types)) + parameters["c"] * frame.potential_energies()["lj"]

def memory(frames, types, parameters):
    v = frames["velocities"]
    return jnp.mean(jnp.sum(v[0] * v[-1], axis=-1))

def broken(frame, types, parameters):
    return frame.nothing
"""


def test_a_file_is_named_with_its_ending():
    data = config({"function": "./mine:rise"})
    data["potentials"] = {"own": {"kind": "python", "function": "./mine:rise"}}
    with pytest.raises(ConfigError) as refused:
        load_data(data)
    for path, name in (("loss.0.observable", "observable"), ("potentials.own", "energy")):
        assert f"{path}.function: is './mine:rise'; write ./mine.py:{name} (a file beside" in str(refused.value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where mine.py lies, which imports a module that nothing else does."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "touched.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "touched", raising=False)
    return tmp_path


def config(*losses, **observable):
    terms = [{"observable": {"kind": "python", **one}, "frames": "all", "compare": "none"} for one in losses]
    return changed(FLUID, dynamics__steps=4, loss=terms, **observable)


def test_through_a_config(folder, double):
    data = config(
        {"function": f"{folder}/mine.py:rise", "parameters": {"c": 0.3}},
        {"function": f"{folder}/mine.py:memory", "series": True, "keep": ["velocities"]},
    )
    data["parameters"] = ["potentials.lj.sigma"]
    case = ready(data)
    found = case.reverse()
    assert len(found.terms) == 2
    assert all(np.isfinite(found.terms))
    assert abs(float(found.gradients["potentials.lj.sigma"])) > 1e-3
    assert [path for path, _ in input_files(data, folder)] == [
        "loss.0.observable.function", "loss.1.observable.function",
    ]  # fmt: skip


def test_checks_never_import_it_and_it_may_be_refused(folder, monkeypatch, double):
    nested = {"kind": "binder_cumulant", "observable": {"kind": "python", "function": "./mine.py:rise"}}
    data = config({"function": "./mine.py:rise"}, {"function": "./mine.py:rise", "series": True})
    data["loss"].append({"observable": nested, "frames": "all", "compare": "none"})
    loaded = load_data(data, folder=folder)
    assert "touched" not in sys.modules
    with pytest.raises(ConfigError) as error:
        build(loaded, allow_python=False)
    assert error.value.path == "loss.0.observable.function"
    assert "--no-python refuses" in error.value.message
    data["loss"] = data["loss"][2:]
    with pytest.raises(ConfigError) as error:
        build(load_data(data, folder=folder), allow_python=False)
    assert error.value.path == "loss.0.observable.observable.function"
    assert "touched" not in sys.modules
    data = config({"function": "./absent.py:rise"})
    with pytest.raises(ConfigError, match="no such file"):
        load_data(data, folder=folder)


def test_what_it_raises_is_said_where_it_stands(folder, double):
    data = config({"function": f"{folder}/mine.py:broken"})
    with pytest.raises(ConfigError) as error:
        ready(data).loss()
    assert "broken failed in line 13: AttributeError" in str(error.value)
    inner = {"kind": "python", "function": f"{folder}/mine.py:broken"}
    data["loss"][0]["observable"] = {"kind": "binder_cumulant", "observable": inner}
    with pytest.raises(ConfigError) as error:
        ready(data).loss()
    assert error.value.path == "loss.0.observable.observable.function"
