"""``diffmd bench``: this machine's speed: steps of the simulation, and what a gradient costs beside them.

For a case, a system in one precision on so many threads, the answer has:

- ``case``, ``atoms``, ``steps``, ``precision``, ``threads``; ``pinned``: whether threads were given cores of their own.
- ``forward_s``, ``gradient_s``: the run and its gradient by reverse mode, medians of ``repeats``, with ``_min_s`` and
  ``_max_s``; ``ratio`` of the medians; ``steps_per_s`` and ``ns_per_atom_step`` of the run.
- ``list_builds``: neighbour lists that the run built; ``list_build_s``: what one takes by itself, of each system that
  has any; ``list_share``: both multiplied, as a part of the run.
- ``forward_compile_s``, ``gradient_compile_s``: how much longer the first run and the first gradient took, with an
  empty cache of compiled programs.
- ``forward_buffers_mb``, ``gradient_buffers_mb``: the buffers of the largest program, of the gradient with what it
  stores of the run; ``peak_mb``: the peak memory of the process, with Python, JAX and its compiler.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmd.commands.benchmark.apart import PINS, apart, usable_cores
from diffmd.commands.benchmark.liquids import FLUID, SIZES, SMALLEST, is_a_size, near_size
from diffmd.commands.benchmark.speed import Case, speed
from diffmd.commands.run.experiment import check_stop
from diffmd.commands.run.nested import NestedReporter
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request
from diffmd.commands.run.session import Session
from diffmd.config.build import build
from diffmd.config.checks.check import require_loss
from diffmd.errors import ConfigError

PRECISIONS = ("double", "single")
_THREADS = (1, 2)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the command line chooses, each a list with commas; None: the defaults.

    Attributes:
        sizes: numbers of atoms of built-in liquids; by default 50, 500, 4000 and 32000.
        precision: ``double``, ``single``; by default both, of a config its own.
        threads: numbers of threads; by default one and two, of a config as many as there are cores.
        repeats: how often each run is timed; by default as often as fits into some seconds.
    """

    sizes: str | None = None
    precision: str | None = None
    threads: str | None = None
    repeats: int | None = None


DEFAULT = Choice()


def bench(request: Request, reporter: Reporter, choice: Choice = DEFAULT) -> CommandResult:
    """Times a config, or liquids of a few sizes, each case in a process of its own.

    Raises:
        ConfigError: the choice, or the config, cannot be.
    """
    sizes, precisions, threads = _sizes(request, choice), _precisions(choice), _threads(choice)
    options = {name: str(value) for name, value in dataclasses.asdict(choice).items() if value is not None}
    with Session.open(request, reporter, "bench", options) as session, tempfile.TemporaryDirectory() as starts:
        if session.done is not None:
            return session.done
        named: dict[str, Path | int] = {f"lj_liquid_{size}" if size != FLUID else "lj_fluid": size for size in sizes}
        if session.loaded is not None:
            require_loss(session.config)
            build(session.loaded, allow_python=request.allow_python)
            assert request.config is not None
            named = {request.config.stem: request.config}
            precisions = precisions or (session.precision,)
            threads = threads or (len(usable_cores()),)
        elif session.device.platform != "cpu":
            threads = threads or (len(usable_cores()),)
        # A process reads the config for itself.
        asked = dataclasses.replace(request, written=None)
        cases = [
            Case(asked, name, liquid, precision, count, choice.repeats, Path(starts) / f"{name}.h5", session.folder)
            for name, liquid in named.items()
            for precision in precisions or PRECISIONS
            for count in threads or tuple(n for n in _THREADS if n <= len(usable_cores()))
        ]
        session.begin()
        if not PINS and session.device.platform == "cpu":
            session.reporter.warning("this system pins no process to cores: threads are one, or as many as XLA takes")
        rows = []
        session.reporter.start(len(cases), "cases", "bench")
        for case in cases:
            rows.append(apart(functools.partial(speed, case), case.threads, NestedReporter(session.reporter)))
            session.reporter.advance(1, _line(rows[-1]))
            check_stop(session.reporter)
        session.reporter.finish()
        answer = {"device": f"{session.device.platform} ({session.device.device_kind})", "cases": rows}
        return session.finish(CommandResult(answer, [*table(rows), f"in {session.folder}"], "diffmd gradcheck"))


