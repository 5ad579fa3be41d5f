"""What a run command is asked to do, and what it answers."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from diffmd.config.reading import WrittenConfig

Device = Literal["auto", "cpu", "gpu"]


@dataclasses.dataclass(frozen=True)
class Request:
    """What every run command (simulate, gradient, gradcheck, train, scan, bench) is asked.

    Attributes:
        config: the YAML file; None where the command has its own (gradcheck's built-in set, bench).
        overrides: ``PATH=VALUE`` texts of ``--set``, applied in order.
        parameters: ``DIR``, ``DIR@best``, ``DIR@last`` or ``DIR@EPOCH``: start from the values a training run learned.
        output: the run directory; ``{name}`` and ``{seed}`` expand. None: ``outputs/<config name>/<command>``.
        overwrite: replace a run that is there.
        resume: go on where a run is there, start where none is.
        device: where to compute.
        allow_python: whether a config may name Python files of the user's own.
        argv: the command line as typed, for the record.
        written: the config as read already; None: it is still to be read.
    """

    config: Path | None = None
    overrides: tuple[str, ...] = ()
    parameters: str | None = None
    output: Path | None = None
    overwrite: bool = False
    resume: bool = False
    device: Device = "auto"
    allow_python: bool = True
    argv: tuple[str, ...] = ()
    written: WrittenConfig | None = None

    def read(self) -> Request:
        """The same request with its config read, where there is one. Raises ConfigError for what is no YAML mapping,
        and for an override that names nothing."""
        if self.config is None or self.written is not None:
            return self
        # PyYAML takes a while to import, which `diffmd --help` must not pay.
        from diffmd.config.reading import read

        return dataclasses.replace(self, written=read(self.config, self.overrides))


def typed(*words: object) -> str:
    """What to type in a shell to run ``diffmd`` with these words."""
    return shlex.join(["diffmd", *map(str, words)])


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What a command answers.

    Attributes:
        answer: the object that ``--json`` prints: numbers, texts, lists, mappings, numpy arrays; nan becomes null.
        summary: lines for a person.
        next_command: the command to type next, such as ``diffmd plot outputs/lj_fluid/train``; empty for none.
        exit_code: 0, or 4 where a gradient check does not agree.
    """

    answer: dict[str, Any]
    summary: list[str] = dataclasses.field(default_factory=list)
    next_command: str = ""
    exit_code: int = 0
