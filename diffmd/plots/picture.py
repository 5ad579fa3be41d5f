"""A picture with its numbers and its caption, and how the three are written."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmd.io.files import replacing, write_text
from diffmd.io.pictures import claim
from diffmd.io.results import write_csv
from diffmd.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a drawing function gives.

    Attributes:
        name: of its files, without an extension.
        figure: what was drawn.
        header: the columns of the table beside it.
        rows: the table.
        caption: what it shows, in a sentence or two.
    """

    name: str
    figure: Figure
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str


def save(folder: Path, picture: Picture) -> list[Path]:
    """Writes ``<name>.png``, ``<name>.csv`` and ``<name>.txt`` into `folder`.

    Raises:
        ConfigError: a file of that name is there and is not diffmd's.
        OutputError: they cannot be written.
    """
    content = io.BytesIO()
    with styled():
        picture.figure.savefig(content, format="png")
    return save_content(folder, picture.name, ".png", content.getvalue(), picture.header, picture.rows, picture.caption)


def save_content(
    folder: Path,
    name: str,
    extension: str,
    content: bytes,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    caption: str,
) -> list[Path]:
    """Writes an encoded picture with its table and caption. Raises as `save`."""
    paths = [folder / f"{name}{suffix}" for suffix in (extension, ".csv", ".txt")]
    claim(folder, [path.name for path in paths])
    with replacing(paths[0]) as temporary:
        temporary.write_bytes(content)
    write_csv(paths[1], header, rows)
    write_text(paths[2], caption + "\n")
    return paths
