"""Trajectories: what H5MD and MDAnalysis want of them, and that they read back."""

import dataclasses
import subprocess
import sys

import h5py
import MDAnalysis
import numpy as np
import pytest

import diffmd
import diffmd.io.mdanalysis
from diffmd.errors import OutputError
from diffmd.io.h5md import STANDARD, Column, Frames, Topology, TrajectoryWriter, unit_string, wrap
from diffmd.io.trajectory import count_frames, read_trajectory
from diffmd.units import MD, REDUCED

ATOMS, FRAMES = 7, 5
CUBE = np.diag([3.0, 3.0, 4.0])
TRICLINIC = np.array([[3.0, 0, 0], [0.7, 2.8, 0], [-0.5, 0.4, 2.5]])


def topology(periodic=True):
    types = np.array([0, 1, 0, 1, 1, 0, 0])
    masses, charges = np.linspace(1, 2, ATOMS), np.linspace(-1, 1, ATOMS)
    return Topology(types, ("A", "B"), masses, charges, np.array([[0, 1], [1, 2]]), periodic)


def some_frames(box, first=0, count=FRAMES, seed=0):
    rng = np.random.default_rng(seed)
    step = np.arange(first, first + count) * 10
    positions, velocities, forces = rng.normal(size=(3, count, ATOMS, 3)) * 5
    values = {name: rng.normal(size=count) for name in STANDARD} | {"rdf": rng.normal(size=(count, 4))}
    return Frames(step, step * 0.02, positions, velocities, forces, box, values)


def write(path, units, frames, dtype="f8"):
    columns = {**STANDARD, "rdf": Column((4,))}
    top = topology(frames.box is not None)
    with TrajectoryWriter.create(path, top, units, dtype, columns, {"norm": Column(dimension="energy")}) as writer:
        writer.append(frames)
        writer.append_series("norm", np.arange(50), np.arange(50) * 0.02, np.arange(50.0))


@pytest.mark.parametrize("box", [CUBE, TRICLINIC, None], ids=["cube", "triclinic", "none"])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("units", [MD, REDUCED], ids=["md", "reduced"])
@pytest.mark.filterwarnings("error", "ignore:there is no reference attributes")
def test_mdanalysis_opens_it_without_a_topology(tmp_path, units, dtype, box):
    """By the very calls of the README."""
    path, frames = tmp_path / "trajectory.h5md", some_frames(box)
    write(path, units, frames, dtype)
    if units is MD:
        universe, scale = MDAnalysis.Universe(str(path)), 10  # Angstrom
    else:
        universe, scale = MDAnalysis.Universe(str(path), n_atoms=ATOMS, convert_units=False), 1
    ours = read_trajectory(path)
    assert len(universe.trajectory) == FRAMES
    for index, frame in enumerate(universe.trajectory):
        assert np.allclose(frame.positions / scale, ours.wrapped[index], atol=1e-5)
        assert np.allclose(frame.velocities / scale, frames.velocities[index], atol=1e-5)
        assert np.allclose(frame.forces * (scale if units is MD else 1), frames.forces[index], rtol=1e-5)
        assert frame.time == pytest.approx(frames.time[index])
        assert frame.data["step"] == frames.step[index]
        assert frame.data["potential_energy"] == frames.observables["potential_energy"][index]
        if box is None:
            assert frame.dimensions is None
        else:
            assert np.allclose(frame.triclinic_dimensions / scale, box, atol=1e-5)


