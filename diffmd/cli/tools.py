"""The commands that look into runs and configs, and those that start a user off."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from diffmd.cli import options as opt
from diffmd.cli import render
from diffmd.cli.execute import Talk, run_tool
from diffmd.cli.progress import say, say_warning
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.errors import ConfigError

_WITH_PICTURES = ("simulate", "gradient", "train", "scan")

Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Only loss, parameters, rdf, energies, gradients or scan. Default: all.",
        show_default=False,
    ),
]
Types = Annotated[
    str | None,
    typer.Option("--types", metavar="A,B", help="The two atom types of an RDF. Default: all.", show_default=False),
]
From = Annotated[
    int | None,
    typer.Option("--from", metavar="STEP", min=0, help="Leave out frames before this step.", show_default=False),
]
Mark = Annotated[
    list[float] | None,
    typer.Option("--mark", metavar="X", help="Draw a line at this value; repeatable.", show_default=False),
]


def plot(
    run: opt.RunFolder,
    kind: Kind = None,
    types: Types = None,
    start: From = None,
    mark: Mark = None,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Draw a run: losses, parameters, RDF, scan; into DIR/plots/, each with its CSV."""

    def work() -> CommandResult:
        from diffmd.commands.look.plot import plot

        files = plot(run, kind, _pair(types), start, tuple(mark or ()))
        moving = any(run.glob("trajectory*.h5md"))
        return _files(files, typed("animate" if moving else "inspect", run))

    run_tool(work, Talk(quiet, as_json, debug), opening=f"plot of {run}: {kind or 'all there is'}")


