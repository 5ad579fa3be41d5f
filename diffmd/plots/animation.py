"""A GIF or MP4 of a run's atoms."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from diffmd.errors import ConfigError, OutputError
from diffmd.io.trajectory import Trajectory
from diffmd.plots.camera import aim
from diffmd.plots.distances import minimum_image
from diffmd.plots.painter import Scene, paint
from diffmd.plots.picture import save_content
from diffmd.plots.style import axis_label

_MOST_BYTES = 1_500_000
_LAST_FRAME_S = 0.8
_COLORS = 96


@dataclasses.dataclass(frozen=True)
class Film:
    """How a film is made.

    Attributes:
        format: ``gif`` or ``mp4``.
        max_frames: of a longer trajectory, so many frames are picked evenly.
        fps: frames a second.
        pixels: the longer side.
    """

    format: str = "gif"
    max_frames: int = 80
    fps: float = 16.0
    pixels: int = 420


def animate_trajectory(folder: Path, name: str, trajectory: Trajectory, film: Film, what: str) -> list[Path]:
    """Writes ``<name>.gif`` or ``.mp4``, the table of its frames and a caption into `folder`.

    Args:
        folder: of the pictures.
        name: of the files.
        trajectory: at least one frame.
        film: how.
        what: what the trajectory is, for the caption.

    Raises:
        ConfigError: MP4 without ffmpeg; a file in the way that is not diffmd's.
        OutputError: ffmpeg failed; a file cannot be read or written.
    """
    encode = _ENCODERS[film.format]
    rows = _rows(len(trajectory), film.max_frames)
    pixels = film.pixels
    content = encode(_paint(trajectory, rows, pixels), film.fps)
    while len(content) > _MOST_BYTES and pixels > 200:
        # A web page should not wait for it: first fewer frames, then smaller ones.
        if len(rows) > 30:
            rows = _rows(len(trajectory), len(rows) // 2)
        else:
            pixels = pixels * 3 // 4
        content = encode(_paint(trajectory, rows, pixels), film.fps)
    types = ", ".join(trajectory.topology.type_names)
    caption = (
        f"{what}: {len(rows)} of {len(trajectory)} frames, steps {trajectory.step[rows[0]]} to "
        f"{trajectory.step[rows[-1]]}, {len(trajectory.species)} atoms (types: {types})."
    )
    table = [[index, int(trajectory.step[row]), float(trajectory.time[row])] for index, row in enumerate(rows)]
    return save_content(folder, name, f".{film.format}", content, ["frame", "step", "time"], table, caption)


def _rows(frames: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, frames - 1, min(frames, max(most, 1))).round().astype(int))


def _paint(trajectory: Trajectory, rows: np.ndarray, pixels: int) -> list[Image.Image]:
    chosen = rows.tolist()
    positions = np.asarray(trajectory.wrapped[chosen], np.float64)
    boxes = None if trajectory.box is None else np.asarray(trajectory.box[chosen], np.float64)
    finite = np.asarray(np.isfinite(positions).all(axis=(1, 2)))
    if not finite.any():
        raise OutputError(f"{trajectory.path} has no frame with finite positions")
    shown = positions[finite]
    largest = None if boxes is None else boxes[np.argmax(np.abs(np.linalg.det(boxes)))]
    spacing = _spacing(shown[0], None if boxes is None else boxes[finite][0])
    radius = 0.29 * spacing
    camera = aim(shown, largest, 2.2 * radius, pixels)
    # Neither dots nor balloons, whatever the spacing.
    radius = float(np.clip(radius, 0.007 * pixels / camera.scale, 0.075 * pixels / camera.scale))
    scene = Scene(camera, trajectory.topology.types, trajectory.topology.bonds, radius)
    images = []
    for index, row in enumerate(chosen):
        if finite[index]:
            box = None if boxes is None else boxes[index]
            images.append(paint(scene, positions[index], box, _text(trajectory, row)))
    return images


def _text(trajectory: Trajectory, row: int) -> str:
    unit = axis_label("", trajectory.units, "time").strip(" ()")
    return f"t = {trajectory.time[row]:.4g} {unit}".rstrip()


def _spacing(positions: np.ndarray, box: np.ndarray | None) -> float:
    """The median distance of an atom to its nearest neighbour, over at most 200 atoms."""
    if len(positions) < 2:
        return 1.0
    chosen = _rows(len(positions), 200)
    d = np.linalg.norm(minimum_image(positions[chosen, None] - positions[None], box), axis=-1)
    d[np.arange(len(chosen)), chosen] = np.inf
    return float(max(np.median(d.min(axis=1)), 1e-9))


def _gif(images: list[Image.Image], fps: float) -> bytes:
    # One palette for all frames: colours do not flicker, and what stands still costs nothing.
    sample = [np.asarray(images[index]) for index in _rows(len(images), 6)]
    palette = Image.fromarray(np.concatenate(sample)).quantize(_COLORS, Image.Quantize.MEDIANCUT)
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    # The background, an average of nearly white pixels by now, becomes white itself; a corner always shows it.
    colors = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
    colors[np.asarray(frames[0])[0, 0]] = 255
    for frame in frames:
        frame.putpalette(colors.tobytes())
    durations = [round(1000 / fps)] * len(frames)
    durations[-1] = max(durations[-1], round(1000 * _LAST_FRAME_S))
    content = io.BytesIO()
    frames[0].save(
        content, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False, disposal=1
    )
    return content.getvalue()


def _mp4(images: list[Image.Image], fps: float) -> bytes:
    program = shutil.which("ffmpeg")
    if program is None:
        raise ConfigError("an MP4 needs the program ffmpeg, which is not on the PATH; install it, or make a GIF")
    width, height = images[0].size
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "film.mp4"
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        command += ["-r", f"{fps:g}", "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-y", str(target)]
        done = subprocess.run(command, input=b"".join(image.tobytes() for image in images), capture_output=True)
        if done.returncode or not target.exists():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise OutputError(f"ffmpeg could not make the film: {last[0]}")
        return target.read_bytes()


_ENCODERS: Mapping[str, Callable[[list[Image.Image], float], bytes]] = {"gif": _gif, "mp4": _mp4}
