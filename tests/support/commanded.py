"""Commands run in this process, and what their files hold."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from diffmd.commands.run.request import Request

TIMES = {"wall_s"}


class Listener:
    """Keeps what is said, and asks to stop once `after` things are done."""

    def __init__(self, after: int | None = None, code: int = 143) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.done = 0
        self._after, self._code = after, code

    def start(self, total: int, unit: str, label: str) -> None: ...

    def advance(self, n: int, note: str = "") -> None:
        self.done += n

    def message(self, text: str) -> None:
        self.said.append(text)

    def warning(self, text: str) -> None:
        self.warned.append(text)

    def finish(self) -> None: ...

    def stop_code(self) -> int | None:
        return self._code if self._after is not None and self.done >= self._after else None


def written(folder: Path, data: dict[str, Any], name: str = "small.yaml") -> Path:
    """A config file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump(copy.deepcopy(data)))
    return path


def request(config: Path | None, output: Path, *overrides: str, resume: bool = False, **more: Any) -> Request:
    """What a command is asked."""
    return Request(config, overrides, output=output, resume=resume, **more)


def contents(path: Path) -> dict[str, Any]:
    """Every dataset of an HDF5 file, and every attribute, but times."""
    found: dict[str, Any] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = np.asarray(value).tolist() if not isinstance(value, h5py.Reference) else None
        if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] not in TIMES:
            value = item[()]
            found[name] = (np.shape(value), np.asarray(value).tobytes())

    with h5py.File(path) as file:
        file.visititems(collect)
    return found


def same(first: Path, second: Path) -> None:
    """Asserts that two HDF5 files hold the same, bit for bit."""
    one, two = contents(first), contents(second)
    assert one.keys() == two.keys()
    differing = [name for name in one if one[name] != two[name]]
    assert not differing, differing
