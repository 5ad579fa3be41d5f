"""Paths: how a thing in a config is named everywhere. They are taken apart and put together here and nowhere else.

A path is a row of keys with dots between them, ``potentials.lj.sigma.C``. An item of a list is a key, too, counted from
zero: ``loss.0.target``, or ``loss[0].target``. A slice of an array stands last: ``system.positions[0:10]``.

**Quotes.** A key stands as it is where it is made of letters, digits, ``_`` and ``-``, and does not begin with ``-``:
names, items of lists, pairs of types (``sigma.A-B``), a type called ``1``; so does a leaf of a network (``0/weight``).
Every other key stands in brackets and double quotes, with the escapes of JSON: ``potentials.lj.sigma["C.2"]``,
``sigma["DNA-N*"]``, ``sigma["CALA/CB"]``. So `join` writes paths. `split` takes more: single quotes
(``sigma['C.2']``), and without quotes whatever holds no dot, bracket or double quote (``sigma.CALA/CB``).

**Globs.** In a key without quotes ``*`` stands for any letters and ``?`` for one, unless a key is called so exactly: an
exact key is tried before a glob. A key in quotes is nothing but itself.

**HDF5.** Keys are groups, ``potentials/lj/sigma/C``; `slashed`. In a key ``/`` is written ``%2F`` and ``%`` is ``%25``
(and a key that is a dot alone, which HDF5 takes for the group itself, ``%2E``), so that decoding the percent signs
gives the key again. A network's leaf has a slash of its own, which stays: ``potentials/nn/weights/0/weight``.
"""

from __future__ import annotations

import fnmatch
import functools
import itertools
import json
import re
from collections.abc import Iterable

from diffmd.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_LEAF = re.compile(r"[0-9]+/[a-z]+")
_QUOTED = r"""\["(?:[^"\\]|\\.)*"\]|\['[^']*'\]"""
_PART = re.compile(rf"""(?:^|(?<!^)\.)(?P<word>[^.\[\]"]+)|(?P<quoted>{_QUOTED})|\[(?P<index>[-0-9:, ]+)\]""")
_ASSIGNED = re.compile(rf"(?P<path>(?:{_QUOTED}|[^=])*+)=(?P<value>.*)", re.DOTALL)
_CACHED = 1 << 16


class Glob(str):
    """A key of a pattern that fits others than itself."""


class Slice(str):
    """A part of an array, ``[0:10]``: the last key of a path."""


@functools.lru_cache(maxsize=_CACHED)
def split(path: str) -> tuple[str, ...]:
    """The keys of a path: text, a `Glob` or, at the end, a `Slice`. ``a[3]`` is ``a.3``.

    Raises:
        ConfigError: if the path is empty, a key of it is, or a slice does not stand last.
    """
    keys: list[str] = []
    text, at = path.strip(), 0
    while at < len(text) or not keys:
        part = _PART.match(text, at)
        if part is None or (not keys and part["index"]) or (keys and isinstance(keys[-1], Slice)):
            raise _no_path(path)
        at = part.end()
        if part["word"]:
            keys.append(Glob(part["word"]) if "*" in part["word"] or "?" in part["word"] else part["word"])
        elif part["index"]:
            index = part["index"].replace(" ", "")
            keys.append(index if re.fullmatch(r"-?\d+", index) else Slice(f"[{index}]"))
        else:
            keys.append(_unquoted(part["quoted"][1:-1], path))
    return tuple(keys)


def _unquoted(text: str, path: str) -> str:
    try:
        key = str(json.loads(text)) if text[0] == '"' else text[1:-1]
    except ValueError:
        raise _no_path(path) from None
    if not key:
        raise _no_path(path)
    return key


def _no_path(path: str) -> ConfigError:
    return ConfigError(
        f"'{path}' is not a path such as potentials.lj.sigma, system.positions[0:10] or, with a key that is no name, "
        'potentials.lj.sigma["C.2"]'
    )


