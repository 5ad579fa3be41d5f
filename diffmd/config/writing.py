"""Writing a config as YAML that a person can read and `load` takes back, number for number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmd.config.files import file_values, moved
from diffmd.config.paths import put
from diffmd.config.yaml_reader import read_text

WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./*-]*(?: [A-Za-z0-9_./*-]+)*")
_RESERVED = re.compile(r"null|true|false|yes|no|on|off|y|n|\.\.\.", re.IGNORECASE)
"""Words that this reader or another one would not take for text; dots alone end a document."""
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_text(data: Mapping[str, Any]) -> str:
    """YAML text of a resolved config. Floats keep every bit; what fits on a line is written on one."""
    return "\n".join(_block(data, 0)) + "\n"


def with_files(data: Mapping[str, Any], files: Mapping[str, Path | str]) -> dict[str, Any]:
    """`data` with other files: path in the config -> new file, such as the copy in a run's ``inputs/``."""
    changed = dict(data)
    values = dict(file_values(data))
    for path, file in files.items():
        changed = put(changed, path, moved(values[path], file))
    return changed


def _block(data: Mapping[str, Any], indent: int) -> list[str]:
    lines: list[str] = []
    for key, value in data.items():
        lines += _entry(f"{' ' * indent}{_scalar(str(key))}:", value, indent + 2)
    return lines


def _entry(head: str, value: Any, indent: int) -> list[str]:
    flow = _flow(value)
    top = indent == 2 and isinstance(value, dict) and any(isinstance(v, (dict, list)) for v in value.values())
    if len(head) + 1 + len(flow) <= WIDTH and not top:
        return [f"{head} {flow}"]
    if isinstance(value, Mapping):
        return [head, *_block(value, indent)]
    if isinstance(value, list):
        return [head, *(line for item in value for line in _item(item, indent))]
    return [f"{head} {flow}"]


def _item(value: Any, indent: int) -> list[str]:
    dash = f"{' ' * indent}- "
    flow = _flow(value)
    if len(dash) + len(flow) <= WIDTH or not isinstance(value, (Mapping, list)):
        return [dash + flow]
    if isinstance(value, Mapping):
        below = _block(value, indent + 2)
    else:
        below = [line for item in value for line in _item(item, indent + 2)]
    return [dash + below[0].lstrip(), *below[1:]]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and not _RESERVED.fullmatch(text) and _reads_back(text):
        return text
    return _UNPRINTABLE.sub(lambda letter: f"\\u{ord(letter.group()):04x}", json.dumps(text, ensure_ascii=False))


def _number(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _reads_back(text: str) -> bool:
    return read_text(text, "text").data == text
