"""Run directories: never touched unasked, one writer, and a record that outlives a kill."""

import json
import os
import subprocess
import sys
import time

import pytest

from diffmd.errors import ConfigError, OutputError
from diffmd.io import files, pictures, rundir
from diffmd.io.rundir import RunDirectory

BEGIN = {
    "command": "train",
    "name": "lj_fluid",
    "device": "cpu",
    "precision": "double",
    "seed": 1,
    "argv": ["diffmd", "train", "lj_fluid.yaml"],
    "jax_version": "0.10.1",
}


def finished_run(path, inputs=()):
    with RunDirectory.open(path) as run:
        run.begin(**BEGIN, extra={"epochs": 20, "files": ["trajectory.water.h5md"]})
        run.write_config("seed: 1\n")
        run.copy_inputs(list(inputs))
        run.log("it began")
        (path / "metrics.jsonl").write_text("")
        (path / "trajectory.water.h5md").write_text("")
        (path / "checkpoints").mkdir()
        (path / rundir.CHECKPOINT).write_text("")
        pictures.claim(path / "plots", ["loss.png"])
        (path / "plots/loss.png").write_text("")
        run.finish("finished", {"timings": {"compile_s": 1.5}})


def test_a_run_leaves_its_record(tmp_path):
    path = tmp_path / "out" / "run"
    finished_run(path)
    record = rundir.read_run(path)
    assert record["status"] == "finished"
    assert {"diffmd", "python", "jax", "numpy", "optax", "h5py"} <= set(record["versions"])
    assert record["argv"] == BEGIN["argv"]
    assert record["wall_s"] > 0
    assert record["timings"] == {"compile_s": 1.5}
    assert record["epochs"] == 20
    assert record["config_sha256"] == files.sha256(b"seed: 1\n")
    assert record["started"] <= record["finished"]
    assert rundir.read_config(path) == "seed: 1\n"
    assert (path / "run.log").read_text().endswith(" it began\n")
    assert rundir.is_run(path)
    assert rundir.is_finished(path)
    assert not rundir.is_held(path)


@pytest.mark.parametrize("names", [["run.json"], ["notes.txt"], ["plots"]])
def test_a_directory_with_anything_in_it_is_not_touched(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=r"(?s)--resume.*--overwrite"):
        RunDirectory.open(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


@pytest.mark.parametrize("way", ["overwrite", "resume"])
@pytest.mark.parametrize("names", [{"config.yaml": "seed: 1"}, {"run.json": '{"scripts": {}}'}, {"thesis.tex": ""}])
def test_a_directory_without_a_run_is_not_touched_even_then(tmp_path, way, names):
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f"no diffmd run.*--{way}"):
        RunDirectory.open(tmp_path, **{way: True})
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == names


def test_overwrite_removes_the_run_and_no_file_of_the_users(tmp_path):
    path, source = tmp_path / "run", tmp_path / "water.pdb"
    source.write_text("ATOM")
    finished_run(path, [source])
    mine = ["notes.txt", "plots/mine.png", "inputs/mine.txt", "trajectory_mine.h5md"]
    for name in mine:
        (path / name).write_text("mine")
    with RunDirectory.open(path, overwrite=True) as run:
        assert not run.resumed
        run.begin(**BEGIN)
        run.copy_inputs([])
    left = [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]
    assert sorted(left) == sorted([*mine, "run.json", ".lock"])
    assert "epochs" not in rundir.read_run(path)


def test_overwrite_and_resume_start_where_nothing_is(tmp_path):
    for way in ("overwrite", "resume"):
        with RunDirectory.open(tmp_path / way, **{way: True}) as run:
            assert not run.resumed
    with pytest.raises(ConfigError, match="exclude"):
        RunDirectory.open(tmp_path / "both", overwrite=True, resume=True)


def test_an_overwritten_run_can_read_its_own_copies(tmp_path):
    path, source = tmp_path / "run", tmp_path / "water.pdb"
    source.write_text("ATOM")
    finished_run(path, [source])
    with RunDirectory.open(path, overwrite=True) as run:
        run.begin(**BEGIN)
        copy = path / "inputs/water.pdb"
        assert run.copy_inputs([copy]) == {copy: "inputs/water.pdb"}
    assert (path / "inputs/water.pdb").read_text() == "ATOM"


