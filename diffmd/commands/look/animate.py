"""`diffmd animate`: a film of a run's atoms into ``DIR/plots/``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from diffmd.commands.look.labels import read_facts
from diffmd.commands.look.plot import check_run, of_system, read_frames
from diffmd.errors import ConfigError
from diffmd.io.pictures import PLOTS
from diffmd.io.rundir import TRAJECTORY, TRAJECTORY_FIRST

_FILES: Mapping[str, tuple[str, str, str]] = {
    "first": (TRAJECTORY_FIRST, "atoms_before", "Before training"),
    "best": (TRAJECTORY, "atoms_after", "With the best parameters"),
}


def animate(
    run_dir: Path | str,
    format: Literal["gif", "mp4", "auto"] = "auto",
    trajectory: Literal["first", "best"] | None = None,
    max_frames: int = 80,
    fps: float = 16.0,
    pixels: int = 420,
) -> list[Path]:
    """Makes a film of each trajectory of a run: before and after, of a training.

    Args:
        run_dir: the run directory.
        format: ``gif``; ``mp4``, which needs the program ffmpeg; ``auto``: a GIF.
        trajectory: ``first`` (before training), ``best`` (the run's trajectory); None: both, where both are there.
        max_frames: longer trajectories are thinned out evenly.
        fps: frames a second.
        pixels: the longer side of the picture.

    Returns:
        the files written: ``atoms.gif`` of a simulation, ``atoms_before.gif`` and ``atoms_after.gif`` of a training,
        each with the table of its frames and a caption.

    Raises:
        ConfigError: no run there, no frames yet, no ffmpeg, a file in the way.
        OutputError: a file cannot be read or written.
    """
    from diffmd.plots.animation import Film, Take, animate_trajectories

    folder = Path(run_dir)
    check_run(folder)
    if format not in ("gif", "mp4", "auto"):
        raise ConfigError(f"there is no film of format {format}; it is gif, mp4 or auto")
    if trajectory is not None and trajectory not in _FILES:
        raise ConfigError(f"there is no trajectory {trajectory} of a run; it is first or best")
    if max_frames < 1 or not 0.1 <= fps <= 100 or not 50 <= pixels <= 4000:
        raise ConfigError("a film needs at least one frame, 0.1 to 100 frames a second and 50 to 4000 pixels")
    if format == "mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError("an MP4 needs the program ffmpeg, which is not on the PATH; install it, or make a GIF")
    film = Film("mp4" if format == "mp4" else "gif", max_frames, fps, pixels)
    wanted = [trajectory] if trajectory is not None else list(_FILES)
    written: list[Path] = []
    for system in read_facts(folder).systems:
        trained = (folder / of_system(TRAJECTORY_FIRST, system)).exists()
        takes = []
        for which in wanted:
            file, name, what = _FILES[which]
            frames = read_frames(folder / of_system(file, system))
            if frames is not None:
                name, what = (name, what) if trained else ("atoms", "The simulation")
                takes.append(Take(f"{name}_{system}" if system else name, frames, what))
        if takes:
            written += animate_trajectories(folder / PLOTS, takes, film)
    if not written:
        raise ConfigError(
            f"the run in {folder} has no frames to animate; `diffmd simulate` and `diffmd train` leave them"
        )
    return written
