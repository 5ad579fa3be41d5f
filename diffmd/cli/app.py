"""The Typer application: every command, and the commands that compute."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import diffmd
from diffmd.cli import options as opt
from diffmd.cli import render, tools
from diffmd.cli.execute import Talk, run_command
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request
from diffmd.commands.run.request import Device as DeviceKind

app = typer.Typer(
    name="diffmd",
    help="Differentiable molecular dynamics: from a YAML config to trajectories, checked gradients and trained "
    "force fields.",
    epilog="Start with: diffmd init",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode="rich",
)
RUNS, TOOLS = "Runs", "Tools"
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="Differentiate by this method in place of the config's: reverse, forward, auto, finite-difference, "
        "reversible, reweight, implicit.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Foretell the memory and cost of each method (or of --method); write nothing."),
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", metavar="METHOD", help="Check this method; repeatable. Default: all.", show_default=False),
]
Rtol = Annotated[
    float | None,
    typer.Option("--rtol", min=0.0, help="Relative tolerance. Default: 1e-6 double, 1e-2 single.", show_default=False),
]
Full = Annotated[
    bool,
    typer.Option("--full", metavar="", help="All of the built-in set (several minutes); default: one case a family."),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Cases of all of the built-in set, or a config's parameters, by a part of their name or a glob.",
        show_default=False,
    ),
]
Over = Annotated[
    str,
    typer.Option("--over", metavar="PATH=START:STOP:NUM", help="What to scan, ends included.", show_default=False),
]

Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes", metavar="N,...", help="Liquids of so many atoms. Default: 50,500,4000,32000.", show_default=False
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="double,single", help="Default: both; of a config its own.", show_default=False
    ),
]
Threads = Annotated[
    str | None,
    typer.Option(
        "--threads",
        metavar="N,...",
        help="Each case on so many cores, to which its process is pinned. Default: 1,2; of a config all.",
        show_default=False,
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option("--repeats", min=1, help="Time each run so often. Default: for some seconds.", show_default=False),
]


def _version(wanted: bool) -> bool:
    if wanted:
        render.out(f"diffmd {diffmd.__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def diffmd_options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of `diffmd` itself."""


def _request(
    config: Path | None,
    overrides: list[str] | None,
    parameters: str | None,
    output: Path | None,
    overwrite: bool,
    resume: bool,
    device: DeviceKind,
    no_python: bool,
) -> Request:
    return Request(
        config=config,
        overrides=tuple(overrides or ()),
        parameters=parameters,
        output=output,
        overwrite=overwrite,
        resume=resume,
        device=device,
        allow_python=not no_python,
        argv=("diffmd", *sys.argv[1:]),
    )


@app.command("simulate", rich_help_panel=RUNS)
def simulate(
    config: opt.Config,
    overrides: opt.Set = None,
    parameters: opt.Parameters = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Run the dynamics; write the trajectory and the observables."""
    request = _request(config, overrides, parameters, output, overwrite, resume, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        from diffmd.commands.simulate import simulate

        return simulate(request, reporter)

    run_command("simulate", request, work, Talk(quiet, as_json, debug))


@app.command("gradient", rich_help_panel=RUNS)
def gradient(
    config: opt.Config,
    method: Method = None,
    dry_run: DryRun = False,
    overrides: opt.Set = None,
    parameters: opt.Parameters = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Compute the loss and its gradient.

    Horizon: so many last steps give the gradient; what is older than that, where it explodes, is chaos. Independent
    frames: so many that have nothing to do with each other would tell an average as well as all that were sampled.
    """
    request = _request(config, overrides, parameters, output, overwrite, resume, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        if dry_run:
            from diffmd.commands.forecast.dry_run import dry_run as forecast

            return forecast(request, reporter, method)
        from diffmd.commands.gradient import gradient

        return gradient(request, reporter, method)

    run_command("gradient", request, work, Talk(quiet, as_json, debug))


@app.command("fd-check", rich_help_panel=RUNS, help="The same as gradcheck.")
@app.command("gradcheck", rich_help_panel=RUNS)
def gradcheck(
    config: opt.OptionalConfig = None,
    methods: Methods = None,
    rtol: Rtol = None,
    full: Full = False,
    only: Only = None,
    overrides: opt.Set = None,
    parameters: opt.Parameters = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Check gradients against finite differences (exit code 4 where one does not agree).

    Finite difference: how the loss differs when a parameter is moved a little, divided by that; its error is how far it
    depends on the step. Reweighting is checked on its own frames.
    """
    request = _request(config, overrides, parameters, output, overwrite, False, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        from diffmd.commands.gradcheck.gradcheck import gradcheck

        return gradcheck(request, reporter, tuple(methods or ()), rtol, full, only)

    def show(result: CommandResult) -> None:
        render.gradcheck_table(result.answer["rows"])
        for line in result.summary:
            render.out(line)

    run_command("gradcheck", request, work, Talk(quiet, as_json, debug), show)


@app.command("train", rich_help_panel=RUNS)
def train(
    config: opt.Config,
    overrides: opt.Set = None,
    parameters: opt.Parameters = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Optimize the parameters."""
    request = _request(config, overrides, parameters, output, overwrite, resume, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        from diffmd.commands.train import train

        return train(request, reporter)

    run_command("train", request, work, Talk(quiet, as_json, debug))


@app.command("scan", rich_help_panel=RUNS)
def scan(
    config: opt.Config,
    over: Over,
    overrides: opt.Set = None,
    parameters: opt.Parameters = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Compute loss and gradient along a grid of values."""
    request = _request(config, overrides, parameters, output, overwrite, resume, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        from diffmd.commands.scan import scan

        return scan(request, reporter, over)

    run_command("scan", request, work, Talk(quiet, as_json, debug))


@app.command("bench", rich_help_panel=RUNS)
def bench(
    config: opt.OptionalConfig = None,
    sizes: Sizes = None,
    precision: Precision = None,
    threads: Threads = None,
    repeats: Repeats = None,
    overrides: opt.Set = None,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    no_python: opt.NoPython = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Measure this machine: time steps and gradients of liquids, or of a config; each case in a process of its own.

    Lists: the part of the run that builds neighbor lists. Buffers: of the run / of the gradient.
    """
    request = _request(config, overrides, None, output, overwrite, False, device, no_python)

    def work(request: Request, reporter: Reporter) -> CommandResult:
        from diffmd.commands.benchmark.bench import Choice, bench

        return bench(request, reporter, Choice(sizes, precision, threads, repeats))

    run_command("bench", request, work, Talk(quiet, as_json, debug))


for tool in tools.COMMANDS:
    app.command(tool.__name__.removesuffix("_"), rich_help_panel=TOOLS)(tool)


def command_names() -> tuple[str, ...]:
    """What may follow `diffmd`."""
    return tuple(command.name for command in app.registered_commands if command.name)
