"""SIGKILL at random moments, and signals that ask to stop: what is left opens, and goes on bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.commanded import same
from support.objectives import CONFIGS

# lists, equilibration and a segment every few steps for `simulate`; a network and an optimizer with state for `train`.
LIQUID = (
    CONFIGS / "lj_liquid.yaml",
    *("-s", "system.atoms.0.count=256", "-s", "dynamics.equilibration.steps=200", "-s", "dynamics.steps=3000"),
    *("-s", "potentials.lj.cutoff.distance=2.0", "-s", "potentials.lj.cutoff.from=1.8"),
    *("-s", "dynamics.neighbors.kind=cell_list"),
)
BOND = (
    CONFIGS / "bond_angle.yaml",
    "-s",
    "dynamics.steps=30",
    "-s",
    "train.epochs=120",
    "-s",
    "train.optimizer.kind=adam",
)
RUNS = {"simulate": LIQUID, "train": BOND}
KILLS = 3


class Runner:
    """Runs of the command line that share a cache of compiled programs."""

    def __init__(self, cache: Path) -> None:
        self._env = {**os.environ, "DIFFMD_CACHE_DIR": str(cache)}

    def start(self, *args: object) -> subprocess.Popen[str]:
        """A process of its own."""
        call = [sys.executable, "-c", "from diffmd.cli import main; main()", *map(str, args)]
        return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env)

    def finish(self, *args: object) -> str:
        """Runs to the end; what it said."""
        process = self.start(*args)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        return out + err


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("cache"))


def rows(folder: Path) -> list[dict[str, Any]]:
    """What every epoch left, but times; a line that a kill cut short is no line."""
    text = (folder / "metrics.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [{key: value for key, value in row.items() if key != "wall_s"} for row in found]


def all_files_open(folder: Path) -> None:
    for file in folder.rglob("*.h5*"):
        if not file.name.startswith("."):
            with h5py.File(file) as opened:
                opened.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
    if (folder / "metrics.jsonl").exists():
        rows(folder)
    if (folder / "run.json").exists():
        assert json.loads((folder / "run.json").read_text())["status"] in ("running", "finished")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_killed_runs_go_on_bit_for_bit(name: str, runner: Runner, tmp_path: Path):
    arguments = (name, *RUNS[name], "-q")
    whole, out = tmp_path / "whole", tmp_path / "run"
    runner.finish(*arguments, "-o", tmp_path / "warm")
    began = time.monotonic()
    runner.finish(*arguments, "-o", whole)
    seconds = time.monotonic() - began
    drawn = random.Random(name)
    kills = late = 0
    while kills < KILLS:
        process = runner.start(*arguments, "-o", out, "--resume")
        time.sleep(drawn.uniform(0.3, 0.9) * seconds)
        if process.poll() is not None:
            # Finished before it was killed: compare, and begin another.
            assert process.returncode == 0, process.communicate()[1]
            compare(name, out, whole)
            out = tmp_path / f"run{kills}_{late}"
            late += 1
            assert late < 10
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        all_files_open(out)
    runner.finish(*arguments, "-o", out, "--resume")
    compare(name, out, whole)


def compare(name: str, out: Path, whole: Path) -> None:
    same(out / "trajectory.h5md", whole / "trajectory.h5md")
    if name == "train":
        same(out / "training.h5", whole / "training.h5")
        same(out / "trajectory_first.h5md", whole / "trajectory_first.h5md")
        assert rows(out) == rows(whole)
        for file in ("best.yaml", "final.yaml"):
            assert (out / file).read_text() == (whole / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_and_its_exit_code(
    number: signal.Signals, code: int, runner: Runner, tmp_path: Path
):
    out = tmp_path / "run"
    process = runner.start("train", *BOND, "-s", "train.epochs=100000", "-o", out)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() or len(rows(out)) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "--resume" in err
    assert "Traceback" not in err
    assert (out / "checkpoints" / "checkpoint.h5").exists()
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
