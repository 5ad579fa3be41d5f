"""Looking into runs: finished, running, killed, damaged; without JAX."""

import json
import subprocess
import sys

import numpy as np
import pytest

from diffmd.commands.look.inspect import inspect, numbers, table
from diffmd.errors import ConfigError
from diffmd.io import results
from diffmd.io.h5md import STANDARD, Frames, Topology, TrajectoryWriter
from diffmd.io.rundir import RunDirectory
from diffmd.io.training import Epoch, TrainingLog
from diffmd.units import MD

SIGMA, WEIGHTS = "potentials.lj.sigma", "potentials.nn.weights.0/weight"


def begin(run, command):
    argv = ["diffmd", command]
    run.begin(command=command, name="lj", device="cpu", precision="double", seed=3, argv=argv, jax_version="0.10.1")


def trajectory(path):
    x = np.random.default_rng(0).normal(size=(3, 4, 3))
    top = Topology(np.zeros(4, int), ("A",), np.ones(4), np.zeros(4), np.zeros((0, 2), int), False)
    with TrajectoryWriter.create(path, top, MD) as writer:
        step = np.array([0, 10, 20])
        writer.append(Frames(step, step * 0.1, x, x, x, None, dict.fromkeys(STANDARD, np.ones(3))))


def training_run(path, status="finished"):
    values = {SIGMA: np.float64(0.5), WEIGHTS: np.ones((10, 10))}
    with RunDirectory.open(path) as run:
        begin(run, "train")
        with TrainingLog.create(path, 1, values) as log:
            for number, loss in enumerate([1.0, 0.1, 0.3], start=1):
                now = {name: value + number for name, value in values.items()}
                log.append(Epoch(number, loss, np.array([loss]), now, now, 1.0, 0.1))
        trajectory(path / "trajectory.h5md")
        if status != "running":
            run.finish(status)


def test_a_training(tmp_path):
    training_run(tmp_path / "run")
    (row,) = inspect([tmp_path / "run"])
    json.dumps(row, allow_nan=False)
    expected = {
        "status": "finished",
        "command": "train",
        "name": "lj",
        "seed": 3,
        "steps": 20,
        "frames": 3,
        "epochs": 3,
    }
    expected |= {"loss": 0.3, "best_loss": 0.1, "best_epoch": 2, "problems": []}
    assert {key: row[key] for key in expected} == expected
    assert row["parameters"][SIGMA] == 2.5
    assert row["parameters"][WEIGHTS]["shape"] == [10, 10]


def test_angles_are_degrees_in_the_table_and_radians_in_the_row(tmp_path):
    """The record of a training says the unit; gradients are per radian."""
    theta, k = "potentials.angle.theta0", "potentials.angle.k"
    units = {theta: "rad"}
    with RunDirectory.open(tmp_path / "run") as run:
        begin(run, "train")
        values = {theta: np.float64(np.pi / 2), k: np.float64(3.0)}
        with TrainingLog.create(tmp_path / "run", 1, values, units=units) as log:
            log.append(Epoch(1, 0.5, np.array([0.5]), values, values, 1.0, 0.1))
        run.finish("finished")
    (row,) = inspect([tmp_path / "run"])
    assert row["parameters"][theta] == np.pi / 2
    assert row["units"] == units
    header, (line,) = table([row])
    cells = dict(zip(header, line, strict=True))
    assert cells["parameters"] == f"{theta} = 90 deg, {k} = 3"
    assert cells["gradients"] == f"{theta} = 1.5708 per rad, {k} = 3"


def test_a_killed_run_and_a_running_one(tmp_path):
    path = tmp_path / "run"
    training_run(path, "running")
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 4, "lo')
    assert inspect([path])[0]["status"] == "killed"
    assert inspect([path])[0]["epochs"] == 3
    with RunDirectory.open(path, resume=True) as run:
        begin(run, "train")
        assert inspect([path])[0]["status"] == "running"
        assert inspect([path])[0]["frames"] == 3


