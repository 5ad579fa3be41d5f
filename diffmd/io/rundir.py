"""The directory of a run: who may write into it, and the files that say what the run was.

A directory with anything in it is never touched without `overwrite` or `resume`. `overwrite` removes diffmd's own
files, by name, and no other. A lock refuses two writers; the kernel releases it when its holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from diffmd.errors import ConfigError, OutputError
from diffmd.io.copies import copies_of
from diffmd.io.files import output_errors, read_json, reason, sha256, write_json, write_text
from diffmd.io.pictures import MANIFEST, PLOTS, own_pictures
from diffmd.io.trajectory import count_frames
from diffmd.io.versions import versions

Status = Literal["running", "finished", "failed", "interrupted"]

CONFIG, RUN, LOG, LOCK = "config.yaml", "run.json", "run.log", ".lock"
INPUTS, CHECKPOINTS = "inputs", "checkpoints"
CHECKPOINT, EQUILIBRATED = f"{CHECKPOINTS}/checkpoint.h5", f"{CHECKPOINTS}/equilibrated.h5"
TRAJECTORY, TRAJECTORY_FIRST = "trajectory.h5md", "trajectory_first.h5md"
BEST, FINAL = "best.yaml", "final.yaml"
_RESULTS = ("gradients.h5", "metrics.jsonl", "learned.h5", "scan.h5", "gradcheck.json")
_OWN = (
    *(CONFIG, RUN, LOG, TRAJECTORY, TRAJECTORY_FIRST, BEST, FINAL),
    *("gradients.h5", "training.h5", "metrics.jsonl", "weights.h5", "learned.h5", "scan.h5", "scan.csv"),
    "gradcheck.json",
)


class RunDirectory:
    """A run directory held for writing; a context manager, made by `open`.

    Until `begin` nothing is written and nothing removed: a run that is refused before leaves the one that is there.

    Attributes:
        path: the directory.
        resumed: whether a run was there and is to be continued.
        replaces: whether a run that was there goes unasked, since it ended before its first checkpoint.
        begun: whether `begin` was called.
    """

    def __init__(self, path: Path, lock: int, *, resumed: bool, overwrite: bool, replaces: bool = False) -> None:
        """Prefer `open`."""
        self.path = path
        self.resumed = resumed
        self.replaces = replaces
        self.begun = False
        self._overwrite = overwrite or replaces
        self._early: list[str] = []
        self._lock = lock
        self._record: dict[str, Any] = read_run(path) if resumed or _is_record(path / RUN) else {}
        self._previous_wall = float(self._record.get("wall_s") or 0.0) if resumed else 0.0
        self._started = time.monotonic()

    @property
    def record(self) -> Mapping[str, Any]:
        """The content of run.json: before `begin`, that of the run that was there (empty if none)."""
        return self._record

    @classmethod
    def open(cls, path: Path, *, overwrite: bool = False, resume: bool = False) -> RunDirectory:
        """Makes the directory, or takes it over, and locks it.

        Args:
            path: the directory.
            overwrite: take the place of the run that is there (`begin` removes it).
            resume: go on with the run that is there.

        A run that ended before its first checkpoint has nothing to go on from and nothing to lose: another takes its
        place as if nothing were there (`begin` removes it).

        Raises:
            ConfigError: it has files and neither way was asked for; it has files but no run; another process is
                writing into it; it cannot be made or written into.
        """
        if overwrite and resume:
            raise ConfigError(
                "--overwrite and --resume exclude each other: one removes the run, the other continues it"
            )
        _check(path, overwrite, resume)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = _acquire(path)
        except OSError as error:
            if not (resume and is_finished(path)):
                raise ConfigError(f"cannot write into the output directory {path}: {reason(error)}") from error
            # To give its answer again nothing is written.
            lock = os.open(path, os.O_RDONLY)
        try:
            # Once more under the lock: another run may have begun here in between.
            spent = _ended_early(path)
            if not spent:
                _check(path, overwrite, resume)
            resumed = resume and not spent and (path / RUN).exists()
            return cls(path, lock, resumed=resumed, overwrite=overwrite, replaces=spent and not overwrite)
        except BaseException:
            os.close(lock)
            raise

    def begin(
        self,
        *,
        command: str,
        name: str,
        device: str,
        precision: str,
        seed: int,
        argv: Sequence[str],
        jax_version: str,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes run.json with status ``running``; a resumed run keeps when it started.

        With `overwrite` the files of the run that was there go: those of the fixed names, and those that its run.json
        lists under ``files``. The copies in ``inputs/`` stay until `copy_inputs`, for the new run may read them.

        Raises:
            ConfigError: an old file cannot be removed.
            OutputError: writing failed.
        """
        now = _now()
        if self._overwrite:
            _clear(self.path, self._record.get("files", ()))
        self.begun = True
        # A new run keeps the names of the old one's copies alone, for copy_inputs to remove.
        keys = ("started", "wall_s", "resumed", "inputs", "config_sha256") if self.resumed else ("inputs",)
        kept: dict[str, Any] = {key: self._record[key] for key in keys if key in self._record}
        self._record = {
            "command": command,
            "name": name,
            "status": "running",
            "versions": {**versions(), "jax": jax_version},
            "device": device,
            "precision": precision,
            "seed": seed,
            "argv": list(argv),
            "started": now,
            "finished": None,
            "wall_s": self._previous_wall,
            **kept,
            **(extra or {}),
        }
        if self.resumed:
            self._record["resumed"] = [*self._record.get("resumed", []), now]
        self.update({})
        if self._early:
            self._write_log("".join(self._early))
        self._early.clear()

    def update(self, fields: Mapping[str, Any]) -> None:
        """Sets fields of run.json, and ``wall_s`` to the time spent so far. Raises OutputError."""
        self._record |= fields
        self._record["wall_s"] = self._previous_wall + time.monotonic() - self._started
        write_json(self.path / RUN, self._record)

    def finish(self, status: Status, fields: Mapping[str, Any] | None = None) -> None:
        """Writes how the run ended, with timings and whatever else `fields` has. Raises OutputError."""
        self.update({**(fields or {}), "status": status, "finished": _now()})

    def write_config(self, text: str) -> None:
        """Writes config.yaml, and its SHA-256 into run.json. Raises OutputError."""
        write_text(self.path / CONFIG, text)
        self.update({"config_sha256": sha256(text.encode())})

    def log(self, line: str) -> None:
        """Adds a line with the time to run.log; before `begin`, once that is called. Raises OutputError."""
        text = f"{_now()} {line}\n"
        if self.begun:
            self._write_log(text)
        else:
            self._early.append(text)

    def _write_log(self, text: str) -> None:
        with output_errors(self.path / LOG), (self.path / LOG).open("a", encoding="utf-8") as stream:
            stream.write(text)

    def copy_inputs(self, files: Sequence[Path]) -> dict[Path, str]:
        """Copies the files that the config reads into inputs/, and their SHA-256 into run.json; to be called after
        `begin`, with no files too: copies of an overwritten run that are not needed any more go.

        Returns:
            for each file, its copy's path relative to the run directory (``inputs/name``); two files of the same name
            get different ones.

        Raises:
            ConfigError: a file cannot be read; or, resuming, its content is not what the run began with.
            OutputError: a copy cannot be written.
        """
        before: Mapping[str, str] = self._record.get("inputs", {})
        # All are read before any is written: one may be an old copy whose name another takes.
        copies = copies_of(files, INPUTS)
        for file, copy in copies.items():
            if self.resumed and before.get(copy.name, copy.digest) != copy.digest:
                raise ConfigError(f"{file} has changed since the run in {self.path} began, so it cannot be resumed")
        for copy in copies.values():
            target = self.path / copy.name
            with output_errors(target):
                target.parent.mkdir(exist_ok=True)
                if not (target.exists() and sha256(target.read_bytes()) == copy.digest):
                    target.write_bytes(copy.content)
        digests = {copy.name: copy.digest for copy in copies.values()}
        for name in before:
            if name not in digests:
                _remove(self.path / name)
        self.update({"inputs": digests})
        return {file: copy.name for file, copy in copies.items()}

    def close(self) -> None:
        """Lets other processes write into the directory, which goes where nothing began in it and it is empty."""
        with contextlib.suppress(OSError):
            if not self.begun and [entry.name for entry in self.path.iterdir()] == [LOCK]:
                (self.path / LOCK).unlink()
                self.path.rmdir()
        os.close(self._lock)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def is_run(path: Path) -> bool:
    """Whether a diffmd run began in this directory."""
    return (path / LOCK).exists() or _is_record(path / RUN)


