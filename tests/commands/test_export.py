"""Runs in formats that other programs read."""

import csv
import shutil

import ase.io
import numpy as np
import pytest

from diffmd.commands.look.export import export, parse_frames
from diffmd.errors import ConfigError
from diffmd.io import results
from diffmd.io.h5md import STANDARD, Column, Frames, Topology, TrajectoryWriter
from diffmd.io.rundir import RunDirectory
from diffmd.io.structures import read_structure
from diffmd.io.training import Epoch, TrainingLog
from diffmd.io.trajectory import read_trajectory
from diffmd.units import MD, REDUCED

BOX = np.array([[3.0, 0, 0], [0.7, 2.8, 0], [-0.5, 0.4, 2.5]])


def a_run(path, command="simulate", box=BOX, units=MD):
    with RunDirectory.open(path) as run:
        run.begin(
            command=command, name="lj", device="cpu", precision="double", seed=3, argv=["diffmd"], jax_version="0.10.1"
        )
        x = np.random.default_rng(0).normal(size=(4, 5, 3))
        types, bonds = np.array([0, 0, 1, 1, 0]), np.array([[0, 2]])
        top = Topology(types, ("C", "H"), np.ones(5), np.zeros(5), bonds, box is not None)
        with TrajectoryWriter.create(
            path / "trajectory.h5md", top, units, observables={**STANDARD, "rdf": Column((2,))}
        ) as writer:
            step = np.arange(0, 40, 10)
            values = dict.fromkeys(STANDARD, step / 3) | {"rdf": np.stack([step, -step], 1)}
            writer.append(Frames(step, step * 0.1, x, x, x, box, values))
        run.finish("finished")
    return path


def read(path):
    with path.open() as stream:
        header, *rows = csv.reader(stream)
    return header, np.array(rows, float)


def test_observables_as_csv(tmp_path):
    run = a_run(tmp_path / "run")
    (path,) = export(run, tmp_path, "csv")
    assert path == tmp_path / "observables.csv"
    header, rows = read(path)
    assert header[:2] == ["step", "time"]
    assert set(header[2:]) == {*STANDARD, "rdf.0", "rdf.1"}
    assert np.array_equal(rows[:, header.index("temperature")], np.arange(0, 40, 10) / 3)
    assert np.array_equal(rows[:, header.index("rdf.1")], -np.arange(0, 40, 10))
    export(run, tmp_path / "few.csv", "csv", slice(1, None, 2))
    assert read(tmp_path / "few.csv")[1][:, 0].tolist() == [10, 30]


def test_epochs_as_csv(tmp_path):
    run = a_run(tmp_path / "run", "train")
    values = {"potentials.lj.sigma": np.float64(1 / 3), "system.box": np.array([3.0, 4, 5])}
    with TrainingLog.create(run, 2, values) as log:
        log.append(Epoch(1, 0.1, np.array([0.1, 0]), values, values, 2.0, 0.1))
    header, rows = read(export(run, tmp_path / "e.csv", "csv")[0])
    row = dict(zip(header, rows[0], strict=True))
    assert row["epoch"] == 1
    assert row["parameters.potentials.lj.sigma"] == 1 / 3
    assert row["gradients.system.box.2"] == 5
    assert row["terms.1"] == 0
    header, rows = read(export(run, tmp_path / "o.csv", "csv", table="observables")[0])
    assert len(rows) == 4


def test_a_scan_as_csv(tmp_path):
    run = a_run(tmp_path / "run", "scan")
    results.write_scan(run, results.Scan("a", np.arange(3.0), np.array([1, np.nan, 2]), np.ones((3, 2))))
    header, rows = read(export(run, tmp_path / "s.csv", "csv")[0])
    assert header == ["value", "loss", "gradient.0", "gradient.1"]
    assert np.isnan(rows[1, 1])


@pytest.mark.parametrize("box", [BOX, None], ids=["triclinic", "none"])
@pytest.mark.parametrize("units", [MD, REDUCED], ids=["md", "reduced"])
def test_structures_in_a_format_that_ase_reads(tmp_path, units, box):
    run = a_run(tmp_path / "run", box=box, units=units)
    ours = read_trajectory(run / "trajectory.h5md")
    scale = 10 if units is MD else 1  # Angstrom
    for format, tolerance in (("extxyz", 1e-12), ("pdb", 6e-4)):
        (path,) = export(run, tmp_path, format, slice(1, None))
        assert path == tmp_path / f"trajectory.{format}"
        images = [image for image in ase.io.read(path, index=":") if len(image)]
        assert len(images) == 3
        for image, positions in zip(images, ours.wrapped[1:], strict=True):
            assert image.get_chemical_symbols() == ["C", "C", "H", "H", "C"]
            assert np.allclose(image.positions / scale, positions, atol=tolerance)
        if format == "extxyz":
            assert [image.info["step"] for image in images] == [10, 20, 30]
            assert np.allclose(images[0].cell / scale, 0 if box is None else box)


