"""A config as it is written: read, the command line's values put in, nothing checked yet.

What is imported here is what reading YAML takes, so that a command can say what it is about before JAX is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffmd.config.overrides import apply
from diffmd.config.source import Source
from diffmd.config.yaml_reader import read_file


@dataclasses.dataclass(frozen=True)
class WrittenConfig:
    """A config as written.

    Attributes:
        data: plain dicts and lists, with what ``--set`` says in its place.
        source: where each value came from.
        folder: the config's folder, against which relative files are resolved.
    """

    data: dict[str, Any]
    source: Source
    folder: Path


def read(path: Path | str, overrides: Sequence[str] = ()) -> WrittenConfig:
    """The config in a file, with ``PATH=VALUE`` texts applied in order. Raises ConfigError for what is no YAML
    mapping, and for an override that names nothing."""
    path = Path(path)
    document = read_file(path)
    data, given = apply(document.data, overrides, Path.cwd())
    return WrittenConfig(data, Source(str(path), document.marks, given), path.parent)


def outline(written: WrittenConfig) -> str:
    """What a config asks for, in few words, as far as it can be told before it is checked: ``500 atoms,
    lennard_jones, 100 steps``."""
    systems = _mapping(written.data.get("systems"))
    size = f"{len(systems)} systems" if systems else _atoms(written.data.get("system"))
    potentials = [_kind(one) for one in _mapping(written.data.get("potentials")).values()]
    steps = _count(_mapping(written.data.get("dynamics")).get("steps"), "steps")
    return ", ".join(part for part in (size, *dict.fromkeys(potentials), steps) if part)


def _atoms(system: Any) -> str:
    groups = _mapping(system).get("atoms")
    counts = [_mapping(group).get("count") for group in groups] if isinstance(groups, list) else []
    if not counts or not all(isinstance(count, int) for count in counts):
        return ""
    return _count(sum(counts), "atoms")


def _count(number: Any, unit: str) -> str:
    return f"{number:,} {unit}" if isinstance(number, int) else ""


def _kind(potential: Any) -> str:
    kind = _mapping(potential).get("kind")
    return kind if isinstance(kind, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
