"""``train``: what it leaves runs again, stops and goes on bit for bit, and keeps bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from adjoints.test_reweight import SPRING
from support.commanded import Listener, request, same, written
from support.objectives import CONFIGS, FLUID, MOLECULE, changed

from diffmd.commands.gradient import gradient
from diffmd.commands.look.plot import plot
from diffmd.commands.simulate import simulate
from diffmd.commands.train import train
from diffmd.errors import ConfigError, Interrupted, NumericalError
from diffmd.io.training import read_training

R0 = "potentials.bond.r0"
SMALL = changed(
    MOLECULE,
    potentials={"bond": MOLECULE["potentials"]["bond"]},
    parameters=[R0],
    output={"every": 6},
    train={"epochs": 4, "optimizer": {"kind": "adam", "learning_rate": 0.02}},
)


def rows(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "wall_s"} for row in found]


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A config, its finished training, and the answer."""
    folder = tmp_path_factory.mktemp("fit")
    config = written(folder, SMALL)
    return config, folder / "run", train(request(config, folder / "run"), Listener()).answer


def test_what_a_training_leaves(fit: tuple[Path, Path, dict[str, Any]]):
    _, run, answer = fit
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in found] == [1, 2, 3, 4]
    for row in found:
        assert set(row) == {"epoch", "loss", "terms", "parameters", "gradients", "gradient_norm", "wall_s", "health"}
        assert set(row["health"]) == {"growth_rate", "horizon", "advice"}
        assert row["gradient_norm"] == pytest.approx(abs(row["gradients"][R0]))
        assert row["loss"] == pytest.approx(sum(row["terms"]))
    assert found[0]["parameters"][R0] == 0.65
    assert set(answer) == {"loss", "best_loss", "epochs", "parameters", "best_parameters", "output"}
    assert answer["best_loss"] == min(row["loss"] for row in found)
    assert (answer["loss"], answer["epochs"]) == (found[-1]["loss"], 4)
    names = ("config.yaml", "run.json", "best.yaml", "final.yaml", "trajectory_first.h5md", "trajectory.h5md")
    assert all((run / name).exists() for name in names)
    with h5py.File(run / "training.h5") as file:
        assert list(file["loss"]) == [row["loss"] for row in found]
        assert list(file["parameters/potentials/bond/r0"]) == [row["parameters"][R0] for row in found]
    with h5py.File(run / "learned.h5") as file:
        for group, name in (("final", "parameters"), ("best", "best_parameters")):
            assert file[f"{group}/potentials/bond/r0"][()] == answer[name][R0]
    final = yaml.safe_load((run / "final.yaml").read_text())
    assert final["potentials"]["bond"]["r0"] == answer["parameters"][R0]


def test_best_yaml_gives_the_best_loss_and_trajectory_again(fit: tuple[Path, Path, dict[str, Any]], tmp_path: Path):
    _, run, answer = fit
    assert gradient(request(run / "best.yaml", tmp_path / "g"), Listener()).answer["loss"] == answer["best_loss"]
    simulate(request(run / "best.yaml", tmp_path / "s"), Listener())
    same(tmp_path / "s" / "trajectory.h5md", run / "trajectory.h5md")


def test_parameters_of_an_epoch_give_its_loss(fit: tuple[Path, Path, dict[str, Any]], tmp_path: Path):
    config, run, answer = fit
    metrics = rows(run)
    for which, wanted in (("@best", answer["best_loss"]), ("@last", metrics[-1]["loss"]), ("@3", metrics[2]["loss"])):
        start = request(config, tmp_path / which[1:], parameters=f"{run}{which}")
        assert gradient(start, Listener()).answer["loss"] == wanted
    simulate(request(config, tmp_path / "s", parameters=str(run)), Listener())
    same(tmp_path / "s" / "trajectory.h5md", run / "trajectory.h5md")


def test_a_stopped_training_goes_on_bit_for_bit(fit: tuple[Path, Path, dict[str, Any]], tmp_path: Path):
    config, run, answer = fit
    out = tmp_path / "run"
    for after, code in ((1, 143), (2, 130)):
        with pytest.raises(Interrupted) as stopped:
            train(request(config, out, resume=True), Listener(after, code))
        assert stopped.value.exit_code == code
        assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    again = train(request(config, out, resume=True), Listener()).answer
    assert {**again, "output": None} == {**answer, "output": None}
    assert rows(out) == rows(run)
    for name in ("training.h5", "trajectory.h5md", "trajectory_first.h5md"):
        same(out / name, run / name)
    assert (out / "best.yaml").read_text() == (run / "best.yaml").read_text()


def test_standard_errors_of_replicas_are_recorded_and_resumed(tmp_path: Path):
    hot = {"kind": "maxwell_boltzmann", "temperature": 1.0}
    noisy = changed(SMALL, system__velocities=hot, gradient={"method": "reverse", "replicas": 2}, train__epochs=2)
    config = written(tmp_path, noisy)
    train(request(config, tmp_path / "whole"), Listener())
    with pytest.raises(Interrupted):
        train(request(config, tmp_path / "run"), Listener(1))
    train(request(config, tmp_path / "run", resume=True), Listener())
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    same(tmp_path / "run" / "training.h5", tmp_path / "whole" / "training.h5")
    errors = read_training(tmp_path / "run").standard_error[R0]
    assert [row["standard_error"][R0] for row in rows(tmp_path / "run")] == errors.tolist()
    assert np.all(errors > 0)
    (picture,) = (path for path in plot(tmp_path / "run", "parameters") if path.name == "parameters.txt")
    assert "standard error" in picture.read_text()
    assert f"standard_error.{R0}" in picture.with_suffix(".csv").read_text()


