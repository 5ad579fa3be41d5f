"""Damaged structure files: read right or refused in a sentence; never a traceback, never another number of atoms."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import gemmi
import jax
import MDAnalysis
import numpy as np
import pytest

from diffmd.commands.config.validate import validate
from diffmd.config.build import build
from diffmd.config.loading import load, located
from diffmd.errors import DiffmdError
from diffmd.io.structures import Structure, read_structure, write_structure
from diffmd.units import MD

CASES = 300
ATOMS = 12
SUFFIXES = ("extxyz", "pdb", "gro", "cif")
CONFIG = """\
units: md
system:
  positions: {{kind: file, path: x.{suffix}}}
potentials:
  lj: {{kind: lennard_jones, epsilon: 1.0, sigma: 0.3, cutoff: 0.9}}
dynamics:
  integrator: {{kind: velocity_verlet, dt: 0.001}}
  steps: 1
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each format, written by diffmd, MDAnalysis and gemmi."""
    folder, rng = tmp_path_factory.mktemp("whole"), random.Random(0)
    x = np.array([[rng.uniform(0, 3) for _ in range(3)] for _ in range(ATOMS)])
    names = ("O", "H", "H") * (ATOMS // 3)
    one = Structure(x, x - 1.5, np.diag([3.0, 3.1, 3.2]), names, (None,) * ATOMS, None, None)
    write_structure(folder / "x.extxyz", [one], "extxyz", MD)
    write_structure(folder / "x.pdb", [one], "pdb", MD)
    universe = MDAnalysis.Universe(str(folder / "x.pdb"))
    universe.residues.resnames = "SOL"
    universe.atoms.write(str(folder / "x.gro"))
    gemmi.read_pdb(str(folder / "x.pdb")).make_mmcif_document().write_file(str(folder / "x.cif"))
    return {suffix: (folder / f"x.{suffix}").read_bytes() for suffix in SUFFIXES}


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def overwritten(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice([b"nan", b"****", b"\t", b"\xff\xfe", b"\x00", b"1e999", b'"', b"-"]) + data[at + 4 :]


def inserted(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes(rng.choices(b"0123456789 .-eX", k=rng.randrange(1, 4))) + data[at:]


def swapped(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    k = rng.randrange(len(lines) - 1)
    lines[k], lines[k + 1] = lines[k + 1], lines[k]
    return b"\n".join(lines)


def repeated(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    k = rng.randrange(len(lines))
    return b"\n".join([*lines[:k], lines[k], *lines[k:]])


def crlf_and_cut(data: bytes, rng: random.Random) -> bytes:
    return cut(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"), rng)


DAMAGES = (cut, flipped, overwritten, inserted, swapped, repeated, crlf_and_cut)


def cases() -> Iterator[tuple[str, Callable[[bytes, random.Random], bytes], int]]:
    for number, (suffix, damage) in zip(
        range(CASES), itertools.cycle(itertools.product(SUFFIXES, DAMAGES)), strict=False
    ):
        yield suffix, damage, number


def ends_in_the_table(data: bytes) -> bool:
    """Whether an mmCIF file ends at the end of a row of atoms: nothing can tell that rows are missing."""
    return b"_atom_site.Cartn_z" in data and b"\n#" not in data[data.index(b"_atom_site.Cartn_z") :]


def refusal(config: Path) -> str | None:
    """What a run of the config is refused with, before it compiles anything; None where it is taken."""
    loaded = load(config)
    try:
        with jax.enable_x64(True), located(loaded):
            build(loaded)
    except DiffmdError as problem:
        return str(problem)
    return None


@pytest.mark.slow
def test_damaged_files_are_read_right_or_refused(whole: dict[str, bytes], tmp_path: Path) -> None:
    taken = refused = 0
    for suffix, damage, number in cases():
        data = damage(whole[suffix], random.Random(number))
        path, config = tmp_path / f"x.{suffix}", tmp_path / "x.yaml"
        path.write_bytes(data)
        config.write_text(CONFIG.format(suffix=suffix))
        case = f"{suffix} {damage.__name__} {number}"
        try:
            found = read_structure(path, -1, MD)
        except DiffmdError as problem:
            refused += 1
            said = str(problem)
            assert f"x.{suffix}" in said, case
            assert "np." not in said, case
            assert "Traceback" not in said, case
            with pytest.raises(DiffmdError, match=r"x\.yaml:3"):
                validate(config)
            continue
        taken += 1
        assert len(found.names) == ATOMS or (suffix == "cif" and ends_in_the_table(data)), case
        assert np.all(np.isfinite(found.positions)), case
        assert len(found.elements) == len(found.names) == len(found.positions), case
        told = refusal(config)
        assert told is None or str(config) in told, case
    assert taken > 30
    assert refused > 100