def test_other_commands(tmp_path):
    for command in ("gradient", "scan", "gradcheck"):
        with RunDirectory.open(tmp_path / command) as run:
            begin(run, command)
            run.finish("finished")
    values = {SIGMA: np.float64(0.5), "system.positions": np.ones((500, 3))}
    results.write_gradients(tmp_path / "gradient/gradients.h5", results.Gradients(0.5, np.ones(1), values, values))
    scanned = results.Scan(SIGMA, np.arange(3.0), np.array([1, np.nan, 2]), np.zeros(3))
    results.write_scan(tmp_path / "scan", scanned)
    verdicts = [{"verdict": "agrees"}, {"verdict": "not_smooth"}, {"verdict": "agrees"}]
    results.write_gradcheck(tmp_path / "gradcheck", {"passed": False, "rows": verdicts})
    gradient, scan, gradcheck = inspect([tmp_path / name for name in ("gradient", "scan", "gradcheck")])
    assert (gradient["loss"], gradient["gradients"][SIGMA]) == (0.5, 0.5)
    dataset = {"file": "gradients.h5", "dataset": "/gradients/system/positions", "shape": [500, 3]}
    assert gradient["gradients"]["system.positions"] == dataset
    assert (scan["points"], scan["failed_points"]) == (3, 1)
    assert (gradcheck["passed"], gradcheck["verdicts"]) == (False, {"agrees": 2, "not_smooth": 1})


def test_several_runs_make_one_table(tmp_path):
    training_run(tmp_path / "a")
    training_run(tmp_path / "b", "interrupted")
    header, lines = table(inspect([tmp_path / "a", tmp_path / "b"]))
    assert len(lines) == 2
    assert all(len(line) == len(header) for line in lines)
    cells = dict(zip(header, lines[1], strict=True))
    assert cells["status"] == "interrupted"
    assert cells["best loss"] == "0.1"
    assert f"{SIGMA} = 2.5" in cells["parameters"]
    assert f"{WEIGHTS} = array 10 x 10" in cells["parameters"]
    assert "verdicts" not in header
    assert "problems" not in header


def test_a_csv_has_all_digits_and_a_column_a_number(tmp_path):
    training_run(tmp_path / "a")
    with RunDirectory.open(tmp_path / "b") as run:
        begin(run, "gradient")
        run.finish("finished")
    values = {"system.box": np.array([1 / 3, 2, 3])}
    results.write_gradients(tmp_path / "b/gradients.h5", results.Gradients(0.5, np.ones(1), values, values))
    header, (first, second) = numbers(inspect([tmp_path / "a", tmp_path / "b"]))
    a, b = (dict(zip(header, row, strict=True)) for row in (first, second))
    assert header[:2] == ["directory", "status"]
    assert (a["best_loss"], a[f"parameters.{SIGMA}"]) == (0.1, 2.5)
    assert (b["parameters.system.box.0"], b["gradients.system.box.2"]) == (1 / 3, 3.0)
    assert b[f"parameters.{SIGMA}"] is None
    # A network's weights are in the file alone, and no run had a problem.
    assert not [key for key in header if WEIGHTS in key or key == "problems"]


@pytest.mark.parametrize("file", ["trajectory.h5md", "metrics.jsonl", "gradients.h5", "scan.h5", "gradcheck.json"])
@pytest.mark.parametrize("content", [b"damaged\n\n", b"{}\n", b'{"epoch": 1}\n', b"[1]\n"])
def test_a_damaged_file_is_a_problem_of_its_own(tmp_path, file, content):
    training_run(tmp_path / "run")
    (tmp_path / "run" / file).write_bytes(content)
    (row,) = inspect([tmp_path / "run"])
    assert len(row["problems"]) == 1
    assert file in row["problems"][0]
    assert row["status"] == "finished"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no directory"):
        inspect([tmp_path / "none"])
    with pytest.raises(ConfigError, match="not the directory of a diffmd run"):
        inspect([tmp_path])


def test_it_needs_no_jax(tmp_path):
    training_run(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from diffmd.commands.look.inspect import inspect, table; "
        "import diffmd.commands.look.export; table(inspect([Path(sys.argv[1])])); print('jax' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
