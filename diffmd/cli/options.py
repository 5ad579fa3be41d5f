"""The options that commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffmd.commands.run.request import Device as DeviceKind

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML config.", show_default=False)]
OptionalConfig = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="The YAML config; without one, a built-in set.", show_default=False),
]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a run.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="PATH=VALUE", help="Set a value of the config; repeatable.", show_default=False
    ),
]
Parameters = Annotated[
    str | None,
    typer.Option(
        "--parameters",
        metavar="DIR[@best|@last|@EPOCH]",
        help="Start from the values that a training run learned (default: its best).",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where the run goes; {name} and {seed} expand. Default: outputs/<config name>/<command>.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace a run that is there.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", metavar="", help="Go on where a run is there, start where none is; exit 0 if it is finished."
    ),
]
Device = Annotated[DeviceKind, typer.Option("--device", metavar="cpu|gpu|auto", help="Where to compute.")]
NoPython = Annotated[
    bool, typer.Option("--no-python", metavar="", help="Refuse configs that name Python files of their own.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing but warnings and errors.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON object on stdout, everything else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", metavar="", help="Show the traceback of an error.")]