def test_a_resumed_run_keeps_when_it_started_and_adds_its_time(tmp_path):
    finished_run(tmp_path)
    before = rundir.read_run(tmp_path)
    with RunDirectory.open(tmp_path, resume=True) as run:
        assert run.resumed
        run.begin(**BEGIN)
        assert rundir.read_run(tmp_path)["status"] == "running"
        run.finish("interrupted")
    after = rundir.read_run(tmp_path)
    assert after["started"] == before["started"]
    assert after["wall_s"] > before["wall_s"]
    assert len(after["resumed"]) == 1
    assert after["status"] == "interrupted"
    assert (tmp_path / "metrics.jsonl").exists()


def test_inputs_are_copied_hashed_and_renamed_where_they_clash(tmp_path):
    sources = [tmp_path / "a" / "g.csv", tmp_path / "b" / "g.csv", tmp_path / "force.py"]
    for number, source in enumerate(sources):
        source.parent.mkdir(exist_ok=True)
        source.write_text(f"content {number}")
    path = tmp_path / "run"
    with RunDirectory.open(path) as run:
        run.begin(**BEGIN)
        copies = run.copy_inputs(sources)
        with pytest.raises(ConfigError, match=r"cannot read .*gone\.csv"):
            run.copy_inputs([tmp_path / "gone.csv"])
    assert list(copies.values()) == ["inputs/g.csv", "inputs/g-2.csv", "inputs/force.py"]
    for number, name in enumerate(copies.values()):
        assert (path / name).read_text() == f"content {number}"
        assert rundir.read_run(path)["inputs"][name] == files.sha256(f"content {number}".encode())
    (path / rundir.CHECKPOINT).parent.mkdir()
    (path / rundir.CHECKPOINT).write_text("")
    with RunDirectory.open(path, resume=True) as run:
        run.begin(**BEGIN)
        assert run.copy_inputs(sources) == copies
        sources[1].write_text("something else")
        with pytest.raises(ConfigError, match="changed since the run"):
            run.copy_inputs(sources)
    assert (path / "inputs/g-2.csv").read_text() == "content 1"


HOLD = """
import sys, time
from pathlib import Path
from diffmd.io.rundir import RunDirectory
with RunDirectory.open(Path(sys.argv[1])) as run:
    (run.path / "begun").touch()
    time.sleep(60)
"""


def test_a_lock_refuses_a_second_writer_until_the_first_is_gone(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)])
    while not (path / "begun").exists():
        time.sleep(0.01)
    assert rundir.is_held(path)
    for way in ("overwrite", "resume"):
        with pytest.raises(ConfigError, match=f"process {process.pid}"):
            RunDirectory.open(path, **{way: True})
    process.kill()
    process.wait()
    assert not rundir.is_held(path)
    with RunDirectory.open(path, resume=True):
        assert rundir.is_held(path)


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/diffmd"])
def test_what_cannot_be_written_into_is_refused_in_a_sentence(tmp_path, output):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="output"):
        RunDirectory.open(tmp_path / output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="permission denied"):
        RunDirectory.open(tmp_path / "run")
    tmp_path.chmod(0o700)


def test_a_finished_run_can_be_resumed_where_nothing_can_be_written(tmp_path):
    finished_run(tmp_path)
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()
    with RunDirectory.open(tmp_path, resume=True) as run:
        assert run.record["status"] == "finished"
    with pytest.raises(ConfigError, match="cannot write into"):
        RunDirectory.open(tmp_path, overwrite=True)


def test_a_full_disk_is_an_output_error_and_leaves_the_record(tmp_path, monkeypatch):
    finished_run(tmp_path)
    before = (tmp_path / "run.json").read_text()
    with RunDirectory.open(tmp_path, resume=True) as run:

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files.os, "replace", full)
        with pytest.raises(OutputError, match=r"run\.json: the disk is full"):
            run.finish("finished")
        monkeypatch.undo()
    assert (tmp_path / "run.json").read_text() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_list_of_files_does_not_lead_out_of_the_directory(tmp_path):
    path = tmp_path / "run"
    finished_run(path)
    (tmp_path / "mine.txt").write_text("mine")
    record = rundir.read_run(path) | {"files": ["../mine.txt", str(tmp_path / "mine.txt"), ".."]}
    (path / "run.json").write_text(json.dumps(record))
    with RunDirectory.open(path, overwrite=True) as run:
        run.begin(**BEGIN)
    assert (tmp_path / "mine.txt").exists()
