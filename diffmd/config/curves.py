"""Target curves: CSV files with a header and two columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError


def read_curve(path: Path) -> Float[np.ndarray, "points 2"]:
    """Abscissa (increasing) and value of each point, from a CSV file with a header.

    Raises:
        ConfigError: with the line, if the file cannot be read or is not such a curve.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ConfigError(f"{path}: cannot be read as CSV: {problem}") from None
    rows = [(number, row) for number, row in enumerate(lines, 1) if any(cell.strip() for cell in row)]
    if len(rows) < 3:
        raise ConfigError(f"{path}: a curve is a header and at least two rows of abscissa,value")
    points: list[tuple[float, float]] = []
    for number, row in rows[1:]:
        try:
            x, y = (float(cell) for cell in row)
        except ValueError:
            raise ConfigError(f"{path}:{number}: expected two numbers, found {','.join(row)[:60]!r}") from None
        if not np.isfinite([x, y]).all():
            raise ConfigError(f"{path}:{number}: holds a number that is not finite")
        if points and x <= points[-1][0]:
            raise ConfigError(f"{path}:{number}: the first column must increase, and {x:g} follows {points[-1][0]:g}")
        points.append((x, y))
    if _is_number(rows[0][1][0]):
        raise ConfigError(f"{path}:{rows[0][0]}: the first line is a header, such as `r,g`, not numbers")
    return np.asarray(points)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
