"""Reading YAML text by the rules of YAML 1.2's core schema, with the line of every value.

PyYAML follows YAML 1.1: it reads ``1e-3`` as a string, ``NO`` as false, ``12:30`` as 750 and ``010`` as 8, and lets a
second key of one name win in silence. Here numbers, booleans (``true``, ``false``) and null are those of YAML 1.2, and
duplicate keys, tags, merge keys, deep nesting and aliases that multiply are refused with their line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from diffmd.errors import ConfigError
from diffmd.paths import child

MAX_BYTES = 4_000_000
MAX_DEPTH = 40
MAX_VALUES = 500_000

_CORE = "tag:yaml.org,2002:"
_DECIMALS = re.compile(r"[0-9]+([eEdD][-+]?[0-9]+)?( |\Z)")
"""Begins what follows a decimal comma, which YAML takes for a key of its own: ``{dt: 0,002}``."""


class CoreLoader(yaml.SafeLoader):
    """Composes nodes with YAML 1.2 core tags; values are made from the nodes by `read_text`, never by PyYAML."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own interface
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Composes one node, counting how deep it lies."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _resolver(tag: str, pattern: str, first: str) -> None:
    CoreLoader.add_implicit_resolver(_CORE + tag, re.compile(rf"(?:{pattern})\Z"), list(first))


_resolver("null", r"~|null|Null|NULL|", "~nN")
CoreLoader.yaml_implicit_resolvers.setdefault("", []).append((_CORE + "null", re.compile(r"\Z")))
_resolver("bool", r"true|True|TRUE|false|False|FALSE", "tTfF")
_resolver("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolver(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?(?:\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
    "-+.0123456789",
)


@dataclasses.dataclass(frozen=True)
class Document:
    """A YAML document.

    Attributes:
        data: dicts with string keys, lists, numbers, strings, booleans and None.
        marks: path -> (line, column), counted from one; of a key where there is one, else of the value.
    """

    data: Any
    marks: Mapping[str, tuple[int, int]]


def read_file(path: Path) -> Document:
    """The document in a file. Raises ConfigError, with file and line, for anything that is not a YAML mapping."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the YAML file in it")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `diffmd init` writes a config to start from") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB; is it a config? "
            "Coordinates go into a structure file: {kind: file, path: ...}"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw[: problem.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save the config as UTF-8") from None
    document = read_text(text, str(path))
    if document.data is None:
        raise ConfigError(f"{path}: is empty; `diffmd init` writes a config to start from")
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}:1: a config is a mapping of keys such as `system:`, not {describe(document.data)}")
    return document


def read_text(text: str, source: str) -> Document:
    """The document in a text; `source` names it in errors. Raises ConfigError with the line."""
    try:
        loader = CoreLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: {_explain(problem, text)}") from None
    except yaml.reader.ReaderError as problem:
        line = text[: problem.position].count("\n") + 1
        raise ConfigError(
            f"{source}:{line}: holds the unprintable character #x{problem.character:04x}; a config is plain text"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError, IndexError) as problem:
        raise ConfigError(f"{source}: is not YAML: {problem}") from None
    if node is None:
        return Document(None, {})
    maker = _Maker(source)
    maker.measure(node, {})
    return Document(maker.make(node, "", ()), maker.marks)


def read_value(text: str) -> Any:
    """A value as it would be read in a config; raises ConfigError."""
    return read_text(text, "value").data


def describe(value: Any) -> str:
    """What a value is, in few words, for errors."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _explain(problem: yaml.MarkedYAMLError, text: str) -> str:
    said = problem.problem or problem.context or "is not YAML"
    lines, mark = text.splitlines(), problem.problem_mark
    if mark and mark.line < len(lines) and re.search(r"\w\[-?\d*:?-?\d*\]", lines[mark.line]):
        return 'a path with a slice must be quoted in a list in brackets: ["system.positions[0:10]"]'
    if mark and mark.line < len(lines) and re.search(r"""\w\[["'].+?["']\]""", lines[mark.line]):
        return "a path with a quoted key must itself be quoted in brackets: ['potentials.lj.sigma[\"C.2\"]']"
    if "\\t" in said:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "mapping values are not allowed" in said:
        return "a second `:` on the line, or wrong indentation; quote a text that holds `: `"
    if "expected a single document" in (problem.context or ""):
        return "a second document starts here (`---`); a config is one document"
    context = f" ({problem.context})" if problem.context else ""
    return f"is not YAML: {said}{context}; check indentation, brackets and quotes here"


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and node.style is None


class _Maker:
    """Makes values from nodes, remembering where each stood."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.marks: dict[str, tuple[int, int]] = {}

    def fail(self, node: yaml.Node, message: str) -> ConfigError:
        return ConfigError(f"{self.source}:{node.start_mark.line + 1}: {message}")

    def mark(self, path: str, node: yaml.Node) -> None:
        self.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))

    def measure(self, node: yaml.Node, known: dict[int, int]) -> int:
        """How many values a node becomes, aliases written out; each node is looked at once. Raises ConfigError at the
        first that becomes too many."""
        if id(node) not in known:
            # Of an alias that holds itself `make` tells.
            known[id(node)] = 0
            inside: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                inside = [value for _, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                inside = node.value
            known[id(node)] = 1 + sum(self.measure(one, known) for one in inside)
        if known[id(node)] > MAX_VALUES:
            raise self.fail(node, f"aliases expand to more than {MAX_VALUES} values; write less of them")
        return known[id(node)]

    def make(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> Any:
        if id(node) in above or len(above) > MAX_DEPTH:
            raise self.fail(node, "an alias holds itself; write the values out")
        self.mark(path, node)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            if node.tag != _CORE + "seq":
                raise self.fail(node, f"the tag {node.tag} is not taken; write plain YAML")
            inside = (*above, id(node))
            return [self.make(item, child(path, k), inside) for k, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, path: str, above: tuple[int, ...]) -> dict[str, Any]:
        if node.tag != _CORE + "map":
            raise self.fail(node, f"the tag {node.tag} is not taken; write plain YAML")
        lines: dict[str, int] = {}
        made: dict[str, Any] = {}
        before: tuple[str, str] | None = None
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise self.fail(key_node, "a key must be a word")
            key, line = key_node.value, key_node.start_mark.line + 1
            if not key.isprintable():
                raise self.fail(key_node, f"the key {key!a} holds unprintable characters")
            if before is not None and node.flow_style and _DECIMALS.match(key) and _empty(value_node):
                number = f"{before[1]}.{key}"
                raise self.fail(key_node, f"{child(path, before[0])}: a decimal comma; write {number}")
            if key == "<<":
                raise self.fail(key_node, "merge keys (`<<`) are not YAML 1.2; write the keys out")
            if key in lines:
                raise self.fail(
                    key_node, f"{child(path, key)}: stands twice, on lines {lines[key]} and {line}; keep one"
                )
            lines[key] = line
            below = child(path, key)
            self.mark(below, key_node)
            made[key] = self.make(value_node, below, above)
            whole = isinstance(value_node, yaml.ScalarNode) and value_node.tag == _CORE + "int"
            before = (key, value_node.value) if whole else None
        return made

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text, tag = node.value, node.tag.removeprefix(_CORE)
        try:
            if tag == "str":
                # An escape can spell half a surrogate pair, which no terminal or file could show.
                return text.encode().decode()
            if tag == "null":
                return None
            if tag == "bool":
                return {"true": True, "false": False}[text.lower()]
            if tag == "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if tag == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            raise self.fail(node, f"{describe(text)} cannot be read as {tag}") from None
        raise self.fail(node, f"the tag {node.tag} is not taken; write plain YAML")
