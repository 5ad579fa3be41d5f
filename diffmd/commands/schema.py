"""`diffmd schema`: the JSON schema of a config, for editors."""

from __future__ import annotations

import json
from typing import Any

from diffmd.config.schema import Config


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12); each field's unit stands in its description and under ``unit``."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "diffmd config"
    _describe_units(schema)
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
