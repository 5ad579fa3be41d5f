"""What the reading of a start file says reaches the user, from every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffmd.commands.config.validate import validate
from diffmd.commands.run.reporter import SilentReporter
from diffmd.commands.run.request import Request
from diffmd.commands.run.session import Session
from diffmd.config.loading import load
from diffmd.config.start_files import start_notes
from diffmd.errors import ConfigError

LINE = "ATOM      1  O  {}HOH A   1    {:8.3f}   0.000   0.000{:6.2f}  0.00           O\n"
GRO = """\
two atoms, of which one moves
2
    1AR      AR    1   0.000   0.000   0.000
    2AR      AR    2   1.000   0.000   0.000  1.0000  0.0000  0.0000
3 3 3
"""
CONFIG = """\
units: md
system:
  box: null
  positions: {kind: file, path: start.pdb}
potentials:
  lj: {kind: lennard_jones, sigma: 0.3, epsilon: 1.0}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.001}, steps: 1}
"""
NOTE = (
    "start.pdb: 1 alternate locations of atoms are left out; of each atom the location of the highest occupancy is "
    "taken, the first where several share it"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "start.pdb").write_text(LINE.format("A", 1, 0.4) + LINE.format("B", 5, 0.6) + "END\n")
    (tmp_path / "start.gro").write_text(GRO)
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return path


def test_validate_warns(config: Path) -> None:
    assert [text for text in validate(config).warnings if NOTE in text and text.startswith("system.positions: ")]


@pytest.mark.parametrize("command", ["simulate", "gradient", "train", "scan", "gradcheck"])
def test_every_session_warns_and_logs(command: str, config: Path, tmp_path: Path) -> None:
    request = Request(config=config, output=tmp_path / "run")
    with Session.open(request, SilentReporter(), command) as session:
        session.begin()
    assert f"warning: system.positions: {config.parent / NOTE}" in (tmp_path / "run" / "run.log").read_text()


def test_velocities_that_a_file_has_for_some_atoms(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    both = ["system.positions.path=start.gro", "system.velocities={kind: file, path: start.gro}"]
    loaded = load(config, both)
    notes = start_notes(loaded.config, loaded.folder)
    assert [note.partition(": ")[0] for note in notes] == ["system.positions", "system.velocities"]
    assert "start.gro has velocities of 1 of its 2 atoms; the others are taken to be at rest" in notes[1]


def test_a_file_that_cannot_be_read_is_refused_at_its_place(config: Path) -> None:
    (config.parent / "start.pdb").write_text("ATOM\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:4: system\.positions\.path: cannot read .*start\.pdb: line 1 ends"):
        validate(config)


def test_why_a_file_brings_no_masses(config: Path) -> None:
    (config.parent / "start.pdb").write_text(
        LINE.format(" ", 1, 1).replace("O", "X").replace("ATXM", "ATOM").replace("HXH", "HOH") + "END\n"
    )
    with pytest.raises(ConfigError) as raised:
        validate(config)
    assert "system.masses: the file brings no masses: write `masses: {X: ...}`" in str(raised.value)
    assert "(the elements of 1 of its 1 atoms are not known from it (X))" in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        validate(config, ("units=reduced",))
    assert "system.masses: the file brings no masses: write `masses: {X: ...}`" in str(raised.value)
    assert str(raised.value).endswith("under `atoms` (in reduced units elements bring none)")
