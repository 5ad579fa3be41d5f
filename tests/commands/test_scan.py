"""``scan``: a grid with its ends, points that fail, and going on where it stopped."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.commanded import Listener, request, same, written
from support.objectives import CONFIGS, MOLECULE, changed

from diffmd.commands.gradient import gradient
from diffmd.commands.scan import Over, scan
from diffmd.commands.train import train
from diffmd.errors import ConfigError, Interrupted, NumericalError
from diffmd.io.results import read_scan
from diffmd.units import MD, REDUCED, Units

R0 = "potentials.bond.r0"
BOND = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond.k"])
OVER = f"{R0}=0.6:0.8:5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A config, and the answer of an unbroken scan."""
    folder = tmp_path_factory.mktemp("scan")
    config = written(folder, BOND)
    return config, scan(request(config, folder / "run"), Listener(), OVER).answer


def test_the_points_are_gradients_at_their_values(whole: tuple[Path, dict], tmp_path: Path):
    config, answer = whole
    assert answer["path"] == R0
    assert [point["value"] for point in answer["points"]] == list(np.linspace(0.6, 0.8, 5))
    third = answer["points"][2]
    at = (f"potentials.bond.r0={third['value']!r}", f"parameters=[{R0}]")
    alone = gradient(request(config, tmp_path / "run", *at), Listener()).answer
    assert third["loss"] == pytest.approx(alone["loss"], rel=1e-12)
    assert third["gradient"] == pytest.approx(alone["gradients"][R0], rel=1e-9)
    with h5py.File(config.parent / "run" / "scan.h5") as file:
        assert file.attrs["path"] == R0
        assert list(file["loss"]) == [point["loss"] for point in answer["points"]]
    with (config.parent / "run" / "scan.csv").open() as file:
        table = list(csv.reader(file))
    assert table[0] == ["value", "loss", "gradient"]
    assert len(table) == 6


def test_a_stopped_scan_goes_on(whole: tuple[Path, dict], tmp_path: Path):
    config, answer = whole
    out = tmp_path / "run"
    with pytest.raises(Interrupted) as stopped:
        scan(request(config, out), Listener(2), OVER)
    assert stopped.value.exit_code == 143
    assert read_scan(out).loss.tolist() == [point["loss"] for point in answer["points"][:2]]
    listener = Listener()
    assert scan(request(config, out, resume=True), listener, OVER).answer == answer
    assert listener.done == 3
    same(out / "scan.h5", config.parent / "run" / "scan.h5")
    with pytest.raises(ConfigError, match="--over was"):
        scan(request(config, out, resume=True), Listener(), f"{R0}=0.6:0.8:7")


def test_points_that_fail_are_null(tmp_path: Path):
    # Where k is huge, the bonds' steps are too long, and the run blows up.
    config = written(tmp_path, changed(BOND, dynamics__steps=300))
    listener = Listener()
    answer = scan(request(config, tmp_path / "run"), listener, "potentials.bond.k=90:1e7:2").answer
    good, bad = answer["points"]
    assert good["loss"] is not None
    assert (bad["loss"], bad["gradient"]) == (None, None)
    assert any(text.startswith("potentials.bond.k = 1e+07: the run blew up at step 1") for text in listener.warned)
    with pytest.raises(NumericalError, match="every point"):
        scan(request(config, tmp_path / "all"), Listener(), "potentials.bond.k=1e7:2e7:2")


def test_what_is_learned_may_be_scanned_beside(whole: tuple[Path, dict], tmp_path: Path):
    config = written(tmp_path, {**BOND, "train": {"epochs": 2, "optimizer": {"kind": "sgd", "learning_rate": 1.0}}})
    train(request(config, tmp_path / "fit"), Listener())
    learned = request(config, tmp_path / "run", parameters=f"{tmp_path / 'fit'}@last")
    answer = scan(learned, Listener(), OVER).answer
    assert answer["points"][0]["loss"] != whole[1]["points"][0]["loss"]