@pytest.mark.parametrize("units", [MD, REDUCED], ids=["md", "reduced"])
@pytest.mark.parametrize("names", [None, ("CA", "HA", "O1", "H2", "H3", "N*", "γ")], ids=["types", "names"])
@pytest.mark.filterwarnings("error")
def test_mdanalysis_shows_the_atoms_and_the_time(tmp_path, units, names):
    path = tmp_path / "trajectory.h5md"
    top = dataclasses.replace(topology(), names=names)
    with TrajectoryWriter.create(path, top, units, observables=STANDARD, spacing=0.2) as writer:
        frames = some_frames(CUBE)
        values = {name: frames.observables[name] for name in STANDARD}
        writer.append(dataclasses.replace(frames, observables=values))
    for given in (path, tmp_path):
        universe = diffmd.universe(given)
        assert universe.trajectory.dt == 0.2
        assert universe.atoms.types.tolist() == ["A", "B", "A", "B", "B", "A", "A"]
        assert universe.atoms.names.tolist() == list(names or universe.atoms.types)
        assert np.array_equal(universe.atoms.masses, top.masses)
        assert np.array_equal(universe.atoms.charges, top.charges)
        assert universe.bonds.indices.tolist() == [[0, 1], [1, 2]]
        assert [residue.atoms.indices.tolist() for residue in universe.residues] == [[0, 1, 2], [3], [4], [5], [6]]
        assert universe.select_atoms("type B").indices.tolist() == [1, 3, 4]
        assert len(universe.trajectory) == FRAMES
        assert universe.trajectory[2].time == pytest.approx(0.4)
    assert read_trajectory(path).topology.names == (names or top.atom_names)
    assert "dt" not in read_trajectory(path).observables


@pytest.mark.filterwarnings("ignore")
def test_without_diffmd_mdanalysis_has_the_time_between_frames(tmp_path):
    path = tmp_path / "trajectory.h5md"
    with TrajectoryWriter.create(path, topology(), MD, spacing=0.2) as writer:
        frames = some_frames(CUBE)
        writer.append(dataclasses.replace(frames, observables={name: frames.observables[name] for name in STANDARD}))
    with TrajectoryWriter.resume(path, 20) as writer:
        later = some_frames(CUBE, first=3)
        writer.append(dataclasses.replace(later, observables={name: later.observables[name] for name in STANDARD}))
    code = "import sys, MDAnalysis; u = MDAnalysis.Universe(sys.argv[1]); print({t.dt for t in u.trajectory})"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code, path], capture_output=True, text=True, check=True)
    assert run.stdout == "{np.float64(0.2)}\n"


@pytest.mark.filterwarnings("error")
def test_another_programs_file_has_its_number_of_atoms(tmp_path):
    path = tmp_path / "other.h5md"
    write(path, MD, some_frames(CUBE))
    with h5py.File(path, "r+") as file:
        del file["diffmd"], file["particles/trajectory/name"]
    diffmd.io.mdanalysis.universe  # noqa: B018 - that the parser is there
    assert len(MDAnalysis.Universe(str(path), to_guess=()).atoms) == ATOMS


@pytest.mark.filterwarnings("error")
def test_mdanalysis_opens_an_empty_reduced_run_after_one_frame(tmp_path):
    path = tmp_path / "trajectory.h5md"
    write(path, REDUCED, some_frames(CUBE, count=1))
    universe = MDAnalysis.Universe(str(path), to_guess=(), n_atoms=ATOMS, convert_units=False)
    assert len(universe.trajectory) == 1


@pytest.mark.parametrize("box", [CUBE, TRICLINIC, None], ids=["cube", "triclinic", "none"])
def test_it_reads_back(tmp_path, box):
    path, frames = tmp_path / "trajectory.h5md", some_frames(box)
    write(path, MD, frames)
    read, top = read_trajectory(path), topology(box is not None)
    assert np.array_equal(read.step, frames.step)
    assert np.array_equal(read.time, frames.time)
    assert np.allclose(read.positions, frames.positions, rtol=0, atol=1e-14)
    assert np.array_equal(read.velocities, frames.velocities)
    assert np.array_equal(read.forces, frames.forces)
    assert read.species == ["A", "B", "A", "B", "B", "A", "A"]
    assert np.array_equal(read.topology.masses, top.masses)
    assert np.array_equal(read.topology.charges, top.charges)
    assert np.array_equal(read.topology.bonds, top.bonds)
    assert read.topology.periodic is (box is not None)
    assert read.units is MD
    assert set(read.observables) == {*STANDARD, "rdf"}
    for name, value in frames.observables.items():
        assert np.array_equal(read.observables[name], value)
    assert np.array_equal(read.series["norm"], np.arange(50.0))
    assert np.array_equal(read.series["norm.step"], np.arange(50))
    if box is None:
        assert read.box is None
        assert np.array_equal(read.wrapped, frames.positions)
    else:
        assert np.array_equal(read.box[-1], box)
        s = np.asarray(read.wrapped) @ np.linalg.inv(box)
        assert s.min() >= -1e-15
        assert s.max() < 1