@pytest.mark.parametrize("units", [MD, REDUCED], ids=["md", "reduced"])
def test_diffmd_goes_on_from_what_it_exported(tmp_path, units):
    run = a_run(tmp_path / "run", units=units)
    ours = read_trajectory(run / "trajectory.h5md")
    read_back = read_structure(export(run, tmp_path / "last.extxyz", "extxyz", parse_frames("-1"))[0], 0, units)
    assert np.allclose(read_back.positions, ours.wrapped[-1], rtol=1e-14)
    assert np.allclose(read_back.velocities, ours.velocities[-1], rtol=1e-14)
    assert np.allclose(read_back.box, BOX, rtol=1e-14)
    assert read_back.step == 30


def test_long_trajectories_are_read_in_pieces(tmp_path, monkeypatch):
    run = a_run(tmp_path / "run")
    whole = export(run, tmp_path / "a.extxyz")[0].read_text()
    monkeypatch.setattr("diffmd.commands.look.export._FRAMES_AT_ONCE", 3)
    assert export(run, tmp_path / "b.extxyz")[0].read_text() == whole


def test_of_several_systems_what_training_began_with_is_no_answer(tmp_path):
    run = a_run(tmp_path / "run", "train")
    stems = [f"trajectory{first}_{name}.h5md" for name in ("one", "first") for first in ("_first", "")]
    with RunDirectory.open(run, resume=True) as directory:
        directory.update({"files": stems})
    (run / "trajectory.h5md").rename(run / stems[0])
    shutil.copy(run / stems[0], run / stems[2])
    with pytest.raises(ConfigError, match="no frames to export"):
        export(run, tmp_path)
    shutil.copy(run / stems[0], run / stems[1])
    shutil.copy(run / stems[0], run / stems[3])
    assert sorted(file.name for file in export(run, tmp_path)) == ["trajectory_first.extxyz", "trajectory_one.extxyz"]


def test_the_format_is_that_of_the_table_or_of_the_name(tmp_path):
    run = a_run(tmp_path / "run")
    assert export(run, tmp_path / "a.PDB")[0].read_text().startswith(("CRYST1", "MODEL", "REMARK", "TITLE"))
    assert export(run, tmp_path / "a")[0].read_text().startswith("5\n")
    assert export(run, tmp_path / "a.dat", "extxyz")[0].read_text().startswith("5\n")
    assert read(export(run, tmp_path / "a.csv")[0])[0][0] == "step"
    assert export(run, tmp_path, table="observables") == [tmp_path / "observables.csv"]
    for name, format, table in (("x.csv", "pdb", None), ("x.pdb", None, "observables"), ("x", "pdb", "observables")):
        with pytest.raises(ConfigError, match="--table observables" if table else "--format pdb writes pdb, and x.csv"):
            export(run, tmp_path / name, format, table=table)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a.gro", "a.h5md", "a.cif", "run.2"])
def test_an_ending_that_is_not_written_is_refused(tmp_path, name):
    run = a_run(tmp_path / "run")
    expected = (
        rf"{name} ends in \.\w+, which diffmd does not write: it writes extxyz \(\.extxyz, \.xyz\), PDB \(\.pdb\) and "
        r"tables of numbers \(\.csv\); name one of them, or say with --format"
    )
    with pytest.raises(ConfigError, match=expected):
        export(run, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_what_cannot_be_exported_is_refused(tmp_path):
    run = a_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="not the directory of a diffmd run"):
        export(tmp_path, tmp_path / "x.csv", "csv")
    with pytest.raises(ConfigError, match=r"has no scan\.h5"):
        export(run, tmp_path / "x.csv", "csv", table="scan")
    with pytest.raises(ConfigError, match="none of those asked for"):
        export(run, tmp_path / "x.pdb", "pdb", slice(99, None))
    with pytest.raises(ConfigError, match="no rows"):
        export(run, tmp_path / "x.csv", "csv", slice(99, None))
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        export(run, tmp_path / "x.csv", "csv")
    assert (tmp_path / "x.csv").read_text() == "mine"
    export(run, tmp_path / "x.csv", "csv", overwrite=True)
    assert len(read(tmp_path / "x.csv")[1]) == 4


@pytest.mark.parametrize(
    ("text", "frames"),
    [("5", [5]), ("-1", [9]), ("-3", [7]), ("8:", [8, 9]), ("::4", [0, 4, 8]), ("1:4:2", [1, 3]), ("-2:", [8, 9])],
)
def test_frames_from_text(text, frames):
    assert list(range(10))[parse_frames(text)] == frames


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "1.5", "::0"])
def test_bad_frames_are_refused(text):
    with pytest.raises(ConfigError, match="--frames"):
        parse_frames(text)