def _sizes(request: Request, choice: Choice) -> tuple[int, ...]:
    """Numbers of atoms; none with a config."""
    if request.config is not None:
        if choice.sizes is not None:
            raise ConfigError("--sizes is of the built-in liquids; with a config, set its atoms by --set")
        return ()
    if request.overrides:
        raise ConfigError("--set is of a config; without one, choose by --sizes, --precision, --threads")
    if choice.sizes is None:
        return SIZES
    sizes = _counts("--sizes", choice.sizes, "atoms")
    for size in sizes:
        if not is_a_size(size):
            raise ConfigError(
                f"--sizes {size}: there are {FLUID} atoms, the fluid, and lattices that fill a cube, 4 n^3 from "
                f"{SMALLEST} up; the nearest is {near_size(size)}"
            )
    return sizes


def _precisions(choice: Choice) -> tuple[str, ...]:
    """What is asked for; none: the defaults."""
    if choice.precision is None:
        return ()
    names = _listed(choice.precision)
    if not set(names) <= set(PRECISIONS):
        raise ConfigError(f"--precision {choice.precision}: there are {' and '.join(PRECISIONS)}")
    return names


def _threads(choice: Choice) -> tuple[int, ...]:
    """What is asked for; none: the defaults."""
    if choice.threads is None:
        return ()
    counts, cores = _counts("--threads", choice.threads, "threads"), len(usable_cores())
    for count in counts:
        if count > cores:
            raise ConfigError(f"--threads {count}: this process may use {cores} of the machine's cores")
    return counts


def _counts(option: str, text: str, what: str) -> tuple[int, ...]:
    """Whole numbers from 1 up, each once. Raises ConfigError for anything else."""
    parts = _listed(text)
    for part in parts:
        if not (part.isascii() and part.isdigit() and int(part) > 0):
            raise ConfigError(f"{option} {text}: numbers of {what}, with commas between them, such as 1,2")
    return tuple(dict.fromkeys(map(int, parts)))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['case']}: {row['atoms']} atoms, {row['precision']}, {_counted(row['threads'], 'thread')}, "
        f"{row['steps_per_s']:.0f} steps/s, a gradient costs {row['ratio']:.2f} simulations"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "case": lambda row: str(row["case"]),
    "atoms": lambda row: f"{row['atoms']:,}",
    "precision": lambda row: str(row["precision"]),
    "threads": lambda row: str(row["threads"]),
    "steps/s": lambda row: f"{row['steps_per_s']:,.0f}",
    "ns/atom/step": lambda row: f"{row['ns_per_atom_step']:,.0f}",
    "+-": lambda row: f"{50 * (row['forward_max_s'] - row['forward_min_s']) / row['forward_s']:.0f} %",
    "gradient/run": lambda row: f"{row['ratio']:.2f}",
    "lists": lambda row: f"{100 * row['list_share']:.0f} %",
    "compiling": lambda row: f"{row['forward_compile_s'] + row['gradient_compile_s']:.1f} s",
    "buffers": lambda row: f"{row['forward_buffers_mb']:,.1f} / {row['gradient_buffers_mb']:,.1f} MB",
    "peak": lambda row: f"{row['peak_mb']:,.0f} MB",
}


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines of a Markdown table."""
    cells = [list(_COLUMNS), *([told(row) for told in _COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.rjust, line, widths)) + " |" for line in cells]
    return [lines[0], "|" + "|".join(f"{'-' * (width + 1)}:" for width in widths) + "|", *lines[1:]]
