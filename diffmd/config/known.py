"""What the schema knows of a config's keys: which there are, what they mean, in which unit, and where each stands."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from diffmd.config.paths import item
from diffmd.paths import join

Node = dict[str, Any]
"""A part of a JSON schema."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in a config.

    Attributes:
        nodes: the schemas that what stands there may have, given the kinds that the data choose.
        unit: dimension of the numbers there, such as ``length``: of the field, or of the one around them.
    """

    nodes: tuple[Node, ...]
    unit: str

    @property
    def numeric(self) -> bool:
        """Whether a number may stand there."""
        return any(node.get("type") in ("number", "integer") for node in self.nodes)

    @property
    def whole(self) -> bool:
        """Whether every number there is a whole one."""
        return not any(node.get("type") == "number" for node in self.nodes)

    def admits(self, text: str) -> bool:
        """Whether a text may stand there, such as ``auto``."""
        return any(
            node.get("type") == "string" and text in node.get("enum", [node.get("const", text)]) for node in self.nodes
        )


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field of the schema.

    Attributes:
        path: its keys.
        fit: 2 where the data have the section around it, of a kind that has the field; 1 where they have no such
            section; 0 where theirs is of another kind.
        kind: the kind that has it; empty where all do.
    """

    path: tuple[str, ...]
    fit: int
    kind: str


def entries(data: Any) -> list[tuple[str, Any]]:
    """The entries of a mapping or a list by their keys; of anything else, none."""
    if isinstance(data, Mapping):
        return list(data.items())
    return [(str(number), value) for number, value in enumerate(data)] if isinstance(data, list) else []


class Known:
    """What the JSON schema of a model knows at each place."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    @property
    def schema(self) -> Node:
        """The JSON schema, without defaults."""
        return _schema_of(self._model)

    def root(self, data: Any) -> Place:
        """The config as a whole."""
        return Place(tuple(self._members(self.schema, data)), "1")

    def below(self, place: Place, key: str, data: Any) -> Place:
        """The place of the entry `key`, where `data` stand."""
        fields = [node.get("properties", {}).get(key) for node in place.nodes]
        found = [field for field in fields if field is not None]
        units = {str(field.get("unit", "1")) for field in found}
        # Several kinds may have a field of this name, where the data choose none.
        unit = place.unit if not units else units.pop() if len(units) == 1 else "1"
        for node, field in zip(place.nodes, fields, strict=True):
            if field is None:
                named = node.get("patternProperties", {}).values()
                found += [node.get("additionalProperties"), node.get("items"), *named]
        members = [member for node in found if isinstance(node, dict) for member in self._members(node, data)]
        return Place(tuple(members), unit)

    def place(self, data: Any, path: Sequence[str]) -> Place:
        """The place at a path. Raises KeyError where the data have nothing there."""
        place = self.root(data)
        for key in path:
            data = item(data, key)
            place = self.below(place, key, data)
        return place

    def nodes(self, data: Any, path: Sequence[str]) -> list[Node]:
        """The schemas at a path. Raises KeyError where the data have nothing there."""
        return list(self.place(data, path).nodes)

    def keys(self, data: Any, path: Sequence[str]) -> set[str]:
        """The keys that a mapping at `path` may have."""
        return {key for node in self.nodes(data, path) for key in node.get("properties", {})}

    def meaning(self, data: Any, path: Sequence[str]) -> str:
        """``: Mass of each atom (mass)``, from the field's description and unit."""
        for node in self.nodes(data, path[:-1]):
            field = node.get("properties", {}).get(path[-1], {})
            if "description" in field:
                unit = field.get("unit", "1")
                return f": {field['description'].rstrip('., ')}" + (f" [{unit}]" if unit != "1" else "")
        return ""

    def elsewhere(self, data: Any, key: str) -> list[str]:
        """Where the fields called `key` stand, those nearest to the top: ``output.observables``.

        Of those in sections that the data have, else in sections that they lack, else of another kind, which is named.
        User's names stand as NAME, numbers of lists as N, where the data have none.
        """
        found: dict[tuple[str, ...], _Field] = {}
        for field in self._fields(self.schema, data, True, (), ()):
            if field.path[-1] == key and (field.path not in found or field.fit > found[field.path].fit):
                found[field.path] = field
        least = min(map(len, found), default=0)
        nearest = [field for path, field in found.items() if len(path) == least]
        best = max((field.fit for field in nearest), default=0)
        return [
            join(field.path) + (f" (kind: {field.kind})" if best == 0 and field.kind else "")
            for field in nearest
            if field.fit == best
        ]

    def _fields(
        self, node: Node, data: Any, fits: bool, path: tuple[str, ...], above: tuple[str, ...]
    ) -> Iterator[_Field]:
        if "$ref" in node:
            name = node["$ref"]
            if name not in above:
                yield from self._fields(self._definition(name), data, fits, path, (*above, name))
            return
        chosen = self._chosen(node, data)
        for member in (*node.get("anyOf", []), *node.get("oneOf", [])):
            fitting = fits and (chosen is None or member.get("$ref") == chosen)
            yield from self._fields(member, data, fitting, path, above)
        kind = str(node.get("properties", {}).get("kind", {}).get("const", ""))
        for key, field in node.get("properties", {}).items():
            yield _Field((*path, key), fits + (fits and isinstance(data, Mapping)), kind)
            yield from self._fields(field, dict(entries(data)).get(key), fits, (*path, key), above)
        named = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        for stands, inside in (("NAME", named), ("N", [node.get("items")])):
            for below in inside:
                if isinstance(below, dict):
                    for key, value in entries(data) or [(stands, None)]:
                        yield from self._fields(below, value, fits, (*path, key), above)

    def _members(self, node: Node, data: Any) -> list[Node]:
        """The schemas that `node` may stand for, given the data's kind where it has one."""
        if "$ref" in node:
            return self._members(self._definition(node["$ref"]), data)
        chosen = self._chosen(node, data)
        if chosen is not None:
            return self._members(self._definition(chosen), data)
        several = [*node.get("anyOf", []), *node.get("oneOf", [])]
        return [found for member in several for found in self._members(member, data)] or [node]

    def _chosen(self, node: Node, data: Any) -> str | None:
        """The reference of the member of a union that the data's kind chooses."""
        discriminator = node.get("discriminator")
        if not discriminator or not isinstance(data, Mapping):
            return None
        chosen: str | None = discriminator["mapping"].get(str(data.get(discriminator["propertyName"])))
        return chosen

    def _definition(self, reference: str) -> Node:
        definition: Node = self.schema["$defs"][reference.rsplit("/", 1)[-1]]
        return definition


class _Structure(GenerateJsonSchema):
    """The schema without defaults, in no order: writing these takes longer than all the rest."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """That of the value itself."""
        return self.generate_inner(schema["schema"])

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """As it is."""
        return value


@functools.cache
def _schema_of(model: type[BaseModel]) -> Node:
    return model.model_json_schema(schema_generator=_Structure)
