"""Files of a process that is killed, or whose disk is full, open and are consistent."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from diffmd.io.h5md import TrajectoryWriter
from diffmd.io.training import TrainingLog, read_metrics, read_training
from diffmd.io.trajectory import read_trajectory

TRAJECTORY = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from diffmd.errors import OutputError
from diffmd.io.h5md import STANDARD, Frames, Topology, TrajectoryWriter
from diffmd.units import MD

path, limit = Path(sys.argv[1]), int(sys.argv[2])
n, count = 50, 3
top = Topology(np.zeros(n, int), ("A",), np.ones(n), np.zeros(n), np.zeros((0, 2), int), True)
try:
    with TrajectoryWriter.create(path, top, MD) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for i in range(100_000):
            step = np.arange(count) + i * count
            x = np.broadcast_to(step[:, None, None], (count, n, 3)).astype(float)
            box = np.eye(3) * (4 + step[:, None, None])
            writer.append(Frames(step, step * 1.0, x, x, x, box, {name: step * 1.0 for name in STANDARD}))
            print(i, flush=True)
except OutputError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""

TRAINING = """
import sys
from pathlib import Path
import numpy as np
from diffmd.io.training import Epoch, TrainingLog

values = {"potentials.lj.sigma": np.float64(0), "potentials.nn.weights.0/weight": np.zeros((5, 30))}
with TrainingLog.create(Path(sys.argv[1]).parent, 2, values) as log:
    for epoch in range(1, 100_000):
        now = {path: value + epoch for path, value in values.items()}
        log.append(Epoch(epoch, float(epoch), np.full(2, epoch), now, now, float(epoch), 0.1))
"""
UNLIMITED = -1


def check_trajectory(path):
    read = read_trajectory(path)
    count = np.arange(len(read))
    assert np.array_equal(read.step, count)
    assert np.array_equal(read.time, count)
    for array in (read.velocities, read.forces, read.positions):
        assert np.allclose(array[:, 0, 0], count, rtol=1e-13)
    assert np.array_equal(read.box[:, 0, 0], count + 4)
    for values in read.observables.values():
        assert np.array_equal(values, count)
    return len(read)


def kill(script, path, waiting_for, seconds):
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(UNLIMITED)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not waiting_for.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_killed_trajectories_open_and_go_on(tmp_path):
    moments = random.Random(1)
    lengths = []
    for run in range(10):
        path = tmp_path / f"{run}.h5md"
        kill(TRAJECTORY, path, path, moments.uniform(0, 0.25))
        lengths.append(check_trajectory(path))
        with TrajectoryWriter.resume(path, lengths[-1] // 2) as writer:
            assert writer.frames == min(lengths[-1] // 2 + 1, lengths[-1])
        check_trajectory(path)
    assert max(lengths) > 30


@pytest.mark.slow
def test_killed_trainings_open_and_go_on(tmp_path):
    moments = random.Random(2)
    for run in range(8):
        folder = tmp_path / str(run)
        folder.mkdir()
        kill(TRAINING, folder / "training.h5", folder / "metrics.jsonl", moments.uniform(0, 0.25))
        read, lines = read_training(folder), read_metrics(folder)
        assert np.array_equal(read.loss, read.epoch)
        assert np.array_equal(read.epoch, np.arange(1, len(read.epoch) + 1))
        assert np.array_equal(read.parameters["potentials.nn.weights.0/weight"][:, 4, 29], read.epoch)
        assert len(read.epoch) - 1 <= len(lines) <= len(read.epoch)
        with TrainingLog.resume(folder, len(lines) // 2) as log:
            assert log.last_epoch == (len(lines) // 2 or None)
        assert [line["epoch"] for line in read_metrics(folder)] == list(range(1, len(lines) // 2 + 1))


@pytest.mark.parametrize("limit", [100_000, 400_000, 409_600, 654_321])
def test_a_full_disk_ends_in_a_sentence_and_loses_no_frame(tmp_path, limit):
    path = tmp_path / "trajectory.h5md"
    run = subprocess.run(
        [sys.executable, "-c", TRAJECTORY, str(path), str(limit)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 5, run.stderr
    assert run.stderr == f"cannot write {path}: the file would be larger than this system allows\n"
    appended = 3 * len(run.stdout.splitlines())
    assert check_trajectory(path) == appended
    with TrajectoryWriter.resume(path, 10**6) as writer:
        assert writer.frames == appended
