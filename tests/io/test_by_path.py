"""Arrays by path: a dataset each, or one with names for the many entries of a field."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from diffmd.io.by_path import MANY, columns, read_paths, write_paths
from diffmd.io.results import read_weights
from diffmd.io.training import Epoch, TrainingLog, read_training
from diffmd.paths import child

FIELD = "potentials.lj.sigma"
FEW = {child(FIELD, name): np.float64(k) for k, name in enumerate(("C", "C.2", "CALA/CB", "N*", "1"))}


def many(count: int) -> dict[str, np.float64]:
    return {child(FIELD, f"T/{k}.x"): np.float64(k) for k in range(count)}


def test_few_entries_are_datasets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_paths(file, "gradients", FEW)
        assert sorted(file["gradients/potentials/lj/sigma"]) == ["1", "C", "C.2", "CALA%2FCB", "N*"]
        assert file["/gradients/potentials/lj/sigma/C"][()] == 0
        assert read_paths(file, "gradients") == FEW
        assert read_paths(file, "parameters") == {}


@pytest.mark.parametrize(("count", "datasets"), [(MANY, MANY), (MANY + 1, 1)])
def test_many_entries_are_one_dataset_with_names(tmp_path: Path, count: int, datasets: int) -> None:
    values = {"potentials.lj.epsilon": np.float64(3), **many(count), "system.positions": np.ones((70, 3))}
    assert len(columns(values)) == datasets + 2
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_paths(file, "gradients", values)
        found = read_paths(file, "gradients")
        assert found.keys() == values.keys()
        assert all(np.array_equal(found[path], value) for path, value in values.items())
        if datasets == 1:
            data = file["gradients/potentials/lj/sigma"]
            assert np.array_equal(data, np.arange(count))
            assert data.attrs["path"] == FIELD
            names = file[data.attrs["names"]]
            assert names.name == "/names/gradients/potentials/lj/sigma"
            assert names.asstr()[:2].tolist() == ["T/0.x", "T/1.x"]


def test_many_entries_beside_an_array_are_datasets(tmp_path: Path) -> None:
    """One type's value of each atom, among others' numbers, needs their field for a group."""
    values = {**many(MANY + 1), child(FIELD, "C.2"): np.arange(3.0)}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_paths(file, "gradients", values)
        found = read_paths(file, "gradients")
        assert len(file["gradients/potentials/lj/sigma"]) == MANY + 2
    assert all(np.array_equal(found[path], value) for path, value in values.items())


def test_arrays_and_numbers_of_an_array_stay_apart() -> None:
    arrays = {child("potentials.nn.weights", f"{k}/weight"): np.ones(2) for k in range(MANY + 1)}
    numbers = {f"potentials.angle.theta0[{k}]": np.float64(k) for k in range(MANY + 1)}
    assert [column.names for column in columns({**arrays, **numbers})] == [None] * 2 * (MANY + 1)


def test_a_training_of_many_entries_is_resumed(tmp_path: Path) -> None:
    values = {**many(MANY + 6), "potentials.lj.epsilon": np.float64(2)}

    def epoch(number: int, *, error: bool = False) -> Epoch:
        scaled = {path: value * number for path, value in values.items()}
        return Epoch(number, 1.0, np.ones(1), scaled, scaled, 1.0, 0.1, scaled if error else None)

    with TrainingLog.create(tmp_path, 1, values, errors=True) as log:
        log.append(epoch(1))
        log.append(epoch(2))
    with TrainingLog.resume(tmp_path, 1) as log:
        log.append(epoch(2, error=True))
        with pytest.raises(ValueError, match="parameters of"):
            log.append(Epoch(3, 1.0, np.ones(1), {}, {}, 1.0, 0.1))
    read = read_training(tmp_path)
    assert read.parameters.keys() == values.keys()
    path = child(FIELD, "T/7.x")
    assert np.array_equal(read.gradients[path], [7, 14])
    assert np.array_equal(read.standard_error[path], [np.nan, 14], equal_nan=True)
    with h5py.File(tmp_path / "training.h5") as file:
        assert file["parameters/potentials/lj/sigma"].shape == (2, MANY + 6)


def test_leaves_of_a_network_are_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_paths(file, "best", {"potentials.nn.weights.0/weight": np.ones((2, 1))})
    assert read_weights(tmp_path / "x.h5", "best/potentials/nn/weights")["0/weight"].shape == (2, 1)