def test_frames_can_be_sliced(tmp_path):
    path, frames = tmp_path / "trajectory.h5md", some_frames(TRICLINIC)
    write(path, MD, frames)
    read = read_trajectory(path)
    for key in (0, -1, slice(1, 4), slice(None, None, -2), [3, 0, 0], slice(3, 3), (slice(1, 3), 2), (-1, 0, 1)):
        assert np.array_equal(read.velocities[key], frames.velocities[key])
        assert np.allclose(read.positions[key], frames.positions[key], atol=1e-14)
    with pytest.raises(IndexError):
        read.velocities[FRAMES]
    assert read.velocities.shape == (FRAMES, ATOMS, 3)
    assert count_frames(path) == FRAMES


def test_the_layout_is_h5md(tmp_path):
    path = tmp_path / "trajectory.h5md"
    write(path, MD, some_frames(TRICLINIC))
    with h5py.File(path) as file:
        assert list(file["h5md"].attrs["version"]) == [1, 1]
        assert file["h5md/author"].attrs["name"]
        assert file["h5md/creator"].attrs["name"] == "diffmd"
        group = file["particles/trajectory"]
        assert list(group["box"].attrs["boundary"]) == ["periodic"] * 3
        assert group["box"].attrs["dimension"] == 3
        assert group["box/edges/value"].shape == (FRAMES, 3, 3)
        elements = [group[name] for name in ("velocity", "force", "image", "box/edges")]
        for element in (*elements, *(file["observables"][name] for name in file["observables"])):
            assert element["step"].id == group["position/step"].id
            assert element["time"].id == group["position/time"].id
            assert len(element["value"]) == FRAMES
        units = {name: group[name]["value"].attrs["unit"] for name in ("position", "velocity", "force")}
        assert units == {"position": "nm", "velocity": "nm ps-1", "force": "kJ mol-1 nm-1"}
        assert group["position/time"].attrs["unit"] == "ps"
        assert file["observables/total_energy/value"].attrs["unit"] == "kJ mol-1"
        assert h5py.check_enum_dtype(group["species"].dtype) == {"A": 0, "B": 1}
        assert file[file["connectivity/bonds"].attrs["particles_group"]] == group
        assert "unit" not in file["observables/rdf/value"].attrs


def test_reduced_units_have_no_unit_attribute(tmp_path):
    path, found = tmp_path / "trajectory.h5md", []
    write(path, REDUCED, some_frames(None))
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(name) if "unit" in item.attrs else None)
        assert list(file["particles/trajectory/box"].attrs["boundary"]) == ["none"] * 3
        assert "edges" not in file["particles/trajectory/box"]
    assert not found


@pytest.mark.parametrize(
    ("dimension", "unit"),
    [("length", "nm"), ("energy/length^2", "kJ mol-1 nm-2"), ("1/length", "nm-1"), ("1", None), ("mass", "g mol-1")],
)
def test_units_are_written_as_h5md_writes_them(dimension, unit):
    assert unit_string(MD, dimension) == unit
    assert unit_string(REDUCED, dimension) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("box", [CUBE, TRICLINIC], ids=["cube", "triclinic"])
def test_wrapping_reaches_the_inside_at_the_faces_too(box, dtype):
    tiny = np.array([-1e-30, -1e-17, -1e-9, 0.0, 1e-9, 1 - 1e-9, 1 - 1e-17, 1.0, 5.0, -3.0])
    s = np.stack(np.meshgrid(tiny, tiny, tiny), -1).reshape(1, -1, 3)
    positions = (s @ box).astype(dtype)
    wrapped, images = wrap(positions, box[None].astype(dtype))
    inside = np.asarray(wrapped, np.float64) @ np.linalg.inv(box.astype(dtype).astype(np.float64))
    assert wrapped.dtype == dtype
    assert inside.max() < 1
    assert inside.min() >= -1e-7 if dtype is np.float32 else inside.min() >= -1e-15
    assert np.allclose(wrapped + images @ box, positions, atol=20 * np.finfo(dtype).eps)


