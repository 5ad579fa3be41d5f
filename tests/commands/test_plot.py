"""`plot` and `animate` on directories such as the commands leave."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import (
    LJ,
    lattice,
    make_run,
    write_angle_scan,
    write_some_gradients,
    write_training,
    write_trajectory,
)

from diffmd.commands.look.animate import animate
from diffmd.commands.look.labels import read_facts
from diffmd.commands.look.plot import plot
from diffmd.errors import ConfigError, OutputError
from diffmd.units import MD

BOX = np.eye(3) * 3
EPOCHS = np.arange(12)
SIGMA = {"potentials.lj.sigma": 0.535 - 0.01 * EPOCHS}
LOSS = 0.09 / (1 + EPOCHS) + 0.01 * (EPOCHS == 11)


def shaken(frames: int = 6, seed: int = 0) -> np.ndarray:
    return lattice(2, 1.5) + 0.02 * np.random.default_rng(seed).normal(size=(frames, 32, 3))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "run")
    write_training(folder, SIGMA, {"potentials.lj.sigma": np.cos(EPOCHS)}, LOSS)
    write_trajectory(folder / "trajectory_first.h5md", shaken(seed=1), BOX)
    write_trajectory(folder / "trajectory.h5md", shaken(), BOX)
    return folder


def table(path: Path) -> dict[str, list[str]]:
    with path.open() as stream:
        header, *rows = list(csv.reader(stream))
    return {name: [row[index] for row in rows] for index, name in enumerate(header)}


def names(paths: list[Path], suffix: str) -> list[str]:
    return [path.stem for path in paths if path.suffix == suffix]


def test_a_training_gives_all_it_has(trained):
    paths = plot(trained)
    assert names(paths, ".png") == ["loss", "parameters", "rdf", "energies"]
    assert names(paths, ".csv") == names(paths, ".txt") == names(paths, ".png")
    for path in paths:
        assert path.parent == trained / "plots"
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 600
        else:
            assert path.read_text().strip()
    loss = table(trained / "plots/loss.csv")
    assert [float(x) for x in loss["loss"]] == LOSS.tolist()
    assert "best 0.008182 at epoch 11" in (trained / "plots/loss.txt").read_text()
    parameters = table(trained / "plots/parameters.csv")
    assert [float(x) for x in parameters["potentials.lj.sigma"]] == SIGMA["potentials.lj.sigma"].tolist()
    assert [float(x) for x in parameters["gradient.potentials.lj.sigma"]] == np.cos(EPOCHS).tolist()


def test_rdf_peaks_where_the_lattice_has_its_neighbours(trained):
    plot(trained, "rdf", ("A", "A"), start_step=20, marks=(1.06,))
    rdf = table(trained / "plots/rdf_A-A.csv")
    r, g = np.array(rdf["r"], float), np.array(rdf["g_after"], float)
    assert r[np.argmax(g)] == pytest.approx(1.5 / np.sqrt(2), abs=0.04)
    caption = (trained / "plots/rdf_A-A.txt").read_text()
    assert "4 frames from step 20 on" in caption
    assert "r = 1.06" in caption


def test_rdf_is_marked_at_the_distance_that_the_loss_wants(trained):
    assert read_facts(trained).wanted_distances == (0.5,)
    plot(trained, "rdf")
    assert "Purple: r = 0.5." in (trained / "plots/rdf.txt").read_text()


def targeted(folder: Path, loss: str, types: list[str] | None = None) -> Path:
    make_run(folder, f"units: reduced\n{loss}", command="simulate")
    (folder / "inputs").mkdir()
    (folder / "inputs/g.csv").write_text("r,g\n0.8,0\n1.0,3.5\n1.4,0.5\n")
    write_trajectory(folder / "trajectory.h5md", shaken(), BOX, types=types)
    return folder


FROM_FILE = "{observable: {kind: rdf, types: %s, range: 1.4}, target: {kind: file, path: inputs/g.csv}}"


@pytest.mark.parametrize("pair", ["[A, A]", "[A]", "null"])
def test_the_target_is_drawn_beside_the_rdf(tmp_path, pair):
    folder = targeted(tmp_path, f"loss: [{FROM_FILE % pair}]")
    assert names(plot(folder, "rdf"), ".png") == ["rdf"]
    rows = table(folder / "plots/rdf.csv")
    target = {float(r): value for r, value in zip(rows["r"], rows["target"], strict=True)}
    near = min(target, key=lambda r: abs(r - 0.9))
    assert float(target[near]) == pytest.approx(np.interp(near, [0.8, 1.0], [0, 3.5]))
    assert {value for r, value in target.items() if r < 0.8 or r > 1.4} == {""}
    assert "Orange, dashed: the target of loss.0." in (folder / "plots/rdf.txt").read_text()


def test_targets_of_pairs_of_types_have_pictures_of_their_own(tmp_path):
    inline = "{observable: {kind: rdf, types: [B, A], range: [0.6, 1.4], bins: 2}, target: [1.0, 2.0]}"
    of_atoms = "{observable: {kind: rdf, atoms: [0, 1, 2], range: 1.4, bins: 2}, target: [9.0, 9.0]}"
    folder = targeted(tmp_path, f"loss: [{FROM_FILE % '[A, B]'}, {inline}, {of_atoms}]", ["A", "B"] * 16)
    assert names(plot(folder, "rdf"), ".png") == ["rdf", "rdf_A-B"]
    assert list(table(folder / "plots/rdf.csv")) == ["r", "g"]
    rows = table(folder / "plots/rdf_A-B.csv")
    assert list(rows) == ["r", "g", "target_loss.0", "target_loss.1"]
    assert {value for value in rows["target_loss.1"] if value and float(value) > 2} == set()
    assert "the target of loss.0 and of loss.1." in (folder / "plots/rdf_A-B.txt").read_text()
    assert names(plot(folder, "rdf", ("B", "B")), ".png") == ["rdf_B-B"]
    assert list(table(folder / "plots/rdf_B-B.csv")) == ["r", "g"]


def test_a_target_that_is_gone_is_a_sentence(tmp_path):
    folder = targeted(tmp_path, f"loss: [{FROM_FILE % 'null'}]")
    (folder / "inputs/g.csv").unlink()
    with pytest.raises(ConfigError, match=r"g\.csv: cannot be read as CSV"):
        plot(folder, "rdf")


def test_a_scan_is_in_degrees_and_tells_its_zero(tmp_path):
    folder = make_run(tmp_path, command="scan")
    write_angle_scan(folder)
    assert names(plot(folder), ".png") == ["scan"]
    scan = table(folder / "plots/scan.csv")
    np.testing.assert_allclose(np.array(scan["degrees"], float), np.linspace(3, 180, 60))
    caption = (folder / "plots/scan.txt").read_text()
    assert "91.5" in caption
    assert "1 of the runs failed" in caption
    plain = (folder / "plots/scan.png").read_bytes()
    plot(folder, marks=(91.2,))
    assert (folder / "plots/scan.png").read_bytes() != plain
    with pytest.raises(ConfigError, match=r"--types is for pictures of kind rdf; .* there is scan"):
        plot(folder, types=("A", "Q"))
    with pytest.raises(ConfigError, match="--from is for pictures of kind rdf and energies"):
        plot(folder, start_step=5)


def test_gradients_have_a_row_a_path(tmp_path):
    folder = make_run(tmp_path, command="gradient")
    write_some_gradients(folder)
    assert names(plot(folder), ".png") == ["gradients"]
    rows = table(folder / "plots/gradients.csv")
    assert dict(zip(rows["path"], rows["size"], strict=True))["system.positions"] == "150"
    assert dict(zip(rows["path"], rows["gradient"], strict=True))["potentials.lj.sigma"] == "0.912"


def test_a_network_and_odd_numbers_are_drawn(tmp_path):
    folder = make_run(tmp_path)
    rng = np.random.default_rng(0)
    shapes = {"0/weight": (5, 1), "0/bias": (5,), "1/weight": (1, 5), "1/bias": (1,)}
    weights = {f"potentials.nn.weights.{name}": rng.normal(size=(12, *shape)) for name, shape in shapes.items()}
    gradients = {path: np.full_like(values, np.nan) for path, values in weights.items()}
    write_training(folder, weights, gradients, np.where(EPOCHS > 5, np.nan, -1.0))
    assert names(plot(folder), ".png") == ["loss", "parameters"]
    assert len(table(folder / "plots/parameters.csv")) == 1 + 2 * 16


def test_only_own_files_are_replaced(trained):
    plots = trained / "plots"
    plots.mkdir()
    (plots / "mine.png").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in plot(trained)}
    again = plot(trained)
    assert {path.name for path in again} == set(before)
    assert (plots / "mine.png").read_bytes() == b"mine"
    (plots / "rdf_A-A.csv").write_text("mine")
    with pytest.raises(ConfigError, match="not made by diffmd"):
        plot(trained, "rdf", ("A", "A"))
    assert (plots / "rdf_A-A.csv").read_text() == "mine"
    assert not (plots / "rdf_A-A.png").exists()


def test_animate_makes_before_and_after(trained):
    paths = animate(trained, max_frames=4, pixels=120)
    assert names(paths, ".gif") == ["atoms_before", "atoms_after"]
    assert "Before training" in (trained / "plots/atoms_before.txt").read_text()
    assert names(animate(trained, "gif", "best", 4), ".gif") == ["atoms_after"]


def test_animate_a_simulation_without_a_box(tmp_path):
    folder = make_run(tmp_path, LJ.replace("reduced", "md"), "simulate")
    write_trajectory(folder / "trajectory.h5md", shaken(3), None, bonds=np.array([[0, 1]]), units=MD)
    assert names(animate(folder), ".gif") == ["atoms"]
    assert names(plot(folder), ".png") == ["rdf", "energies"]


def test_several_systems_have_pictures_of_their_own(tmp_path):
    folder = make_run(tmp_path, "systems: {water: {system: {}}, first: {system: {}}}\n")
    for name in ("water", "first"):
        write_trajectory(folder / f"trajectory_{name}.h5md", shaken(2), BOX)
    assert names(plot(folder), ".png") == ["rdf_water", "rdf_first", "energies_water", "energies_first"]
    assert names(plot(folder, "rdf", ("A", "A")), ".png") == ["rdf_water_A-A", "rdf_first_A-A"]
    assert names(animate(folder, pixels=100), ".gif") == ["atoms_water", "atoms_first"]


def test_mp4_without_ffmpeg_is_a_sentence(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="ffmpeg"):
        animate(trained, "mp4")


def test_what_cannot_be_drawn_is_a_sentence(trained, tmp_path):
    with pytest.raises(ConfigError, match="no directory"):
        plot(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not the directory of a diffmd run"):
        plot(trained.parent)
    with pytest.raises(ConfigError, match="kinds are loss, parameters, rdf"):
        plot(trained, "pie")
    with pytest.raises(ConfigError, match="diffmd scan"):
        plot(trained, "scan")
    with pytest.raises(ConfigError, match="no atoms of type B; its types are A"):
        plot(trained, "rdf", ("A", "B"))
    with pytest.raises(ConfigError, match=r"--mark is for .* there is loss"):
        plot(trained, "loss", marks=(1.0,))
    with pytest.raises(ConfigError, match="its last is step 50"):
        plot(trained, "rdf", start_step=51)
    empty = make_run(tmp_path / "empty")
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot(empty)
    with pytest.raises(ConfigError, match="no frames"):
        animate(empty)
    (empty / "trajectory.h5md").write_bytes(b"\x89HDF broken")
    with pytest.raises(OutputError, match="damaged"):
        plot(empty)


def test_dimensions_come_from_the_specs(trained):
    labels = read_facts(trained)
    assert labels.dimension("potentials.lj.sigma.A-B") == "length"
    assert labels.dimension("potentials.angle.theta0.0") == "angle"
    assert labels.dimension("potentials.angle.k") == "energy/angle^2"
    assert labels.dimension("dynamics.thermostat.temperature") == "temperature"
    assert labels.dimension("system.atoms.0.mass") == "mass"
    assert labels.dimension("system.positions[0:10]") == "length"
    assert labels.dimension("potentials.nn.weights.0/weight") == "1"
    assert labels.dimension("potentials.gone.x") == "1"
