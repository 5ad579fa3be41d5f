"""pydantic's errors in a user's words: the path in the file, what is wrong, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from diffmd.config.known import Known
from diffmd.config.paths import did_you_mean, item, nearest
from diffmd.config.yaml_reader import describe
from diffmd.errors import ConfigError
from diffmd.paths import join
from diffmd.spec import NAME

_MOST_PLACES = 3
_EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_NOTHING = {"none", "no", "off", "nothing"}


def translate(problem: ValidationError, data: Any, model: type[BaseModel]) -> list[ConfigError]:
    """One ConfigError for each thing that is wrong with `data`, which `model` refused."""
    known = Known(model)
    placed = [_Placed(error, data) for error in problem.errors(include_url=False)]
    errors = []
    for group in _by_union(placed):
        errors += _say(group, data, known)
    return errors


class _Placed:
    """An error with its path in the data; what pydantic put in between (tags, types of a union) is set apart."""

    def __init__(self, error: ErrorDetails, data: Any) -> None:
        self.error = error
        self.kind = error["type"]
        self.keys: list[str] = []
        self.branch: list[str] = []
        self.union_at: int | None = None
        loc = [part for part in error["loc"] if part != "[key]"]
        tagged: Any = None
        for position, part in enumerate(map(str, loc)):
            if data is not tagged and _is_tag(part, data):
                # It comes before the keys, one of which may have the same name: {kind: lattice, lattice: fcc}.
                tagged = data
                continue
            try:
                data = item(data, part)
            except KeyError:
                if position == len(loc) - 1 and self.kind == "missing":
                    self.keys.append(part)
                    continue
                self.branch.append(part)
                if self.union_at is None:
                    self.union_at = len(self.keys)
                continue
            self.keys.append(part)

    @property
    def path(self) -> str:
        return join(self.keys)

    @property
    def mismatch(self) -> bool:
        """Whether the union's member is of another type altogether."""
        return len(self.keys) == self.union_at and self.kind in (*_EXPECTED, "literal_error")


def _is_tag(part: str, data: Any) -> bool:
    """Whether `part` is the tag of a discriminated union, so that there is no other branch."""
    return isinstance(data, Mapping) and part in (data.get("kind"), data.get("method"))


def _by_union(placed: Iterable[_Placed]) -> Iterator[list[_Placed]]:
    """Errors one by one, but those of several branches of one union together."""
    groups: dict[str, list[_Placed]] = {}
    for number, error in enumerate(placed):
        key = f"{number}" if error.union_at is None else f"union {join(error.keys[: error.union_at])}"
        groups.setdefault(key, []).append(error)
    return iter(groups.values())


def _say(group: Sequence[_Placed], data: Any, known: Known) -> list[ConfigError]:
    if len(group) == 1 or group[0].union_at is None:
        return [_sentence(error, data, known) for error in group]
    fitting = [error for error in group if not error.mismatch]
    if fitting:
        # Of the members that the value could be, the one with the fewest complaints was meant.
        branches: dict[str, list[_Placed]] = {}
        for error in fitting:
            branches.setdefault(error.branch[0], []).append(error)
        return [_sentence(error, data, known) for error in min(branches.values(), key=len)]
    wanted: list[str] = []
    for error in group:
        member = _EXPECTED.get(error.kind) or str(error.error.get("ctx", {}).get("expected", ""))
        if member and member not in wanted:
            wanted.append(member)
    value, keys = group[0].error["input"], group[0].keys
    hint = _dotted_hint(value, keys, data, known) or _text_hint(value, known, data, keys)
    return [ConfigError(f"is {describe(value)}; write {_either(wanted)}{hint}", group[0].path)]


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _sentence(placed: _Placed, data: Any, known: Known) -> ConfigError:
    error, path = placed.error, placed.path
    value, context = error["input"], error.get("ctx", {})
    if placed.kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag(placed, context)
    if placed.kind == "extra_forbidden" and ":" in placed.keys[-1] and value is None:
        key, _, meant = placed.keys[-1].partition(":")
        return ConfigError(f"a colon and its value want a space between them: {key}: {meant}", path)
    if placed.kind == "extra_forbidden":
        names = known.keys(data, placed.keys[:-1])
        return ConfigError(f"unknown key{_belongs(placed, names, known.elsewhere(data, placed.keys[-1]))}", path)
    if placed.kind == "missing":
        return ConfigError(f"is missing{known.meaning(data, placed.keys)}", path)
    if placed.kind in _EXPECTED:
        hint = _number_hint(value) or _text_hint(value, known, data, placed.keys)
        return ConfigError(f"is {describe(value)}; write {_EXPECTED[placed.kind]}{hint}", path)
    if placed.kind == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"])) or [str(context["expected"])]
        return ConfigError(f"is {describe(value)}; write {_either(words)}{_close(value, words)}", path)
    if placed.kind == "string_pattern_mismatch":
        if context["pattern"] != f"^{NAME}$":
            return ConfigError(f"is {describe(value)}; write {known.meaning(data, placed.keys)[2:]}", path)
        return ConfigError(
            f"{describe(value)} is not a name: letters, digits, _ and -, beginning with a letter or _", path
        )
    if placed.kind in _LIMITS:
        return ConfigError(f"is {describe(value)}; {_LIMITS[placed.kind](context)}", path)
    if placed.kind == "value_error":
        return ConfigError(str(context["error"]), path)
    return ConfigError(f"is {describe(value)}: {error['msg'][:1].lower()}{error['msg'][1:]}", path)


