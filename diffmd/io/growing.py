"""HDF5 datasets that grow row by row together, and stay whole when the process is killed.

What makes that hold: every dataset is made up front (``maxshape=(None, ...)``, default libver), so that appending
changes little metadata; the key dataset (the step, the epoch) grows last, when the others are on the disk already.
Whatever the moment of a kill, the rows that the key counts are whole, and what is longer is cut off when the file is
opened again. Who cuts rows off opens the file anew before adding others: HDF5 forgets what was freed, and does not put
new rows where a reader of the old ones still looks. SWMR does not give this: a file killed under it does not open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from diffmd.io.files import read_errors
from diffmd.io.pending import PendingH5

# Small enough to rewrite at every flush, large enough that the index of chunks changes seldom.
_CHUNK_BYTES = 1 << 16
_CHUNK_ROWS = 256


def add_growing(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype | str) -> h5py.Dataset:
    """A dataset (0, *shape) in `group` that `GrowingTable` can append to. Empty rows, such as (0, 3), are allowed."""
    row = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    rows = int(np.clip(_CHUNK_BYTES // max(row, 1), 1, _CHUNK_ROWS))
    chunks = (rows, *(max(n, 1) for n in shape))
    # HDF5 allows no dimension of length zero with chunks larger than it, unless it may grow.
    limit = (None, *(n if n else None for n in shape))
    return group.create_dataset(name, shape=(0, *shape), maxshape=limit, dtype=dtype, chunks=chunks)


class GrowingTable:
    """Columns of one HDF5 file, open for writing, with the same number of rows.

    Args:
        store: the file.
        key: the name of the column that counts the rows: non-decreasing integers.
        columns: the names of the others.

    Columns that are longer than the shortest are cut (a kill between two commits leaves such).

    Raises:
        OutputError: a column is not there.
    """

    def __init__(self, store: PendingH5, key: str, columns: tuple[str, ...]) -> None:
        self._store = store
        with read_errors(store.path, "a file that this version of diffmd can continue"):
            self._key = store.file[key]
            self._columns = {name: store.file[name] for name in columns}
        self._cut(min(len(data) for data in self._datasets()))

    def __len__(self) -> int:
        return len(self._key)

    @property
    def last(self) -> int | None:
        """The key of the last row, or None where there is no row."""
        return int(self._key[-1]) if len(self) else None

    def append(self, keys: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Adds rows and hands them to the operating system.

        Args:
            keys: the rows' keys (rows,).
            values: for each column (rows, ...).

        Raises:
            OutputError: the disk is full, ...; the rows that were there before remain.
            ValueError: a column is missing, unknown or of another shape.
        """
        count, end = len(self), len(self) + len(keys)
        if set(values) != set(self._columns):
            raise ValueError(f"columns {sorted(values)} given, {sorted(self._columns)} expected")
        for name, data in self._columns.items():
            if values[name].shape != (len(keys), *data.shape[1:]):
                raise ValueError(f"{name}: shape {values[name].shape}, expected {(len(keys), *data.shape[1:])}")
        for name, data in self._columns.items():
            data.resize(end, axis=0)
            data[count:end] = values[name]
        self._store.commit()
        self._key.resize(end, axis=0)
        self._key[count:end] = keys
        self._store.commit(grown=self._key)

    def truncate(self, last: int) -> None:
        """Cuts off the rows whose key is larger than `last`; then open the file anew. Raises OutputError."""
        self._cut(int(np.searchsorted(self._key[:], last, side="right")))

    def _datasets(self) -> Iterator[h5py.Dataset]:
        yield self._key
        yield from self._columns.values()

    def _cut(self, count: int) -> None:
        if all(len(data) == count for data in self._datasets()):
            return
        # The key first: at no moment does it count rows that are gone.
        self._key.resize(count, axis=0)
        self._store.commit(shrunk=self._key)
        for data in self._columns.values():
            data.resize(count, axis=0)
        self._store.commit()
