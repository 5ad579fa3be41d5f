"""Values of a config by their paths: found, changed, listed, and the nearest name where there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from diffmd.config.yaml_reader import describe
from diffmd.errors import ConfigError
from diffmd.paths import Slice, child, join, split


def item(data: Any, key: str) -> Any:
    """The entry `key` of a mapping or list. Raises KeyError."""
    if isinstance(data, Mapping):
        return data[key]
    if isinstance(data, list) and re.fullmatch(r"\d+", key) and int(key) < len(data):
        return data[int(key)]
    raise KeyError(key)


def get(data: Any, path: str) -> Any:
    """The value at a path. Raises ConfigError, naming the nearest path, if nothing is there."""
    for depth, key in enumerate(keys := split(path)):
        try:
            data = item(data, key)
        except KeyError:
            raise ConfigError(_nothing(data, keys, depth), path) from None
    return data


def put(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `data` with `value` at `path`; mappings that lack are made, lists grow by one item at most.

    Raises:
        ConfigError: if a list has no such item, or something on the way is neither a mapping nor a list.
    """
    keys = split(path)
    if isinstance(keys[-1], Slice):
        raise ConfigError("a slice cannot be set; set its items", path)
    return _put(data, keys, 0, value)


def _put(data: Any, keys: Sequence[str], depth: int, value: Any) -> Any:
    if depth == len(keys):
        return value
    key, path = keys[depth], join(keys)
    if data is None:
        data = {}
    if isinstance(data, Mapping):
        if (quoted := _quoted(data, keys, depth)) is not None:
            raise ConfigError(f"names nothing; {quoted}", path)
        return {**data, str(key): _put(data.get(key), keys, depth + 1, value)}
    if isinstance(data, list):
        if not re.fullmatch(r"\d+", key) or int(key) > len(data):
            where = join(keys[:depth])
            raise ConfigError(f"{where} is {describe(data)}; its items are {where}.0 to {where}.{len(data) - 1}", path)
        index = int(key)
        changed = _put(data[index] if index < len(data) else None, keys, depth + 1, value)
        return [*data[:index], changed, *data[index + 1 :]]
    where = join(keys[:depth])
    raise ConfigError(f"{where} is {describe(data)}, which has no `{key}`; set {where} as a whole", path)


def leaves(data: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is neither a mapping nor a list of anything but numbers, with its path."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from leaves(value, child(above, key))
    elif isinstance(data, list) and any(isinstance(entry, (Mapping, list, str)) for entry in data):
        for index, value in enumerate(data):
            yield from leaves(value, child(above, index))
    else:
        yield above, data


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to `word`, or None if none is near."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5 if len(word) <= 3 else 0.6)
    if close:
        return close[0]
    folded = {k.lower().replace("-", "_"): k for k in known}
    return folded.get(word.lower().replace("-", "_"))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean epsilon?``, or the words that are known, or nothing."""
    known = sorted(set(known))
    close = nearest(word, known)
    if close is not None:
        return f"; did you mean {close}?"
    if not known:
        return ""
    shown = ", ".join(known[:15])
    return f"; known here: {shown}" + (", ..." if len(known) > 15 else "")


def _nothing(data: Any, keys: Sequence[str], depth: int) -> str:
    known = list(data) if isinstance(data, Mapping) else []
    known += [str(k) for k in range(len(data))] if isinstance(data, list) else []
    hint = _quoted(data, keys, depth) if isinstance(data, Mapping) else None
    return f"names nothing: no `{keys[depth]}`" + (f"; {hint}" if hint else did_you_mean(keys[depth], known))


def _quoted(data: Mapping[str, Any], keys: Sequence[str], depth: int) -> str | None:
    """What to write where the keys from `depth` on are one key of `data` that has dots, and should stand in quotes."""
    if depth == len(keys) - 1 or isinstance(data.get(keys[depth]), (Mapping, list)):
        return None
    found = (end for end in range(len(keys), depth + 1, -1) if ".".join(keys[depth:end]) in data)
    end = next(found, None)
    if end is None:
        return None
    whole = join([*keys[:depth], ".".join(keys[depth:end]), *keys[end:]])
    return f"a key with a dot stands in quotes: {whole}"
