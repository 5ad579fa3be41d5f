"""What a trajectory recorded with each frame: energies, temperature, and other observables, by time."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from diffmd.io.h5md import STANDARD
from diffmd.io.trajectory import Trajectory
from diffmd.plots.flat import columns, is_angle, shown
from diffmd.plots.picture import Picture
from diffmd.plots.style import BLUE, CYCLE, GREEN, ORANGE, axis_label, panels, styled

_MOST_OTHERS = 3
_ENERGIES = {"total_energy": "#222222", "potential_energy": BLUE, "kinetic_energy": ORANGE}


def draw_energies(
    trajectory: Trajectory,
    start_step: int,
    system: str = "",
    dimensions: Mapping[str, str] = MappingProxyType({}),
) -> Picture:
    """Energies, temperature, and up to three other observables by time; the table has all.

    Args:
        trajectory: with what it recorded.
        start_step: the first step that is drawn.
        system: its name, where there are several.
        dimensions: name -> dimension of the other observables, such as ``length``.
    """
    rows = trajectory.step >= start_step
    time = trajectory.time[rows]
    recorded = {name: np.asarray(values)[rows] for name, values in trajectory.observables.items()}
    energies = {name: color for name, color in _ENERGIES.items() if name in recorded}
    others = [name for name, values in recorded.items() if name not in STANDARD and values.size <= 8 * len(time)]
    others = others[:_MOST_OTHERS]
    units, count = trajectory.units, bool(energies) + ("temperature" in recorded) + len(others)
    with styled():
        figure, axes = panels(max(count, 1), 1, height=2.5 if count > 1 else 3.4)
        free = iter(axes)
        if energies:
            panel = next(free)
            for name, color in energies.items():
                panel.plot(time, recorded[name], color=color, label=name.removesuffix("_energy"))
            panel.set_ylabel(axis_label("energy", units, "energy"))
            # Above the panel: the curves of a short run fill all of it.
            panel.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=3, columnspacing=1.2, handlelength=1.4)
            panel.set_title(f"Energy of {system}" if system else "Energy")
        if "temperature" in recorded:
            panel = next(free)
            panel.plot(time, recorded["temperature"], color=GREEN)
            panel.set_ylabel(axis_label("temperature", units, "temperature"))
            panel.set_title("Temperature")
        for name in others:
            panel = next(free)
            dimension = dimensions.get(name, "1")
            for index, line in enumerate(columns(name, {"": shown(recorded[name], dimension)}).values()):
                panel.plot(time, line, color=CYCLE[index % len(CYCLE)])
            panel.set_ylabel(f"{name} (degrees)" if is_angle(dimension) else axis_label(name, units, dimension))
            panel.set_title(name)
        for panel in axes[:-1]:
            panel.tick_params(labelbottom=False)
        for panel in axes:
            panel.set_xlim(time[0], time[-1] if time[-1] > time[0] else time[0] + 1)
        axes[-1].set_xlabel(axis_label("time", units, "time"))
    table = {"step": trajectory.step[rows], "time": time, **columns("", recorded)}
    names = [*energies, *(["temperature"] if "temperature" in recorded else []), *others]
    caption = f"Recorded by time, {len(time)} frames: {', '.join(names)}."
    if len(time) > 1 and "total_energy" in recorded:
        drift = recorded["total_energy"][-1] - recorded["total_energy"][0]
        unit = units.symbol("energy") or ""
        changes = f"{drift:.3g} {unit}".rstrip()
        caption += f" The total energy changes by {changes} from the first frame to the last."
    return Picture(
        f"energies_{system}" if system else "energies",
        figure,
        list(table),
        list(zip(*table.values(), strict=True)),
        caption,
    )
