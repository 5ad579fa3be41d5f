"""Checkpoints come back bit for bit, and are never seen torn."""

import os

import numpy as np
import pytest

from diffmd.errors import OutputError
from diffmd.io import checkpoint, files

ARRAYS = {
    "state/positions": np.random.default_rng(0).normal(size=(5, 3)),
    "state/velocities": np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32),
    "state/special": np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324]),
    "parameters/potentials.lj.sigma": np.float64(0.1 + 0.2),
    "parameters/potentials.nn.weights/0/weight": np.ones((1, 5), np.float32),
    "key": np.array([2**32 - 1, 7], np.uint32),
    "step": np.int64(2**62 + 1),
    "accepted": np.array([True, False]),
    "flag": np.bool_(True),
    "empty": np.zeros((0, 3), np.float32),
    "number": 0.1,
    "text": "naïve\nsecond line",
    "unicode": "",
}


def same_bits(a, b):
    if isinstance(a, str):
        return a == b
    a = np.asarray(a)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_everything_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoints" / "checkpoint.h5"
    meta = {"epoch": 3, "schedule": [[0, 200], [200, 500]], "name": "lj", "skin": 0.30000000000000004, "none": None}
    checkpoint.save(path, ARRAYS, meta)
    read = checkpoint.load(path)
    assert read.meta == meta
    assert set(read.arrays) == set(ARRAYS)
    for key, value in ARRAYS.items():
        assert same_bits(value, read.arrays[key]), key
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.h5"]


def test_a_long_text_and_many_arrays_fit(tmp_path):
    arrays = {f"a/{k}": np.arange(k) for k in range(500)} | {"text": "x" * 300_000}
    checkpoint.save(tmp_path / "c.h5", arrays, {"list": list(range(50_000))})
    read = checkpoint.load(tmp_path / "c.h5")
    assert read.arrays["text"] == arrays["text"]
    assert len(read.arrays) == 501
    assert read.meta["list"][-1] == 49_999


@pytest.mark.parametrize("fails", ["replace", "fsync"])
def test_the_old_one_stays_when_the_new_one_fails(tmp_path, monkeypatch, fails):
    path = tmp_path / "c.h5"
    checkpoint.save(path, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, fails, full)
    with pytest.raises(OutputError, match="the disk is full"):
        checkpoint.save(path, {"step": 2})
    monkeypatch.undo()
    assert checkpoint.load(path).arrays["step"] == 1
    checkpoint.save(path, {"step": 3})
    assert checkpoint.load(path).arrays["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["c.h5"]


def test_a_lost_one_is_taken_from_its_second_name(tmp_path):
    path = tmp_path / "c.h5"
    checkpoint.save(path, {"step": 1})
    os.link(path, tmp_path / "c.h5.previous")
    path.unlink()
    assert checkpoint.exists(path)
    assert checkpoint.load(path).arrays["step"] == 1


def test_missing_or_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "c.h5"
    assert not checkpoint.exists(path)
    with pytest.raises(OutputError, match="no such file"):
        checkpoint.load(path)
    checkpoint.save(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OutputError, match="damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("arrays", [{"a": 1, "a/b": 2}, {"": 1}, {"a//b": 1}, {"a": np.array([object()])}])
def test_what_cannot_be_kept_is_refused(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"key|folder|numbers"):
        checkpoint.save(tmp_path / "c.h5", arrays)
