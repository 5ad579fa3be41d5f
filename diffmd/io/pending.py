"""HDF5 files open for writing whose bytes reach the disk only when `commit` is called.

HDF5 writes when it likes (a full cache, a flush in address order), cannot bear a failed write (the process crashes as
it tidies up), and a kill in the middle leaves whatever was written so far. So it writes to memory here, and `commit`
takes the changes to the file: first what extends it, then the superblock, which knows the new end, then the other pages
that change. A full disk is met in the first part, is undone, and leaves the file as the last commit left it.

A kill can come between two of those pages. What must not be seen before the rest, or after it, is the length of the
dataset that counts the others, so the page where it stands is written last when it grows and first when it shrinks.
An index of chunks must not be cut in two either: everything of its size begins on a page of its own.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import h5py

from diffmd.io.files import output_errors

# The kernel copies a page at a time, so a kill does not cut one in two.
_PAGE = 4096
# HDF5's index of chunks, for datasets of up to four dimensions, is longer than this and shorter than a page.
_ALIGNED = 2048
# Where a dataset's length stands behind the address of its header: after the header's prefix, the head of the first
# message and the head of the dataspace (HDF5 File Format Specification 3.0, IV.A.1.a and IV.A.2.b).
_LENGTH = 16 + 8 + 8


class _PendingFile(io.RawIOBase):
    """A file-like object that reads through to a file and keeps what is written until `commit`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDWR)
        self._committed = self._size = os.fstat(self._descriptor).st_size
        self._at = 0
        self._pages: dict[int, bytearray] = {}

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        return self._size

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # the buffer protocol has no type before 3.12
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        self._read_file(view[:count], self._at)
        for page, inside, start, stop in _pieces(self._at, count):
            if page in self._pages:
                view[start:stop] = self._pages[page][inside : inside + stop - start]
        self._at += count
        return count

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        view = memoryview(data).cast("B")
        for page, inside, start, stop in _pieces(self._at, len(view)):
            if page not in self._pages:
                self._pages[page] = bytearray(_PAGE)
                if stop - start < _PAGE:
                    self._read_file(memoryview(self._pages[page]), page * _PAGE)
            self._pages[page][inside : inside + stop - start] = view[start:stop]
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def commit(self, first: int | None = None, last: int | None = None) -> None:
        """Takes the changes to the file. Raises OSError; the file is then as it was, the changes still pending.

        Args:
            first: among the old pages that change, the one with this address is written before the others.
            last: the one with this address is written after them.
        """
        first_new = -(-self._committed // _PAGE)
        new = sorted(page for page in self._pages if page >= first_new)
        old = sorted(page for page in self._pages if page < first_new)
        try:
            for run in _runs(new):
                self._write_pages(run)
            # What grows inside the page with the old end, or was never written.
            if self._size > os.fstat(self._descriptor).st_size:
                os.ftruncate(self._descriptor, self._size)
        except OSError:
            os.ftruncate(self._descriptor, self._committed)
            raise
        # The page with the old end early: the superblock, on page 0, is about to count what it gains.
        ranks = {first_new - 1: -1} | {at // _PAGE: rank for at, rank in ((first, -2), (last, 1)) if at is not None}
        old.sort(key=lambda page: (ranks.get(page, 0), page))
        for _, group in itertools.groupby(old, lambda page: ranks.get(page, 0)):
            for run in _runs(list(group)):
                self._write_pages(run)
        self._committed = self._size
        os.ftruncate(self._descriptor, self._size)
        self._pages.clear()

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _read_file(self, view: memoryview, at: int) -> None:
        count = 0
        while count < len(view):
            data = os.pread(self._descriptor, len(view) - count, at + count)
            if not data:
                view[count:] = bytes(len(view) - count)
                break
            view[count : count + len(data)] = data
            count += len(data)

    def _write_pages(self, pages: list[int]) -> None:
        at = pages[0] * _PAGE
        data = memoryview(b"".join(self._pages[page] for page in pages))[: max(0, self._size - at)]
        while data:
            count = os.pwrite(self._descriptor, data, at)
            data, at = data[count:], at + count


def _pieces(at: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """The pages that [at, at + count) touches: page, offset inside it, and the piece's start and stop in the range."""
    start = 0
    while start < count:
        page, inside = divmod(at + start, _PAGE)
        stop = min(count, start + _PAGE - inside)
        yield page, inside, start, stop
        start = stop


def _length_address(data: h5py.Dataset | None) -> int | None:
    return None if data is None else h5py.h5o.get_info(data.id).addr + _LENGTH


def _runs(pages: list[int]) -> Iterator[list[int]]:
    """Consecutive numbers together."""
    for _, run in itertools.groupby(enumerate(pages), lambda pair: pair[1] - pair[0]):
        yield [page for _, page in run]


class PendingH5:
    """An HDF5 file open for reading and writing; a context manager.

    Attributes:
        path: where it is.
        file: the open file.

    Raises:
        OutputError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with output_errors(path, "open"):
            self._pending = _PendingFile(path)
            try:
                self.file = h5py.File(self._pending, "r+", alignment_threshold=_ALIGNED, alignment_interval=_PAGE)
            except BaseException:
                self._pending.close()
                raise

    def commit(self, grown: h5py.Dataset | None = None, shrunk: h5py.Dataset | None = None) -> None:
        """Takes all changes to the disk.

        Args:
            grown: a dataset whose new length is to be seen after everything else.
            shrunk: a dataset whose new length is to be seen before everything else.

        Raises:
            OutputError: the disk is full, ...; the file is then as the last commit left it.
        """
        self.file.flush()
        with output_errors(self.path):
            self._pending.commit(first=_length_address(shrunk), last=_length_address(grown))

    def close(self) -> None:
        """Closes the file; changes that were not committed are dropped."""
        self.file.close()
        self._pending.close()

    def __enter__(self) -> PendingH5:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
