"""What the command line prints: errors, answers, tables."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

import typer

VERDICT_COLOURS = {"agrees": "green", "disagrees": "red", "not_smooth": "yellow", "unresolved": "yellow"}
OFF_TERMINAL = 10_000  # columns, where rich would assume 80 and fold what a script is to read


def error(text: str) -> None:
    """``error: ...`` on stderr; one such line for each line of `text`."""
    for line in text.splitlines() or [""]:
        with contextlib.suppress(OSError, ValueError):
            typer.echo(f"{typer.style('error:', fg='red', bold=True)} {line}", err=True)


def out(text: str, to_stderr: bool = False) -> None:
    """A line on stdout, or on stderr."""
    typer.echo(text, err=to_stderr)


def json_object(answer: Mapping[str, Any], file: IO[str]) -> None:
    """One JSON object and a newline; what is not finite is null."""
    # diffmd.io imports numpy and h5py, which `diffmd --help` must not pay for.
    from diffmd.io.values import plain

    file.write(json.dumps(plain(answer), ensure_ascii=False, allow_nan=False) + "\n")
    file.flush()


def csv_lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A comma-separated table on stdout."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def gradcheck_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows of a gradient check on stdout, verdicts coloured, with the reasons below."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else OFF_TERMINAL)
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("case", "left"),
        ("parameter", "left"),
        ("method", "left"),
        ("gradient", "right"),
        ("finite difference", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for name in ("its error", "relative difference"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in rows:
        verdict = str(row["verdict"])
        per_unit = f" (per {row['unit']})" if "unit" in row else ""
        cells = [str(row["case"]), f"{row['parameter']}{per_unit}", str(row["method"])]
        numbers = [_number(row[key], digits) for key, digits in (("ad", 10), ("fd", 10), ("fd_error", 2))]
        table.add_row(
            *map(Text, cells),
            *numbers,
            _number(row["relative_error"], 2),
            Text(verdict, style=VERDICT_COLOURS.get(verdict, "")),
        )
    console.print(table)
    for row in rows:
        if row["verdict"] != "agrees" and (row["reason"] or row["suggestion"]):
            said = "; ".join(str(part) for part in (row["reason"], row["suggestion"]) if part)
            console.print(f"{row['case']} {row['parameter']} ({row['method']}): {said}", markup=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else OFF_TERMINAL)
    made = Table(box=None, pad_edge=False)
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    console.print(made)


def fields(names: Sequence[str], values: Sequence[str], to_stderr: bool = False) -> None:
    """A name and its value a line, on stdout or on stderr; empty values are left out."""
    width = max(map(len, names), default=0)
    for name, value in zip(names, values, strict=True):
        if value:
            out(f"{name:{width}}  {value}", to_stderr)


def _number(value: Any, digits: int) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{float(value):.{digits}g}"


def usage_error(problem: typer.TyperException, command: str) -> None:
    """What is wrong with the command line, and where the help of `command` (empty: of diffmd itself) is."""
    error(problem.format_message())
    out(f"See: {' '.join(('diffmd', command)).rstrip()} --help", to_stderr=True)
