"""`diffmd schema`: the JSON schema of a config, for editors."""

from __future__ import annotations

import json
from typing import Any

from diffmd.config.conversion import takes_units
from diffmd.config.schema import Config
from diffmd.quantities import TEXT


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12); each field's unit stands in its description and under ``unit``.

    A number that has one may be a text such as ``3.4 A``.
    """
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "diffmd config"
    _describe_units(schema)
    _admit_units(schema, False)
    return schema


def schema() -> str:
    """The JSON schema as text."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _describe_units(node: Any) -> None:
    """Appends units to descriptions, where editors show them."""
    if isinstance(node, dict):
        unit = node.get("unit")
        if isinstance(unit, str) and unit != "1" and "description" in node:
            node["description"] = f"{node['description']} [{unit}]"
        for below in node.values():
            _describe_units(below)
    elif isinstance(node, list):
        for below in node:
            _describe_units(below)


def _admit_units(node: Any, measured: bool) -> None:
    """Lets numbers be texts where the field around them has a unit."""
    if isinstance(node, list):
        for below in node:
            _admit_units(below, measured)
    if not isinstance(node, dict):
        return
    for name, field in node.get("properties", {}).items():
        assert isinstance(field, dict), name
        _admit_units(field, takes_units(str(field.get("unit", "1"))))
    if measured and node.get("type") == "number":
        node |= {"type": ["number", "string"], "pattern": TEXT}
    for key in ("anyOf", "oneOf", "items", "additionalProperties", "patternProperties"):
        below = node.get(key)
        _admit_units(
            list(below.values()) if key == "patternProperties" and isinstance(below, dict) else below, measured
        )
    _admit_units(list(node.get("$defs", {}).values()), False)