def is_finished(path: Path) -> bool:
    """Whether the run in this directory came to its end. Raises OutputError where run.json is damaged."""
    return (path / RUN).exists() and read_run(path).get("status") == "finished"


def is_held(path: Path) -> bool:
    """Whether some process is writing into this directory now."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)


def is_spent(path: Path) -> bool:
    """Whether a run in this directory ended, however, before its first checkpoint, and left no result."""
    return _ended_early(path) and not is_held(path)


def _ended_early(path: Path) -> bool:
    """`is_spent` where nobody else can be writing."""
    if not _is_record(path / RUN):
        return False
    record = read_run(path)
    if record.get("status") == "finished" or any(map(_goes_on, _trajectories(path, record))):
        return False
    # metrics.jsonl is there, and empty, before the first epoch ends.
    left = any((path / name).exists() and (path / name).stat().st_size for name in _RESULTS)
    return not left and not any((path / CHECKPOINTS).glob("*.h5"))


def _trajectories(path: Path, record: Mapping[str, Any]) -> Iterator[Path]:
    """The trajectories of a run, but those that a training makes before its first epoch."""
    names = {TRAJECTORY, *(name for name in record.get("files", ()) if name.endswith(".h5md"))}
    first = Path(TRAJECTORY_FIRST).stem
    return (path / name for name in names if not name.startswith(first))


def _goes_on(trajectory: Path) -> bool:
    """Whether a trajectory has more than the frame that a run starts from."""
    with contextlib.suppress(OutputError):
        return trajectory.exists() and count_frames(trajectory) > 1
    return False


def read_run(path: Path) -> dict[str, Any]:
    """The content of run.json of a run directory. Raises OutputError."""
    record = read_json(path / RUN)
    if not isinstance(record, dict):
        raise OutputError(f"cannot read {path / RUN}: it is not the record of a run")
    return record


def read_config(path: Path) -> str:
    """The text of config.yaml of a run directory. Raises OutputError."""
    with output_errors(path / CONFIG, "read"):
        return (path / CONFIG).read_text(encoding="utf-8")


def _check(path: Path, overwrite: bool, resume: bool) -> None:
    try:
        if not path.exists():
            return
        if not path.is_dir():
            raise ConfigError(f"the output {path} is a file; name a directory with --output")
        entries = [entry.name for entry in path.iterdir() if entry.name != LOCK]
    except OSError as error:
        raise ConfigError(f"cannot look into the output directory {path}: {reason(error)}") from error
    if not entries or is_spent(path):
        return
    if not (overwrite or resume):
        raise ConfigError(
            f"the output directory {path} is not empty; --resume continues the run in it, --overwrite replaces it, "
            "--output names another directory"
        )
    if not is_run(path):
        way = "--overwrite" if overwrite else "--resume"
        raise ConfigError(f"{path} has files but no diffmd run (no run.json), so {way} does not touch it")


def _is_record(path: Path) -> bool:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and "diffmd" in record.get("versions", {})


def _acquire(path: Path) -> int:
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise ConfigError(
            f"another diffmd (process {pid or 'unknown'}) is writing into {path}; wait for it, or name another --output"
        ) from error
    except OSError:
        # Some network file systems have no locks; the run goes on without.
        return descriptor
    # The number serves the message alone, so a full disk is met by what matters.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _clear(path: Path, others: Sequence[str]) -> None:
    # A list that somebody edited must not lead out of the directory.
    for name in (*_OWN, *(name for name in others if Path(name).name == name)):
        file = path / name
        _remove(file)
        _remove(file.with_name(f".{file.name}.tmp"))
    for pattern in ("checkpoint*.h5", "equilibrated.h5"):
        for ending in ("", ".previous"):
            for file in (path / CHECKPOINTS).glob(pattern + ending):
                _remove(file)
    plots = path / PLOTS
    for name in (*own_pictures(plots), MANIFEST):
        _remove(plots / name)
    for folder in (PLOTS, CHECKPOINTS):
        # Stays where it holds files of the user's.
        with contextlib.suppress(OSError):
            (path / folder).rmdir()


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        return
    try:
        file.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise ConfigError(f"cannot remove {file}: {reason(error)}") from error


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