def test_more_epochs_go_on_as_if_asked_for_at_once(fit: tuple[Path, Path, dict[str, Any]], tmp_path: Path):
    config, run, _ = fit
    out = tmp_path / "run"
    train(request(config, out, "train.epochs=2"), Listener())
    train(request(config, out, resume=True), Listener())
    assert rows(out) == rows(run)
    same(out / "training.h5", run / "training.h5")
    with pytest.raises(ConfigError, match="cannot become fewer"):
        train(request(config, out, "train.epochs=1", resume=True), Listener())


@pytest.mark.slow
def test_lists_and_equilibration_in_each_epoch_resume_too(tmp_path: Path):
    before = {"steps": 10, "thermostat": {"kind": "rescale", "temperature": 0.5}, "each_epoch": True}
    listed = changed(
        FLUID,
        potentials__lj__cutoff={"kind": "switch", "distance": 1.5, "from": 1.3},
        dynamics__neighbors={"kind": "cell_list", "skin": 0.3},
        dynamics__equilibration=before,
        parameters=["potentials.lj.sigma"],
        output={"every": 6},
        train={"epochs": 3, "optimizer": {"kind": "sgd", "learning_rate": 1e-4}},
    )
    config = written(tmp_path, listed)
    train(request(config, tmp_path / "whole"), Listener())
    with pytest.raises(Interrupted):
        train(request(config, tmp_path / "run"), Listener(11))
    train(request(config, tmp_path / "run", resume=True), Listener())
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    for name in ("trajectory.h5md", "trajectory_first.h5md"):
        same(tmp_path / "run" / name, tmp_path / "whole" / name)


def test_patience_ends_it(fit: tuple[Path, Path, dict[str, Any]], tmp_path: Path):
    config, _, _ = fit
    patient = ("train.patience=2", "train.epochs=50", "train.optimizer={kind: sgd, learning_rate: 0.0}")
    listener = Listener()
    answer = train(request(config, tmp_path / "run", *patient), listener).answer
    assert answer["epochs"] == 3
    assert any("no better loss for 2 epochs" in text for text in listener.said)


@pytest.mark.slow
def test_bounds_transforms_and_other_optimizers(tmp_path: Path):
    bounded = [
        {"path": R0, "lower": 0.64, "upper": 0.66},
        {"path": "potentials.bond.k", "transform": "positive"},
    ]
    for kind, more in (("lbfgs", {}), ("adamw", {"learning_rate": 0.5, "weight_decay": 0.01})):
        data = changed(SMALL, parameters=bounded, train={"epochs": 3, "optimizer": {"kind": kind, **more}})
        train(request(written(tmp_path, data), tmp_path / kind), Listener())
        values = [row["parameters"] for row in rows(tmp_path / kind)]
        assert all(0.64 - 1e-12 <= value[R0] <= 0.66 + 1e-12 for value in values)
        assert all(value["potentials.bond.k"] > 0 for value in values)
        assert len({value[R0] for value in values}) > 1


@pytest.mark.slow
def test_a_network_goes_into_files_of_weights(tmp_path: Path):
    few = ("dynamics.steps=20", "train.epochs=2")
    answer = train(request(CONFIGS / "nn_logo.yaml", tmp_path / "run", *few), Listener()).answer
    run = tmp_path / "run"
    for name in ("best", "final"):
        config = yaml.safe_load((run / f"{name}.yaml").read_text())
        assert config["potentials"]["nn"]["weights"]["kind"] == "file"
    best = gradient(request(run / "best.yaml", tmp_path / "g"), Listener()).answer
    assert best["loss"] == answer["best_loss"]
    assert (run / "final_weights.h5").exists()
    train(request(written(tmp_path, SMALL), run, "train.epochs=1", overwrite=True), Listener())
    assert not (run / "final_weights.h5").exists()
    assert not (run / "weights.h5").exists()


def test_a_run_that_explodes_keeps_the_epochs_before(tmp_path: Path):
    wild = changed(SMALL, train={"epochs": 6, "optimizer": {"kind": "sgd", "learning_rate": 1e200}})
    with pytest.raises(NumericalError):
        train(request(written(tmp_path, wild), tmp_path / "run"), Listener())
    found = rows(tmp_path / "run")
    assert found
    assert np.isfinite([row["loss"] for row in found]).all()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_a_sampling_that_has_not_forgotten_its_start_is_told_once(tmp_path: Path):
    # Two atoms far apart and overdamped: what is sampled is mostly their way back.
    far = changed(
        SPRING,
        system__positions__values=[[0.0, 0.0, 0.0], [1.3, 0.0, 0.0]],
        dynamics__integrator__friction=2000.0,
        dynamics__steps=4000,
        parameters=[R0],
        train={"epochs": 2, "optimizer": {"kind": "sgd", "learning_rate": 1e-6}},
    )
    listener = Listener()
    train(request(written(tmp_path, far), tmp_path / "run"), listener)
    (told,) = [text for text in listener.warned if "The run has not forgotten its start: " in text]
    assert told.startswith("epoch 1: ")