def child(path: str, key: object) -> str:
    """The path of `key` below `path`; below the empty path, that of `key` itself."""
    if isinstance(key, Slice):
        return path + key
    text = str(key)
    if isinstance(key, Glob) or _BARE.fullmatch(text) or _LEAF.fullmatch(text):
        return f"{path}.{text}" if path else text
    return f"{path}[{json.dumps(text, ensure_ascii=False)}]"


def join(keys: Iterable[object]) -> str:
    """The path of keys."""
    return functools.reduce(child, keys, "")


def parent(path: str) -> str:
    """The path without its last key; empty of a single key."""
    return join(split(path)[:-1])


def last(path: str) -> str:
    """The last key of a path."""
    return split(path)[-1]


def within(path: str, above: str) -> bool:
    """Whether `path` is `above` or lies below it; both as `join` writes them."""
    return path.startswith(above) and path[len(above) :][:1] in ("", ".", "[")


def below(path: str, above: str) -> str | None:
    """The path from `above` on, ``sigma.C`` of ``potentials.lj.sigma.C``; None where it does not lie below it."""
    rest = path[len(above) :]
    return rest.removeprefix(".") if rest and within(path, above) else None


def sliced(path: str) -> tuple[str, str | None]:
    """A path without the brackets at its end, and what is in them: ``0:10`` of a slice, ``3`` of a number; else None.

    Raises:
        ConfigError: as `split`.
    """
    keys = split(path)
    text = path.strip()
    if text.endswith("]") and text[-2] not in "\"'":
        stem, _, index = text[:-1].rpartition("[")
        return join(split(stem)), index.replace(" ", "")
    return join(keys), None


def assigned(text: str) -> tuple[str, str] | None:
    """Path and value of ``PATH=VALUE``, where a quoted key may hold ``=``; None if it is no such text."""
    match = _ASSIGNED.fullmatch(text)
    return (match["path"].strip(), match["value"]) if match and match["path"].strip() else None


def fitting(wanted: str, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that a key of a pattern names: the exact one, else all that a glob fits."""
    known = set(keys)
    if wanted in known:
        return {wanted}
    return {key for key in known if fnmatch.fnmatchcase(key, wanted)} if isinstance(wanted, Glob) else set()


def select(pattern: str, paths: Iterable[str]) -> list[str]:
    """The paths that are, or lie below, what `pattern` names; at each key an exact one is tried before a glob.

    Raises:
        ConfigError: as `split`.
    """
    wanted = split(pattern)
    found = [(path, keys) for path in paths if len(keys := split(path)) >= len(wanted)]
    for depth, key in enumerate(wanted):
        fit = fitting(key, (keys[depth] for _, keys in found))
        found = [(path, keys) for path, keys in found if keys[depth] in fit]
    return [path for path, _ in found]


def matches(pattern: str, path: str) -> bool:
    """Whether `path` is, or lies below, what `pattern` names."""
    return bool(select(pattern, [path]))


def meant(path: str, known: Iterable[str]) -> str | None:
    """The known path that `path` would be with its quotes: ``sigma["C.2"]`` of ``sigma.C.2``."""
    spelt = ".".join(split(path))
    return next((other for other in known if ".".join(split(other)) == spelt), None)


def group_name(key: str) -> str:
    """A key as the name of an HDF5 group or dataset."""
    name = key.replace("%", "%25").replace("/", "%2F")
    return "%2E" if name == "." else name


def slashed(path: str) -> str:
    """A path as HDF5 names it: ``potentials/lj/sigma/C``."""
    keys = split(path)
    end = keys[-1] if isinstance(keys[-1], Slice) else ""
    # Of a type that is called as a leaf is, ``sigma.0/weight``, the slash is encoded as any other.
    names = [
        key if _LEAF.fullmatch(key) and above == "weights" else group_name(key)
        for above, key in itertools.pairwise(("", *keys))
        if not isinstance(key, Slice)
    ]
    return "/".join(names) + end
