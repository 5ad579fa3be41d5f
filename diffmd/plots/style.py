"""How pictures look: sizes, colours, axis labels. matplotlib is imported only when something is drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from diffmd.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color/), yellow left out.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#8A3FA0"
SKY, AMBER, PINK, GREY = "#56B4E9", "#E69F00", "#CC79A7", "#8C8C8C"
CYCLE = (BLUE, ORANGE, GREEN, AMBER, SKY, PINK, PURPLE, "#222222")
MARK = PURPLE

_DPI = 130
_STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": _DPI,
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """diffmd's look inside the block; the caller's own matplotlib settings are back after it."""
    import matplotlib

    with matplotlib.rc_context(dict(_STYLE)):
        yield


def panels(rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` by `columns` panels, row by row; `height` is of one row, in inches.

    It is drawn without a display, and without matplotlib's global state.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(width, height * rows), layout=layout)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def axis_label(name: str, units: Units, dimension: str) -> str:
    """``r (nm)``, or ``r`` where the units have no names."""
    symbol = None if dimension == "1" else units.symbol(dimension)
    return f"{name} ({symbol})" if symbol else name


def zero_line(axes: Axes) -> None:
    """A line at y = 0."""
    axes.axhline(0, color="#555555", linewidth=1.0, zorder=1)


def integer_ticks(axes: Axes) -> None:
    """Whole numbers on the x axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def decades_only(axes: Axes) -> None:
    """Numbers at the decades of a logarithmic x axis alone: those between them would overlap."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_minor_formatter(NullFormatter())


def mark_lines(axes: Axes, marks: tuple[float, ...]) -> None:
    """Vertical lines at the values that the user marked, named by their value."""
    for value in marks:
        axes.axvline(value, color=MARK, linewidth=1.8, zorder=2, label=f"marked: {value:g}")