def test_grids_are_read():
    grid = Over.parse("potentials.angle.theta0=3deg:180 deg:60").grid("angle", REDUCED)
    assert len(grid.values) == 60
    assert grid.values[[0, -1]] == pytest.approx(np.radians([3, 180]))
    assert list(Over.parse("a=0.5:0.7:1").grid("1", REDUCED).values) == [0.5]
    assert list(Over.parse("a=3.3 A:0.35 nm:2").grid("length", MD).values) == [0.33, 0.35]
    for wrong in ("a", "a=1:2", "a=1:2:0", "a=x:2:3", "a=nan:2:3", "a=1.2.3deg:2:3", "a=1:2:99999999"):
        with pytest.raises(ConfigError, match="--over"):
            Over.parse(wrong).grid("angle", REDUCED)


@pytest.mark.parametrize(
    ("over", "dimension", "units", "said"),
    [
        ("a=0,5:1:2", "1", REDUCED, "is '0,5', a decimal comma; write 0.5"),
        ("a=0.5:1d0:2", "length", MD, "is '1d0', a Fortran exponent; write 1"),
        ("a=3 A:4 A:2", "length", REDUCED, "`units: reduced` knows no units"),
        ("a=3 K:4 K:2", "length", MD, "is '3 K', a temperature; write a length in A, nm,"),
        ("a=3:180:6", "angle", MD, "angles are radians; did you mean 180 deg?"),
    ],
)
def test_ends_of_grids_are_numbers_of_the_parameter(over: str, dimension: str, units: Units, said: str):
    with pytest.raises(ConfigError, match=f"--over {over}: .*{re.escape(said)}"):
        Over.parse(over).grid(dimension, units)


def test_one_number_of_what_is_learned_may_be_scanned(tmp_path: Path):
    """It has the same slope there as among the others."""
    count = len(BOND["potentials"]["bond"]["bonds"])
    config = written(tmp_path, changed(BOND, potentials__bond__k=[100.0] * count))
    (point,) = scan(request(config, tmp_path / "run"), Listener(), "potentials.bond.k.1=80:80:1").answer["points"]
    at = request(config, tmp_path / "all", "potentials.bond.k.1=80")
    assert point["loss"] == pytest.approx((all_of_them := gradient(at, Listener()).answer)["loss"], rel=1e-12)
    assert point["gradient"] == pytest.approx(all_of_them["gradients"]["potentials.bond.k"][1], rel=1e-9)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("potentials.bond.r1", "names nothing that can be learnt; did you mean potentials.bond.r0?"),
        ("potentials.bond", "names no single value"),
        ("system.mass", "names nothing"),
        ("potentials.bond.k.7", "selects nothing"),
        ("potentials.bond.r0", "is tied to potentials.bond.k"),
    ],
)
def test_what_cannot_be_scanned_is_refused(path: str, said: str, whole: tuple[Path, dict], tmp_path: Path):
    tie = ["parameters=[{path: potentials.bond.k, tie: [potentials.bond.r0]}]"] if "tied" in said else []
    with pytest.raises(ConfigError, match=rf"^--over {re.escape(path)}\b.*{re.escape(said)}"):
        scan(request(whole[0], tmp_path / "run", *tie), Listener(), f"{path}=0.1:0.2:2")


def test_a_temperature_that_would_not_follow_is_refused(tmp_path: Path):
    held = "dynamics.thermostat={kind: rescale, temperature: 1.0}"
    left = "loss.0={observable: {kind: heat_capacity, temperature: 1.0}, frames: all, compare: none}"
    at = request(written(tmp_path, BOND), tmp_path / "run", held, left)
    with pytest.raises(ConfigError, match=r"observable\.temperature: stays 1 while dynamics\.thermostat\.temperature"):
        scan(at, Listener(), "dynamics.thermostat.temperature=1:2:2")


@pytest.mark.slow
def test_the_signs_of_the_angle(tmp_path: Path):
    over = "potentials.angle.theta0=3deg:180deg:60"
    points = scan(request(CONFIGS / "bond_angle.yaml", tmp_path / "run"), Listener(), over).answer["points"]
    degrees = np.degrees([point["value"] for point in points])
    slope = np.array([np.nan if point["gradient"] is None else point["gradient"] for point in points])
    assert (slope[degrees < 87.5] < 0).all()
    assert (slope[(degrees > 95.5) & (degrees < 171.5)] > 0).all()