def animate(
    run: opt.RunFolder,
    film_format: Annotated[
        Literal["auto", "gif", "mp4"],
        typer.Option("--format", metavar="gif|mp4|auto", help="MP4 needs the program ffmpeg; auto: a GIF."),
    ] = "auto",
    trajectory: Annotated[
        Literal["first", "best"] | None,
        typer.Option(
            "--trajectory",
            metavar="first|best",
            help="Of a training: with the starting or the best parameters. Default: both.",
            show_default=False,
        ),
    ] = None,
    max_frames: Annotated[
        int, typer.Option("--max-frames", metavar="N", min=1, help="Thin out longer trajectories evenly.")
    ] = 80,
    fps: Annotated[float, typer.Option("--fps", metavar="X", help="Frames a second.")] = 16.0,
    pixels: Annotated[int, typer.Option("--pixels", metavar="N", help="The longer side of the picture.")] = 420,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Make a film of a run's atoms, into DIR/plots/."""

    def work() -> CommandResult:
        from diffmd.commands.look.animate import animate

        return _files(animate(run, film_format, trajectory, max_frames, fps, pixels), typed("inspect", run))

    run_tool(work, Talk(quiet, as_json, debug), opening=f"film of {run}: up to {max_frames} frames")


def export(
    run: opt.RunFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write, or a folder to put it in.")
    ] = Path("."),
    file_format: Annotated[
        Literal["extxyz", "pdb", "csv"] | None,
        typer.Option(
            "--format",
            metavar="extxyz|pdb|csv",
            help="Structures as extxyz or PDB; numbers as CSV. Default: what --table or the FILE's ending says, else "
            "extxyz.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            "--frames", metavar="START:STOP:STEP", help="Which frames or rows; one, or a slice. Default: all."
        ),
    ] = None,
    table: Annotated[
        Literal["observables", "epochs", "scan"] | None,
        typer.Option(
            "--table",
            metavar="observables|epochs|scan",
            help="Which numbers go into the CSV. Default: what the run's command is about.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace a file that is there.")] = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a run's trajectory as extxyz or PDB, or its numbers as CSV."""

    def work() -> CommandResult:
        from diffmd.commands.look.export import export, parse_frames

        chosen = None if frames is None else parse_frames(frames)
        return _files(export(run, output, file_format, chosen, table, overwrite), typed("inspect", run))

    run_tool(work, Talk(quiet, as_json, debug), opening=f"export of {run} into {output}")


def inspect(
    runs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Directories of runs.", show_default=False)],
    as_csv: Annotated[
        bool, typer.Option("--csv", metavar="", help="Comma-separated lines on stdout, one a run, with all digits.")
    ] = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Show what runs did, found and cost; several: one table."""
    from diffmd.commands.look.inspect import inspect, numbers, table

    def work() -> CommandResult:
        if as_csv and as_json:
            raise ConfigError("--csv and --json both want stdout; give one of them")
        rows = inspect(runs)
        drawn = (row["directory"] for row in rows if row["status"] == "finished" and row["command"] in _WITH_PICTURES)
        folder = next(drawn, None)
        return CommandResult({"runs": rows}, [], "" if folder is None else typed("plot", folder))

    def show(result: CommandResult) -> None:
        if as_csv:
            render.csv_lines(*numbers(result.answer["runs"]))
            return
        columns, lines = table(result.answer["runs"])
        if len(lines) == 1:
            render.fields(columns, lines[0])
        else:
            render.table(columns, lines)

    run_tool(work, Talk(quiet, as_json, debug), show, next_to_stderr=as_csv)


def init(
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="The file to write, or a folder (its name/) to put it in.")
    ] = ".",
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="NAME", help="Which example. Default: lj_fluid.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace a file that is there.")] = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a commented config to start from: a shipped example."""

    def work() -> CommandResult:
        from diffmd.commands.config.init import init
        from diffmd.config.examples import example_names

        file = init(destination, example, overwrite)
        others = ", ".join(name for name in example_names() if name != file.stem)
        summary = [f"wrote {file}", f"other examples, by --example: {others}"]
        command = "train" if "\ntrain:" in file.read_text(encoding="utf-8") else "simulate"
        return CommandResult({"file": str(file)}, summary, typed(command, file))

    run_tool(work, Talk(quiet, as_json, debug))


def schema(quiet: opt.Quiet = False, as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """Print the JSON schema of configs, for editors."""

    def work() -> CommandResult:
        from diffmd.commands.config.schema import json_schema, schema

        return CommandResult(json_schema(), [schema().rstrip("\n")])

    run_tool(work, Talk(quiet, as_json, debug), opening="schema of every section and kind")


def validate(
    config: opt.Config,
    overrides: opt.Set = None,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Check a config as runs do; print it with every default filled in, and what a run starts from."""

    def work() -> CommandResult:
        from diffmd.cli.opening import opening_line
        from diffmd.cli.runtime import prepare

        request = Request(config, tuple(overrides or ())).read()
        assert request.written is not None
        if not quiet:
            say(opening_line("validate", request))
        # The forces at the start are computed, which is done before a GPU is awake.
        prepare("cpu")
        from diffmd.commands.config.setup_rows import setup_rows
        from diffmd.commands.config.validate import checked

        result = checked(request.written)
        answer = {
            "valid": True,
            "warnings": list(result.warnings),
            "config": result.text,
            "unchecked": list(result.unchecked),
            "systems": {one.name: dataclasses.asdict(one) for one in result.systems},
        }
        for note in result.unchecked if not quiet else ():
            say(note)
        for warning in result.warnings:
            say_warning(warning)
        tables.update({one.name: setup_rows(one) for one in result.systems})
        return CommandResult(answer, [result.text.rstrip("\n")], _simulating(config, overrides or ()))

    def show(result: CommandResult) -> None:
        # The config alone goes to stdout, so that it can be piped into a file and run.
        render.out(result.summary[0])
        sys.stdout.flush()
        for name, rows in tables.items():
            render.out(f"\n{name if len(tables) > 1 else 'The run starts with'}:", to_stderr=True)
            render.fields([name for name, _ in rows], [value for _, value in rows], to_stderr=True)

    tables: dict[str, list[tuple[str, str]]] = {}
    run_tool(work, Talk(quiet, as_json, debug), show, next_to_stderr=True)


def _simulating(config: Path, overrides: Sequence[str]) -> str:
    """The command that runs what was validated."""
    return typed("simulate", config, *(word for text in overrides for word in ("-s", text)))


def _pair(types: str | None) -> tuple[str, str] | None:
    if types is None:
        return None
    names = [name.strip() for name in types.split(",")]
    if len(names) != 2 or not all(names):
        raise ConfigError(f"--types takes two types, such as A,B; not {types!r}")
    return names[0], names[1]


def _files(files: list[Path], next_command: str) -> CommandResult:
    return CommandResult({"files": [str(file) for file in files]}, [str(file) for file in files], next_command)


COMMANDS = (plot, animate, inspect, export, init, validate, schema)
