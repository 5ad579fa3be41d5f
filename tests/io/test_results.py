"""Gradients, scans, weights and gradient checks read back as they were written."""

import csv
import json
import math

import h5py
import numpy as np
import pytest

from diffmd.errors import OutputError
from diffmd.io import results
from diffmd.io.values import plain, refer, summarize

VALUES = {
    "potentials.lj.sigma.C-H": np.float64(0.3),
    "potentials.nn.weights.0/weight": np.arange(6.0).reshape(2, 3),
    "system.positions[0:10]": np.arange(30.0).reshape(10, 3),
}


def test_gradients(tmp_path):
    path = tmp_path / results.GRADIENTS
    health = {"kind": "cotangent", "norm": np.array([1.0, 2.0]), "step": np.array([0, 10]), "growth_rate": 0.5}
    health |= {"horizon": None, "advice": "Shorten it."}
    gradients = {path: -value for path, value in VALUES.items()}
    written = results.Gradients(0.25, np.array([0.2, 0.05]), VALUES, gradients, VALUES, VALUES, health)
    results.write_gradients(path, written)
    read = results.read_gradients(path)
    assert read.loss == 0.25
    assert np.array_equal(read.terms, written.terms)
    for group in ("parameters", "gradients", "standard_error", "sign_agreement"):
        assert set(getattr(read, group)) == set(VALUES)
        for name, value in getattr(written, group).items():
            assert np.array_equal(getattr(read, group)[name], value)
    assert set(read.health) == {"kind", "norm", "step", "growth_rate", "advice"}
    assert (read.health["kind"], read.health["growth_rate"]) == ("cotangent", 0.5)
    assert np.array_equal(read.health["norm"], health["norm"])
    with h5py.File(path) as file:
        assert file["/gradients/potentials/nn/weights/0/weight"].shape == (2, 3)
        assert file["/gradients/potentials/lj/sigma/C-H"].shape == ()


@pytest.mark.parametrize("inner", [(), (3,), (2, 2)])
def test_scans(tmp_path, inner):
    value = np.linspace(0.05, math.pi, 4)
    loss, gradient = np.array([1.0, np.nan, 0.1, 1 / 3]), np.random.default_rng(0).normal(size=(4, *inner))
    results.write_scan(tmp_path, results.Scan("potentials.angle.theta0", value, loss, gradient))
    read = results.read_scan(tmp_path)
    assert read.path == "potentials.angle.theta0"
    assert np.array_equal(read.value, value)
    assert np.array_equal(read.loss, loss, equal_nan=True)
    assert np.array_equal(read.gradient, gradient)
    with (tmp_path / results.SCAN_CSV).open() as stream:
        header, *rows = csv.reader(stream)
    labels = {(): ["gradient"], (3,): ["gradient.0", "gradient.1", "gradient.2"]}
    assert header[:2] == ["value", "loss"]
    assert header[2:] == labels.get(inner, ["gradient.0.0", "gradient.0.1", "gradient.1.0", "gradient.1.1"])
    table = np.array(rows, float)
    assert np.array_equal(table[:, 0], value)
    assert np.array_equal(table[:, 2:].reshape(gradient.shape), gradient)
    assert math.isnan(table[1, 1])


def test_weights(tmp_path):
    leaves = {
        f"{layer}/{name}": np.full((2, layer + 1), layer, np.float32) for layer in (0, 1) for name in ("weight", "bias")
    }
    results.write_weights(tmp_path / "weights.h5", leaves)
    read = results.read_weights(tmp_path / "weights.h5")
    assert set(read) == set(leaves)
    for name, value in leaves.items():
        assert read[name].dtype == np.float32
        assert np.array_equal(read[name], value)
    assert set(results.read_weights(tmp_path / "weights.h5", "1")) == {"weight", "bias"}
    with pytest.raises(OutputError, match="network weights"):
        results.read_weights(tmp_path / "weights.h5", "7")


def test_gradcheck(tmp_path):
    answer = {"passed": False, "rows": [{"case": "lj", "ad": np.float64(1.5), "fd": math.nan, "verdict": "unresolved"}]}
    results.write_gradcheck(tmp_path, answer)
    assert results.read_gradcheck(tmp_path)["rows"] == [{"case": "lj", "ad": 1.5, "fd": None, "verdict": "unresolved"}]


def test_plain_values_are_json():
    value = {"a": np.arange(3), "b": [np.float32(0.5), np.nan, (1, None)], "c": np.bool_(True), 1: math.inf}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "a": [0, 1, 2],
        "b": [0.5, None, [1, None]],
        "c": True,
        "1": None,
    }


def test_large_arrays_are_summarized_or_referred_to():
    small, large = np.arange(64.0), np.arange(65.0)
    assert summarize(small) == list(range(64))
    assert summarize(np.float64(2)) == 2
    summary = summarize(large.reshape(5, 13))
    assert summary["shape"] == [5, 13]
    assert (summary["min"], summary["mean"], summary["max"]) == (0, 32, 64)
    assert summary["norm"] == pytest.approx(np.linalg.norm(large))
    assert summary["std"] == pytest.approx(large.std())
    assert refer(np.ones((10, 100)), "g.h5", "/x") == np.ones((10, 100)).tolist()
    assert refer(np.ones(1001), "g.h5", "/x") == {"file": "g.h5", "dataset": "/x", "shape": [1001]}
