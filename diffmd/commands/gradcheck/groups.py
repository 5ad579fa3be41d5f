"""What gradcheck checks: cases, and which of them are one run with several losses."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from diffmd.commands.gradcheck.builtin_cases import CASES, ONE_A_FAMILY
from diffmd.config.loading import LoadedConfig, load_data
from diffmd.errors import ConfigError

_NAMED = 20
"""Names that an error lists at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Cases that differ in their losses alone: one run, and its compiled programs, serve all of them.

    Attributes:
        losses: name of a case -> which of the terms are its loss; None: all of them.
        load: reads and checks the config, with the terms of all.
    """

    losses: Mapping[str, Sequence[int] | None]
    load: Callable[[], LoadedConfig]


def built_in(full: bool, only: str | None) -> list[Group]:
    """The groups of the built-in set: one case of each family, or with `full` all of them; with `only` those of all
    whose name has the pattern in it. Raises ConfigError where none has."""
    if only is not None:
        names: Iterable[str] = matching(only, CASES, "case of the built-in set")
    else:
        names = CASES if full else ONE_A_FAMILY
    return grouped({name: CASES[name] for name in names})


def grouped(cases: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """Cases by what they run."""
    runs: dict[str, list[str]] = {}
    for name, data in cases.items():
        runs.setdefault(json.dumps({**data, "loss": []}, sort_keys=True), []).append(name)
    groups = []
    for names in runs.values():
        loss: list[Any] = []
        losses: dict[str, Sequence[int] | None] = {}
        for name in names:
            losses[name] = range(len(loss), len(loss) + len(cases[name]["loss"]))
            loss += cases[name]["loss"]
        groups.append(Group(losses, functools.partial(load_data, {**cases[names[0]], "loss": loss})))
    return groups


def matching(pattern: str, names: Iterable[str], what: str) -> list[str]:
    """The names that a pattern fits: a part of them, or a glob of the whole; upper and lower case are the same.

    Args:
        what: a name is, for the error.

    Raises:
        ConfigError: it fits none; with the nearest names.
    """
    known = list(names)
    found = [name for name in known if fits(pattern, name)]
    if not found:
        near = _near(pattern, known)
        if near:
            raise ConfigError(f"--only {pattern}: no {what} fits; the nearest: {'; '.join(near)}")
        more = f"; and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        raise ConfigError(f"--only {pattern}: no {what} fits; there are {'; '.join(known[:_NAMED])}{more}")
    return found


def _near(pattern: str, names: Sequence[str]) -> list[str]:
    """Names with a word that is nearly the pattern."""
    words = {name: re.findall(r"\w+", name.lower()) for name in names}
    every = sorted({word for own in words.values() for word in own})
    close = set(difflib.get_close_matches(pattern.lower(), every, 3, cutoff=0.7))
    return [name for name in names if close.intersection(words[name])]


def fits(pattern: str, name: str) -> bool:
    """Whether the pattern is a part of the name, or a glob of all of it."""
    wanted, known = pattern.lower(), name.lower()
    return wanted in known or fnmatch.fnmatchcase(known, wanted)