def _belongs(placed: _Placed, names: Iterable[str], places: Sequence[str]) -> str:
    """``; it belongs at output.observables``, the name that was meant, or those that are known."""
    key = placed.keys[-1]
    own = [place for place in places if place.partition(" ")[0] == placed.path]
    if own:
        return f"; it belongs to another kind: {', '.join(own)}"
    near = nearest(key, names)
    if not places:
        return did_you_mean(key, names)
    belongs = f"`{key}` belongs at {_either(places[:_MOST_PLACES])}"
    return f"; did you mean {near}? ({belongs})" if near else f"; {belongs}"


_LIMITS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda c: f"must be more than {_short(c['gt'])}",
    "greater_than_equal": lambda c: f"must be at least {_short(c['ge'])}",
    "less_than": lambda c: f"must be less than {_short(c['lt'])}",
    "less_than_equal": lambda c: f"must be at most {_short(c['le'])}",
    "finite_number": lambda c: "must be a finite number",
    "too_short": lambda c: f"needs {c['min_length']} entries, has {c['actual_length']}",
    "too_long": lambda c: f"may have {c['max_length']} entries, has {c['actual_length']}",
    "string_too_short": lambda c: "must not be empty",
    "string_too_long": lambda c: f"may have {c['max_length']} letters",
}


def _short(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _tag(placed: _Placed, context: Mapping[str, Any]) -> ConfigError:
    discriminator = str(context["discriminator"]).strip("'")
    value = placed.error["input"]
    if placed.kind == "union_tag_not_found":
        return ConfigError(f"has no `{discriminator}`, which says what it is", placed.path)
    tags = re.findall(r"'([^']*)'", str(context["expected_tags"]))
    given = value.get(discriminator) if isinstance(value, Mapping) else context["tag"]
    path = join([*placed.keys, discriminator])
    close = _close(given, tags)
    return ConfigError(f"unknown {discriminator} {describe(given)}{close or '; write ' + _either(tags)}", path)


def _close(value: Any, words: Sequence[str]) -> str:
    """``; did you mean ...?`` if a word is near."""
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    return hint if "mean" in hint else ""


def _dotted_hint(value: Any, keys: Sequence[str], data: Any, known: Known) -> str:
    """What to write where a key of the user's own was taken apart at its dot, ``--set system.masses.C.2=12``."""
    if not isinstance(value, Mapping) or len(value) != 1 or known.keys(data, keys[:-1]):
        return ""
    return f"; a key with a dot stands in quotes: {join([*keys[:-1], f'{keys[-1]}.{next(iter(value))}'])}"


def _number_hint(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f", such as {int(value)}"
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d_]+([.,][\d_]+)?", value):
        return f", such as {value.replace('_', '').replace(',', '.')}"
    return ""


def _text_hint(value: Any, known: Known, data: Any, keys: Sequence[str]) -> str:
    """What a word or the name of a file was meant to say, where the config says it otherwise."""
    if not isinstance(value, str):
        return ""
    nodes = known.nodes(data, keys)
    if value.lower() in _NOTHING and any(node.get("type") == "null" for node in nodes):
        return ", or null for none"
    files = any(node.get("properties", {}).get("kind", {}).get("const") == "file" for node in nodes)
    return f"; a file is {{kind: file, path: {value}}}" if files and re.search(r"\.\w+$", value) else ""
