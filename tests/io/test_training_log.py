"""The records that grow with a training."""

import dataclasses
import json

import numpy as np
import pytest

from diffmd.errors import OutputError
from diffmd.io.training import Epoch, TrainingLog, metrics_line, read_metrics, read_training

VALUES = {"potentials.lj.sigma": np.float64(0.5), "potentials.nn.weights.0/weight": np.ones((5, 30), np.float32)}


def epoch(number, wall=0.5):
    values = {path: value * number for path, value in VALUES.items()}
    return Epoch(number, 1 / number, np.array([1 / number, 0]), values, values, float(number), wall)


def test_epochs_read_back(tmp_path):
    with TrainingLog.create(tmp_path, 2, VALUES) as log:
        assert log.last_epoch is None
        for number in (1, 2, 3):
            log.append(epoch(number))
        assert log.last_epoch == 3
        assert len(read_training(tmp_path).loss) == 3
    read = read_training(tmp_path)
    assert np.array_equal(read.epoch, [1, 2, 3])
    assert np.array_equal(read.loss, [1, 1 / 2, 1 / 3])
    assert read.terms.shape == (3, 2)
    assert read.parameters["potentials.nn.weights.0/weight"].shape == (3, 5, 30)
    assert read.gradients["potentials.nn.weights.0/weight"].dtype == np.float32
    assert np.array_equal(read.gradients["potentials.lj.sigma"], [0.5, 1, 1.5])
    lines = read_metrics(tmp_path)
    assert lines[2]["loss"] == 1 / 3
    assert lines[0]["parameters"]["potentials.nn.weights.0/weight"]["shape"] == [5, 30]
    assert set(lines[0]) == {"epoch", "loss", "terms", "parameters", "gradients", "gradient_norm", "wall_s"}


def test_a_resumed_record_equals_an_unbroken_one(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for folder, last in ((whole, 6), (resumed, 5)):
        folder.mkdir()
        with TrainingLog.create(folder, 2, VALUES) as log:
            for number in range(1, last + 1):
                log.append(epoch(number))
    with (resumed / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 6, "lo')
    assert [line["epoch"] for line in read_metrics(resumed)] == [1, 2, 3, 4, 5]
    with TrainingLog.resume(resumed, 3) as log:
        assert log.last_epoch == 3
        for number in (4, 5, 6):
            log.append(epoch(number))
    assert (whole / "metrics.jsonl").read_text() == (resumed / "metrics.jsonl").read_text()
    one, two = read_training(whole), read_training(resumed)
    assert np.array_equal(one.loss, two.loss)
    for path in VALUES:
        assert np.array_equal(one.parameters[path], two.parameters[path])


def test_what_is_not_finite_is_null_in_the_metrics():
    row = metrics_line(
        Epoch(1, np.nan, np.array([np.inf]), {"a": np.float64(1)}, {"a": np.float64(np.nan)}, np.inf, 0.1)
    )
    assert (row["loss"], row["terms"], row["gradients"], row["gradient_norm"]) == (None, [None], {"a": None}, None)
    json.dumps(row, allow_nan=False)


def test_standard_errors_and_health_are_kept(tmp_path):
    with TrainingLog.create(tmp_path, 2, VALUES, errors=True) as log:
        log.append(epoch(1))
        errors = {path: 0.1 * np.ones_like(value) for path, value in VALUES.items()}
        health = {"growth_rate": 0.1, "horizon": 40, "advice": "Fine."}
        log.append(dataclasses.replace(epoch(2), standard_error=errors, health=health))
    with TrainingLog.resume(tmp_path, 2) as log:
        log.append(dataclasses.replace(epoch(3), standard_error=errors, health={"growth_rate": np.nan}))
    read = read_training(tmp_path).standard_error
    assert read["potentials.nn.weights.0/weight"].shape == (3, 5, 30)
    np.testing.assert_array_equal(read["potentials.lj.sigma"], [np.nan, 0.1, 0.1])
    lines = read_metrics(tmp_path)
    assert "health" not in lines[0]
    assert lines[1]["health"] == health
    assert lines[2]["health"] == {"growth_rate": None}


def test_a_record_without_room_for_errors_goes_on_as_it_was(tmp_path):
    with TrainingLog.create(tmp_path, 2, VALUES) as log:
        log.append(dataclasses.replace(epoch(1), standard_error={"potentials.lj.sigma": np.float64(0.1)}))
    assert read_training(tmp_path).standard_error == {}
    assert read_metrics(tmp_path)[0]["standard_error"] == {"potentials.lj.sigma": 0.1}


def test_a_damaged_line_before_the_last_is_told(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with pytest.raises(OutputError, match=r"metrics\.jsonl:2"):
        read_metrics(tmp_path)


def test_missing_records_are_told(tmp_path):
    for read in (read_metrics, read_training, lambda folder: TrainingLog.resume(folder, 1)):
        with pytest.raises(OutputError, match="no such file"):
            read(tmp_path)


def test_a_wrong_shape_is_refused(tmp_path):
    with TrainingLog.create(tmp_path, 3, VALUES) as log:
        with pytest.raises(ValueError, match="terms"):
            log.append(epoch(1))
        assert read_metrics(tmp_path) == []