def test_wrapping_keeps_every_bit_of_atoms_inside():
    positions = np.random.default_rng(1).uniform(0.1, 0.9, (2, 50, 3)) @ TRICLINIC
    wrapped, images = wrap(positions, np.stack([TRICLINIC] * 2))
    assert np.array_equal(wrapped, positions)
    assert not images.any()


def test_a_resumed_file_equals_an_unbroken_one(tmp_path):
    first, second = some_frames(TRICLINIC, 0, 5, seed=1), some_frames(TRICLINIC, 5, 5, seed=2)
    columns = {**STANDARD, "rdf": Column((4,))}
    paths = tmp_path / "whole.h5md", tmp_path / "resumed.h5md"
    with TrajectoryWriter.create(paths[0], topology(), MD, "f8", columns) as writer:
        writer.append(first)
        writer.append(second)
    with TrajectoryWriter.create(paths[1], topology(), MD, "f8", columns) as writer:
        writer.append(first)
        writer.append(some_frames(TRICLINIC, 5, 3, seed=3))
    with TrajectoryWriter.resume(paths[1], last_step=49) as writer:
        assert (writer.frames, writer.last_step) == (5, 40)
        writer.append(second)
    with h5py.File(paths[0]) as whole, h5py.File(paths[1]) as resumed:
        names = []
        whole.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            if h5py.check_ref_dtype(whole[name].dtype) is None:
                assert whole[name][()].tobytes() == resumed[name][()].tobytes(), name


def test_columns_of_unequal_length_are_cut_when_it_is_opened_again(tmp_path):
    path = tmp_path / "trajectory.h5md"
    write(path, MD, some_frames(CUBE))
    with h5py.File(path, "r+") as file:
        file["particles/trajectory/position/value"].resize(9, axis=0)
        file["observables/rdf/value"].resize(6, axis=0)
    assert len(read_trajectory(path)) == FRAMES
    with TrajectoryWriter.resume(path, last_step=1000) as writer:
        assert writer.frames == FRAMES
    with h5py.File(path) as file:
        assert len(file["particles/trajectory/position/value"]) == len(file["observables/rdf/value"]) == FRAMES


def test_it_can_be_read_while_it_is_written(tmp_path):
    path, frames = tmp_path / "trajectory.h5md", some_frames(CUBE)
    with TrajectoryWriter.create(path, topology(), MD) as writer:
        assert len(read_trajectory(path)) == 0
        few = {name: frames.observables[name] for name in STANDARD}
        writer.append(Frames(frames.step, frames.time, frames.positions, frames.velocities, frames.forces, CUBE, few))
        assert len(read_trajectory(path)) == FRAMES
        assert len(MDAnalysis.Universe(str(path), to_guess=()).trajectory) == FRAMES


def test_wrong_frames_are_refused(tmp_path):
    frames = some_frames(CUBE)
    with TrajectoryWriter.create(tmp_path / "t.h5md", topology(), MD) as writer:
        with pytest.raises(ValueError, match="rdf"):
            writer.append(frames)
        with pytest.raises(ValueError, match="periodicity"):
            writer.append(some_frames(None))
        assert writer.frames == 0


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_no_trajectory_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "trajectory.h5md"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot read .*trajectory\.h5md"):
        read_trajectory(path)
    with pytest.raises(OutputError, match=r"trajectory\.h5md"):
        TrajectoryWriter.resume(path, 0)


def test_a_missing_trajectory_and_another_hdf5_file_are_refused(tmp_path):
    with pytest.raises(OutputError, match="no such file"):
        read_trajectory(tmp_path / "no.h5md")
    with pytest.raises(OutputError, match="no such file"):
        TrajectoryWriter.resume(tmp_path / "no.h5md", 0)
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(OutputError, match="not a trajectory"):
        read_trajectory(path)
    with pytest.raises(OutputError, match="not a trajectory"):
        TrajectoryWriter.resume(path, 0)
