"""What a user can get wrong, through the command line: a sentence, the right exit code, and nothing lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import pytest
from support.runs import make_run

from diffmd.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"
LJ, ANGLE = CONFIGS / "lj_fluid.yaml", CONFIGS / "bond_angle.yaml"
FEW = ("-s", "dynamics.steps=10")
TWO = ("-s", "system.atoms.0.count=2", *FEW)
PYTHON = """\
system:
  box: [6.0, 6.0, 6.0]
  atoms: [{type: A, count: 4, mass: 1.0}]
  positions: {kind: random, min_distance: 1.0}
potentials:
  own: {kind: python, function: "./own.py:energy", parameters: {a: 1.0}}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.01}, steps: 5}
"""
SYSTEMS = """\
systems:
  near: {system: {box: [4, 4, 4], atoms: [{type: A, count: 4, mass: 1.0}], positions: {kind: random, min_distance: 1}}}
  far: {system: {box: [6, 6, 6], atoms: [{type: A, count: 2, mass: 1.0}], positions: {kind: random, min_distance: 1}}}
potentials:
  lj: {kind: lennard_jones, sigma: 1.0, epsilon: 1.0, cutoff: {kind: shifted_force, distance: 1.9}}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.002}, steps: 20}
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("DIFFMD_CACHE", "off")


@pytest.fixture
def run(capfd):
    """Runs `diffmd` here: exit code, stdout, stderr."""

    def diffmd(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "internal error" not in err, err
        return int(end.value.code or 0), out, err

    return diffmd


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("system.atoms.0.mass=0", "system.atoms.0.mass: is 0; must be more than 0"),
        ("potentials.lj.epsilon=-0.2", "must be at least 0"),
        ("potentials.lj.epsilon={A: -0.2}", "potentials.lj.epsilon.A: is -0.2"),
        ("potentials.lj.cutoff.distance=1.6", "longer than half the smallest width"),
        ("system.box=[3, 3]", "needs 3 entries"),
        ("system.box=[3, 3, 0]", "must be more than 0"),
        ("system.box=[1e200, 1e200, 1e200]", "volume would be no number"),
        ("system.box=[1e-300, 3, 3]", "volume would be no number"),
        ("system.box=[[3, 0, 0], [3, 0, 0], [0, 0, 3]]", "lie in one plane"),
        ("system.box=[[3, 0, 0], [3, 3, 0], [0, 0, 3]]", "is not reduced"),
        ("system.positions={kind: file, path: missing.xyz}", "no such file"),
        ("train={epochs:2}", "a colon and its value want a space between them: epochs: 2"),
        ("potentials.lj={kind: python, function: mine.py}", "write ./mine.py:energy"),
    ],
)
def test_what_validate_refuses(run, setting: str, sentence: str):
    code, _, err = run("validate", LJ, "-s", setting)
    assert code == 2
    assert sentence in err


@pytest.mark.parametrize("distance", ["5", "0.95", "1e6"])
def test_an_impossible_packing_is_refused_at_once(run, tmp_path, distance: str):
    code, _, err = run("simulate", LJ, "-s", f"system.positions.min_distance={distance}", "-o", tmp_path / "r")
    assert code == 2
    assert "Write at most 0.77" in err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("second", [[0, 0, 0], [3, 0, 0]])
def test_atoms_on_top_of_each_other(run, tmp_path, second: list[int]):
    place = f"system.positions={{kind: inline, values: [[0, 0, 0], {second}]}}"
    code, _, err = run("simulate", LJ, *TWO, "-s", place, "-o", tmp_path / "r")
    assert code == 3
    assert "at the start (atoms 0, 1; pushed hardest by potentials.lj)" in err


def test_a_step_that_is_far_too_long(run, tmp_path):
    code, _, err = run("simulate", LJ, "-s", "dynamics.integrator.dt=2", "-o", tmp_path / "r")
    assert code == 3
    assert "at step " in err
    assert "potentials.lj" in err
    assert json.loads((tmp_path / "r/run.json").read_text())["status"] == "failed"
    with h5py.File(tmp_path / "r/trajectory.h5md") as file:
        assert len(file["particles/trajectory/position/step"]) >= 1


def test_a_pdb_cut_within_a_coordinate(run, tmp_path):
    line = "ATOM      1  A   HOH A   1       1.000   1.000   1.000  1.00  0.00           O"
    (tmp_path / "cut.pdb").write_text(f"{line}\n{line[:50]}\n")
    place = f"system.positions={{kind: file, path: {tmp_path / 'cut.pdb'}}}"
    code, _, err = run("simulate", LJ, *TWO, "-s", place, "-o", tmp_path / "r")
    assert code == 2
    assert "line 2 ends before the atom's coordinates do (z is columns 47-54)" in err


def test_sparse_frames_keep_checkpoints(run, tmp_path):
    arguments = ("simulate", LJ, "-s", "output.every=2500", "-o", tmp_path / "r", "-q")
    assert run(*arguments, "-s", "dynamics.steps=3000")[0] == 0
    with h5py.File(tmp_path / "r/checkpoints/checkpoint.h5") as file:
        assert file["arrays/step"][()] == 2000
    assert run(*arguments, "-s", "dynamics.steps=5500", "--resume")[0] == 0
    assert run(*arguments[:4], "-o", tmp_path / "whole", "-q", "-s", "dynamics.steps=5500")[0] == 0
    with h5py.File(tmp_path / "r/trajectory.h5md") as one, h5py.File(tmp_path / "whole/trajectory.h5md") as other:
        for name in ("position/step", "position/value", "velocity/value"):
            assert (one[f"particles/trajectory/{name}"][:] == other[f"particles/trajectory/{name}"][:]).all()


