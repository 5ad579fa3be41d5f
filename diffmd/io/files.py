"""Writing so that a reader never sees half a file, and failures told in a sentence."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from diffmd.errors import OutputError
from diffmd.io.values import plain

_REASONS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this system allows",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.EIO: "the device reported an input/output error",
    errno.ESTALE: "the network file system lost it",
}
_HDF5_ERRNO = re.compile(r"errno = (\d+)")


def reason(error: Exception) -> str:
    """Why a file operation failed, in words, from an OSError or one of h5py's errors (which hide errno in the text)."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _HDF5_ERRNO.search(str(error))):
        number = int(match.group(1))
    if number is None:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return _REASONS.get(number, os.strerror(number).lower())


@contextlib.contextmanager
def output_errors(path: Path, doing: str = "write") -> Iterator[None]:
    """Turns failures of the operating system or of HDF5 inside the block into `OutputError` naming `path`."""
    try:
        yield
    # h5py raises RuntimeError where HDF5 fails at something that is not a read or a write.
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot {doing} {path}: {reason(error)}") from error


@contextlib.contextmanager
def read_errors(path: Path, what: str) -> Iterator[None]:
    """Turns any failure to read the file `path` inside the block into `OutputError`; `what` names what it should be."""
    try:
        yield
    except FileNotFoundError as error:
        raise OutputError(f"cannot read {path}: there is no such file") from error
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise OutputError(f"cannot read {path}: it is not {what}, or it is damaged ({reason(error)})") from error


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a temporary path in the same folder, which replaces `path` in one step when the block ends well.

    Args:
        path: the file to be made or replaced.
        durable: also force the bytes to the device (fsync), so that they survive a power failure.

    Raises:
        OutputError: the disk is full, permission is denied, ...; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:
                _synchronise(temporary)
            os.replace(temporary, path)
            if durable:
                _synchronise(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def renaming(path: Path) -> Iterator[Path]:
    """As `replacing`, around a block that does more than write: its own errors pass as they are."""
    part = path.with_name(f".{path.name}")
    try:
        yield part
        with output_errors(path):
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing_h5(path: Path, *, durable: bool = False) -> Iterator[h5py.File]:
    """A new HDF5 file that replaces `path` in one step when the block ends well. Raises OutputError as `replacing`."""
    # Made in memory: HDF5 crashes the process when a write fails (see `diffmd.io.pending`).
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content.getbuffer())


@contextlib.contextmanager
def reading_h5(path: Path, what: str) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading, also while a run still writes it. Raises OutputError as `read_errors`."""
    with read_errors(path, what):
        if not path.exists():
            raise FileNotFoundError(path)
        with h5py.File(path, "r") as file:
            yield file


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes a whole text file in one step. Raises OutputError."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def link(path: Path, name: str) -> None:
    """Makes `path` a symbolic link, in one step, to the file `name` of the same folder. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)


def write_new(path: Path, text: str, *, overwrite: bool) -> bool:
    """Writes a text file unless there is one already and `overwrite` is false; whether it did. Raises OutputError."""
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("w" if overwrite else "x", encoding="utf-8") as out:
                out.write(text)
        except FileExistsError:
            return False
    return True


def holds(path: Path, text: str) -> bool:
    """Whether `path` is a file with just this text. Raises OutputError where it cannot be read."""
    with output_errors(path, "read"):
        return path.is_file() and path.read_bytes() == text.encode()


def write_json(path: Path, value: Any) -> None:
    """Writes `plain(value)` as an indented JSON file in one step. Raises OutputError."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OutputError where it is missing or no JSON."""
    with read_errors(path, "a JSON file"):
        return json.loads(path.read_text(encoding="utf-8"))


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
