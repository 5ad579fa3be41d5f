"""Whether a run that is there may go on under the config that is given now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from diffmd.errors import ConfigError
from diffmd.paths import child, join, split

# What a run may be given more of, by command: the part that is done stays what it would have been.
_MAY_GROW: Mapping[str, frozenset[str]] = {
    "train": frozenset({"train.epochs"}),
    "simulate": frozenset({"dynamics.steps", "train.epochs"}),
}
_ABSENT = object()
_ADVICE = "--resume goes on with the same one only: put it back, name another --output, or --overwrite"


def check_config(command: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Compares two resolved configs as plain data, files by their content (see `config.fingerprint`).

    Returns:
        whether more is asked for than before: ``train.epochs`` (train) or ``dynamics.steps`` (simulate).

    Raises:
        ConfigError: naming the first value that differs otherwise.
    """
    grown = False
    for path, old, new in differences(before, now):
        if _own_path(path) in _MAY_GROW.get(command, frozenset()) and isinstance(old, int) and isinstance(new, int):
            if new < old:
                raise ConfigError(f"was {old} when this run began and cannot become fewer ({new}) under --resume", path)
            grown = True
            continue
        raise ConfigError(f"was {_shown(old)} when this run began and is {_shown(new)} now; {_ADVICE}", path)
    return grown


def check_options(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Compares what the command line said beside the config. Raises ConfigError, naming the option that differs."""
    for name, old, new in differences(before, now):
        raise ConfigError(f"--{name} was {_shown(old)} when this run began and is {_shown(new)} now; {_ADVICE}")


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of every value that differs; a mark stands for a value that is not there."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*before, *now)):
            below = child(path, key)
            yield from differences(before.get(key, _ABSENT), now.get(key, _ABSENT), below)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, child(path, index))
    elif before != now:
        yield path, before, now


def _own_path(path: str) -> str:
    """A named system's own ``systems.water.dynamics.steps`` is ``dynamics.steps``."""
    keys = split(path)
    return join(keys[2:]) if keys[0] == "systems" and len(keys) > 2 else path


def _shown(value: Any) -> str:
    text = "absent" if value is _ABSENT else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
