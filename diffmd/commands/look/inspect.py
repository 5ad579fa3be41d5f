"""`diffmd inspect`: what runs did, how far they came and what they found, of killed and running ones too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmd.commands.run.readable import per, value_text
from diffmd.errors import ConfigError, DiffmdError
from diffmd.io import results, rundir, training
from diffmd.io.trajectory import read_trajectory
from diffmd.io.values import dataset_name, plain, refer

Row = dict[str, Any]

_RECORD = ("command", "name", "device", "precision", "seed", "started", "finished", "wall_s", "error")


def inspect(directories: Sequence[Path]) -> list[Row]:
    """One row of plain data a run.

    Returns:
        for each directory ``directory``, ``status`` (``running``, ``finished``, ``failed``, ``interrupted``; ``killed``
        where a run neither ended nor goes on), what run.json says (command, name, device, precision, seed, started,
        finished, wall_s, and the ``error`` it ended with), and as far as the run has them: ``steps`` and ``frames`` of
        the trajectory, ``epochs``, ``loss`` (the last), ``best_loss``, ``best_epoch``, ``parameters`` and ``gradients``
        (path -> value, at the best epoch), ``units`` (path -> unit of those that have one), ``points`` and
        ``failed_points`` of a scan, ``passed`` and ``verdicts`` (verdict -> rows) of a gradient check; None where there
        is none. ``problems``: what of it cannot be read, in sentences.

    Raises:
        ConfigError: a directory is missing, or no run.
    """
    return [_row(directory) for directory in directories]


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The rows as text: a header, and a line a run; columns that no run has are left out."""
    columns = [(name, [show(row) for row in rows]) for name, show in _COLUMNS.items()]
    shown = [(name, cells) for name, cells in columns if any(cells)]
    return [name for name, _ in shown], [list(line) for line in zip(*(cells for _, cells in shown), strict=True)]


def numbers(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """The rows for a spreadsheet: a header, and a line a run, with all digits; columns that no run has are left out.

    Mappings and short lists have a column an entry, such as ``parameters.potentials.lj.sigma``; large arrays, which are
    in files alone, have none.
    """
    flat = [dict(_flat(row)) for row in rows]
    header = list(dict.fromkeys(key for row in flat for key in row))
    return header, [[row.get(key) for key in header] for row in flat]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        if "shape" not in value:
            for key, below in value.items():
                yield from _flat(below, f"{path}.{key}" if path else key)
    elif path == "problems":
        yield from ([(path, "; ".join(value))] if value else [])
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _flat(below, f"{path}.{number}")
    elif value is not None:
        yield path, value


def _row(directory: Path) -> Row:
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory}")
    if not (directory / rundir.RUN).exists():
        raise ConfigError(f"{directory} is not the directory of a diffmd run: it has no {rundir.RUN}")
    record = rundir.read_run(directory)
    row: Row = {"directory": str(directory), "status": _status(directory, record)}
    row |= {key: record.get(key) for key in _RECORD}
    row |= dict.fromkeys(("steps", "frames", "epochs", "loss", "best_loss", "best_epoch"))
    row |= dict.fromkeys(("parameters", "gradients", "units"))
    row |= dict.fromkeys(("points", "failed_points", "passed", "verdicts"))
    problems = []
    for file, read in _READERS.items():
        if (directory / file).exists():
            try:
                row |= read(directory)
            except DiffmdError as problem:
                problems.append(str(problem))
            except (LookupError, TypeError):
                problems.append(f"{directory / file} is damaged: it lacks what diffmd writes into it")
    return row | {"problems": problems}


def _status(directory: Path, record: Mapping[str, Any]) -> str:
    status = record.get("status", "unknown")
    return "killed" if status == "running" and not rundir.is_held(directory) else status


def _trajectory(directory: Path) -> Row:
    trajectory = read_trajectory(directory / rundir.TRAJECTORY)
    return {"frames": len(trajectory), "steps": int(trajectory.step[-1]) if len(trajectory) else None}


def _training(directory: Path) -> Row:
    lines = training.read_metrics(directory)
    if not lines:
        return {"epochs": 0}
    finite = [line for line in lines if line["loss"] is not None]
    best = min(finite, key=lambda line: line["loss"], default=lines[-1])
    return {
        "epochs": lines[-1]["epoch"],
        "loss": lines[-1]["loss"],
        "best_loss": best["loss"],
        "best_epoch": best["epoch"],
        "parameters": best["parameters"],
        "gradients": best["gradients"],
        "units": results.parameter_units(directory / training.TRAINING),
    }


def _gradients(directory: Path) -> Row:
    found = results.read_gradients(directory / results.GRADIENTS)
    groups = {"parameters": found.parameters, "gradients": found.gradients}
    shown = {
        group: {path: refer(value, results.GRADIENTS, dataset_name(group, path)) for path, value in values.items()}
        for group, values in groups.items()
    }
    return {"loss": plain(found.loss), **shown, "units": results.parameter_units(directory / results.GRADIENTS)}


def _scan(directory: Path) -> Row:
    found = results.read_scan(directory)
    failed = sum(math.isnan(loss) for loss in found.loss.tolist())
    return {"points": len(found.value), "failed_points": failed}


def _gradcheck(directory: Path) -> Row:
    answer = results.read_gradcheck(directory)
    verdicts = [row["verdict"] for row in answer["rows"]]
    return {
        "passed": answer["passed"],
        "verdicts": {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
    }


_READERS: Mapping[str, Callable[[Path], Row]] = {
    rundir.TRAJECTORY: _trajectory,
    training.METRICS: _training,
    results.GRADIENTS: _gradients,
    results.SCAN: _scan,
    results.GRADCHECK: _gradcheck,
}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours or minutes else f"{value:.1f} s"


def _parameters(row: Row) -> str:
    units = row.get("units") or {}
    values = row.get("parameters") or {}
    return ", ".join(f"{path} = {_value(value, units.get(path))}" for path, value in values.items())


def _gradients_of(row: Row) -> str:
    units = row.get("units") or {}
    values = row.get("gradients") or {}
    return ", ".join(f"{path} = {_value(value, None)}{per(units.get(path))}" for path, value in values.items())


def _value(value: Any, unit: str | None) -> str:
    if isinstance(value, Mapping):
        return "array " + " x ".join(str(n) for n in value.get("shape", ()))
    if isinstance(value, list):
        shown = ", ".join(_value(item, unit) for item in value[:4])
        return f"[{shown}, ...]" if len(value) > 4 else f"[{shown}]"
    return "nan" if value is None else value_text(value, unit)


def _verdicts(value: Mapping[str, int] | None) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in (value or {}).items())


def _of(key: str, show: Callable[[Any], str]) -> Callable[[Row], str]:
    return lambda row: show(row.get(key))


_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "run": _of("directory", _text),
    "status": _of("status", _text),
    "command": _of("command", _text),
    "config": _of("name", _text),
    "seed": _of("seed", _text),
    "steps": _of("steps", _text),
    "frames": _of("frames", _text),
    "epochs": _of("epochs", _text),
    "loss": _of("loss", _number),
    "best loss": _of("best_loss", _number),
    "at epoch": _of("best_epoch", _text),
    "parameters": _parameters,
    "gradients": _gradients_of,
    "points": _of("points", _text),
    "failed": _of("failed_points", _text),
    "verdicts": _of("verdicts", _verdicts),
    "device": _of("device", _text),
    "precision": _of("precision", _text),
    "time": _of("wall_s", _seconds),
    "error": _of("error", _text),
    "problems": _of("problems", lambda sentences: "; ".join(sentences or ())),
}
