"""Arrays by path in HDF5: a dataset a path, or one for all entries of a field that has many.

``potentials.lj.sigma.C`` under ``gradients`` is the dataset ``/gradients/potentials/lj/sigma/C`` (see `diffmd.paths`
for keys with slashes). Where a field has more than 64 entries that are numbers, such as sigma of each of many types,
they are one dataset, ``/gradients/potentials/lj/sigma`` (..., entries). Its attribute ``names`` is the name of another,
``/names/gradients/potentials/lj/sigma`` (entries,), which holds their keys in the same order. The attribute ``path`` of
each dataset is its path in the config: of one with names, that of the field. Values that have a unit bear it as the
attribute ``unit``: angles are radians.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from diffmd.io.values import Number, dataset_name
from diffmd.paths import child, join, last, parent, split

MANY = 64
"""A field of more entries than this is one dataset."""
_NAMES = "names"


@dataclasses.dataclass(frozen=True)
class Column:
    """What one dataset holds.

    Attributes:
        path: of the array in the config, or of the field whose entries they are.
        names: the keys of the entries, the last axis of the dataset; None of an array by itself.
    """

    path: str
    names: tuple[str, ...] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of each entry, or the only one."""
        return (self.path,) if self.names is None else tuple(child(self.path, name) for name in self.names)

    def packed(self, values: Mapping[str, Any]) -> np.ndarray:
        """The values of its paths as the dataset has them."""
        if self.names is None:
            return np.asarray(values[self.path])
        return np.stack([np.asarray(values[path]) for path in self.paths], axis=-1)

    def unpacked(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """The reverse of `packed`; axes in front, such as one of epochs, stay."""
        if self.names is None:
            return {self.path: array}
        return {path: array[..., place] for place, path in enumerate(self.paths)}


def columns(values: Mapping[str, Number]) -> list[Column]:
    """The datasets that hold `values`, in their order."""
    fields: dict[str, list[str]] = {}
    groups: set[str] = set()
    for path, value in values.items():
        field, key = parent(path), last(path)
        # Of ``theta0[0]`` the last key is a number, too, but its path is another than an entry's.
        entry = np.ndim(value) == 0 and child(field, key) == path and field not in values
        if entry:
            fields.setdefault(field, []).append(path)
        # Above what stays a dataset of its own, such as one type's mass of each atom, HDF5 wants groups.
        groups.update(_above(field if entry else path))
    many = {
        path: field for field, paths in fields.items() if len(paths) > MANY and field not in groups for path in paths
    }
    found: dict[str, Column] = {}
    for path in values:
        name = many.get(path, path)
        if name not in found:
            found[name] = Column(name, tuple(map(last, fields[name])) if path in many else None)
    return list(found.values())


def _above(path: str) -> list[str]:
    """The paths above a path, and the empty one."""
    keys = split(path) if path else ()
    return [join(keys[:depth]) for depth in range(max(len(keys), 1))]


def describe_column(file: h5py.File, group: str, column: Column, units: Mapping[str, str]) -> None:
    """Says of the dataset of a column, which is there, what it holds, and in which of the `units` by path."""
    data = file[dataset_name(group, column.path)]
    data.attrs["path"] = column.path
    if column.paths[0] in units:
        data.attrs["unit"] = units[column.paths[0]]
    if column.names is not None:
        name = dataset_name(f"{_NAMES}/{group}", column.path)
        file.create_dataset(name, data=list(column.names), dtype=h5py.string_dtype())
        data.attrs[_NAMES] = name


def stored_columns(file: h5py.File, group: str) -> list[Column]:
    """The columns under `group` of a file, in the order of their names; none where there is no such group."""
    found: list[Column] = []

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            names = file[item.attrs[_NAMES]].asstr()[()].tolist() if _NAMES in item.attrs else None
            found.append(Column(item.attrs["path"], None if names is None else tuple(names)))

    if group in file:
        file[group].visititems(collect)
    return found


def write_paths(
    file: h5py.File, group: str, values: Mapping[str, Number], units: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Puts path -> array under `group`; `units` are those of the paths that have one."""
    file.require_group(group)
    for column in columns(values):
        file[dataset_name(group, column.path)] = column.packed(values)
        describe_column(file, group, column, units)


def read_paths(file: h5py.File, group: str, rows: slice | None = None) -> dict[str, np.ndarray]:
    """What lies under `group`, by path; of tables that grow, only those `rows`."""
    found: dict[str, np.ndarray] = {}
    for column in stored_columns(file, group):
        data = file[dataset_name(group, column.path)]
        found |= column.unpacked(np.asarray(data[() if rows is None else rows]))
    return found


def read_units(file: h5py.File, group: str) -> dict[str, str]:
    """Path -> unit of the arrays under `group` that have one."""
    units: dict[str, str] = {}
    for column in stored_columns(file, group):
        unit = file[dataset_name(group, column.path)].attrs.get("unit")
        units |= {} if unit is None else dict.fromkeys(column.paths, str(unit))
    return units