@pytest.mark.parametrize("command", ["simulate", "gradient"])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise ValueError('at import')", "cannot be imported: ValueError: at import"),
        ("import sys\nsys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("def energy(*a):\n    raise RuntimeError('broken')", "failed in line 2: RuntimeError: broken"),
        ("def energy(*a):\n    return a[4]['b']", "failed in line 2: KeyError: 'b'"),
        ("def energy(*a):\n    raise SystemExit(7)", "failed in line 2: SystemExit: 7"),
        ("def energy(*a):\n    return a[0]", "must return one real number"),
    ],
)
def test_a_users_function_that_fails(run, tmp_path, command: str, body: str, sentence: str):
    (tmp_path / "own.py").write_text(body)
    config = tmp_path / "c.yaml"
    loss = "loss: [{observable: {kind: potential_energy}, compare: none}]\nparameters: [potentials.own.parameters.a]\n"
    config.write_text(PYTHON + loss)
    code, _, err = run(command, config, "-o", tmp_path / "r")
    assert code == 2
    assert f"{config}:6: potentials.own.function" in err
    assert sentence in err


def test_a_users_file_may_hold_dataclasses(run, tmp_path):
    (tmp_path / "own.py").write_text(
        "from __future__ import annotations\nimport dataclasses\nimport jax.numpy as jnp\n"
        "@dataclasses.dataclass\nclass Own:\n    a: float\n"
        "def energy(x, box, neighbors, types, parameters):\n    return Own(parameters['a']).a * jnp.sum(x**2)\n"
    )
    (tmp_path / "c.yaml").write_text(PYTHON)
    code, _, _ = run("simulate", tmp_path / "c.yaml", "-o", tmp_path / "r", "-q")
    assert code == 0


def test_training_stops_where_a_number_leaves_what_the_config_may_say(run, tmp_path):
    arguments = ("train", LJ, "-s", "dynamics.steps=50", "-s", "parameters=[system.atoms.0.mass]")
    arguments = (*arguments, "-s", "train.optimizer.learning_rate=50000", "-o", tmp_path / "r")
    code, _, err = run(*arguments)
    assert code == 3
    assert "after epoch 1 system.atoms.0.mass is -" in err
    assert "must be more than 0" in err
    code, _, err = run(*arguments, "--resume")
    assert code == 3
    assert "after epoch 1 system.atoms.0.mass is -" in err
    assert len((tmp_path / "r/metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "over", "sentence"),
    [
        (LJ, "potentials.lj.epsilon=-0.4:0.5:3", "is -0.4, which must be at least 0"),
        (LJ, "system.atoms.0.mass=0:10:3", "is 0, which must be more than 0"),
        (ANGLE, "potentials.angle.theta0=3:180:6", "angles are radians; did you mean 180 deg?"),
        (LJ, "potentials.lj.sigmaa=0.4:0.5:2", "did you mean potentials.lj.sigma?"),
        (LJ, "potentials.lj.sigma=0.4:0.5:0", "the number of points is 0"),
        (LJ, "potentials.lj.sigma=0.4:0.5", "write PATH=START:STOP:NUM"),
    ],
)
def test_grids_that_are_refused(run, tmp_path, config: Path, over: str, sentence: str):
    code, _, err = run("scan", config, "--over", over, *FEW, "-o", tmp_path / "r")
    assert code == 2
    assert sentence in err


def test_each_of_several_systems_is_exported(run, tmp_path):
    (tmp_path / "two.yaml").write_text(SYSTEMS)
    assert run("simulate", tmp_path / "two.yaml", "-o", tmp_path / "r", "-q")[0] == 0
    code, out, _ = run("export", tmp_path / "r", "-o", tmp_path / "x.csv", "--format", "csv", "--json")
    assert code == 0
    assert [Path(file).name for file in json.loads(out)["files"]] == ["x_far.csv", "x_near.csv"]
    code, out, _ = run("export", tmp_path / "r", "-o", tmp_path, "--json")
    assert code == 0
    assert {Path(file).name for file in json.loads(out)["files"]} == {"trajectory_far.extxyz", "trajectory_near.extxyz"}


@pytest.mark.parametrize(("example", "command"), [("lj_fluid", "train"), ("lj_liquid", "simulate")])
def test_the_next_command_works(run, tmp_path, example: str, command: str):
    _, out, _ = run("init", tmp_path / "c.yaml", "--example", example)
    assert f"Next: diffmd {command} {tmp_path / 'c.yaml'}" in out
    _, _, err = run("validate", LJ, "-s", "loss.0.target=0.3")
    assert err.endswith(f"Next: diffmd simulate {LJ} -s loss.0.target=0.3\n")


def test_inspect_prints_csv(run, tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / name, command="simulate")
    code, out, err = run("inspect", tmp_path / "a", tmp_path / "b", "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert [row["directory"] for row in rows] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert "Next" not in out
    code, _, err = run("inspect", tmp_path / "a", "--csv", "--json")
    assert (code, err) == (2, "error: --csv and --json both want stdout; give one of them\n")


@pytest.mark.parametrize(("command", "following"), [("train", "Next: diffmd plot 'a run'\n"), ("gradcheck", "")])
def test_what_can_be_drawn_of_a_run_is_next(run, tmp_path, monkeypatch, command: str, following: str):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "a run", command=command)
    code, out, _ = run("inspect", "a run")
    assert code == 0
    assert out.endswith(following)
    assert ("Next" in out) == bool(following)
