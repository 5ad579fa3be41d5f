"""A GIF or MP4 of a run's atoms."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
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
_COLORS = 128


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


@dataclasses.dataclass(frozen=True)
class Take:
    """One trajectory to film: at least one frame.

    Attributes:
        name: of the files.
        trajectory: what is shown.
        what: what it is, for the caption.
    """

    name: str
    trajectory: Trajectory
    what: str


def animate_trajectories(folder: Path, takes: Sequence[Take], film: Film) -> list[Path]:
    """Writes ``<name>.gif`` or ``.mp4``, the table of its frames and a caption into `folder` for each take.

    All takes are seen by one camera, so that they can be compared.

    Raises:
        ConfigError: MP4 without ffmpeg; a file in the way that is not diffmd's.
        OutputError: ffmpeg failed; a file cannot be read or written.
    """
    shots = [_shoot(take.trajectory, film.max_frames) for take in takes]
    written: list[Path] = []
    for take, shot in zip(takes, shots, strict=True):
        content, shot = _develop(shot, shots, film)
        trajectory, rows = take.trajectory, shot.rows
        types = ", ".join(trajectory.topology.type_names)
        caption = (
            f"{take.what}: {len(rows)} of {len(trajectory)} frames, steps {trajectory.step[rows[0]]} to "
            f"{trajectory.step[rows[-1]]}, {len(trajectory.species)} atoms (types: {types})."
        )
        table = [[index, int(trajectory.step[row]), float(trajectory.time[row])] for index, row in enumerate(rows)]
        header = ["frame", "step", "time"]
        written += save_content(folder, take.name, f".{film.format}", content, header, table, caption)
    return written


@dataclasses.dataclass(frozen=True)
class _Shot:
    """The frames picked from a trajectory, with finite positions only."""

    trajectory: Trajectory
    rows: np.ndarray
    positions: np.ndarray
    boxes: np.ndarray | None

    def thinned(self) -> _Shot:
        keep = _rows(len(self.rows), len(self.rows) // 2)
        boxes = None if self.boxes is None else self.boxes[keep]
        return _Shot(self.trajectory, self.rows[keep], self.positions[keep], boxes)


def _shoot(trajectory: Trajectory, max_frames: int) -> _Shot:
    rows = _rows(len(trajectory), max_frames)
    chosen = rows.tolist()
    positions = np.asarray(trajectory.wrapped[chosen], np.float64)
    boxes = None if trajectory.box is None else np.asarray(trajectory.box[chosen], np.float64)
    finite = np.asarray(np.isfinite(positions).all(axis=(1, 2)))
    if not finite.any():
        raise OutputError(f"{trajectory.path} has no frame with finite positions")
    return _Shot(trajectory, rows[finite], positions[finite], None if boxes is None else boxes[finite])


def _develop(shot: _Shot, shots: Sequence[_Shot], film: Film) -> tuple[bytes, _Shot]:
    """The encoded film, and what is left of the shot: a web page should not wait for it."""
    encode, pixels = _ENCODERS[film.format], film.pixels
    while True:
        content = encode(_paint(shot, _scene(shot, shots, pixels)), film.fps)
        if len(content) <= _MOST_BYTES or pixels <= 200:
            return content, shot
        if len(shot.rows) > 30:
            shot = shot.thinned()
        else:
            pixels = pixels * 3 // 4


def _rows(frames: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, frames - 1, min(frames, max(most, 1))).round().astype(int))


def _scene(shot: _Shot, shots: Sequence[_Shot], pixels: int) -> Scene:
    atoms = np.concatenate([one.positions.reshape(-1, 3) for one in shots])
    boxes = [box for one in shots if one.boxes is not None for box in one.boxes]
    largest = max(boxes, key=lambda box: abs(np.linalg.det(box)), default=None)
    first = shots[0]
    spacing = _spacing(first.positions[0], None if first.boxes is None else first.boxes[0])
    camera = aim(atoms, largest, 0.64 * spacing, pixels)
    # Neither dots nor balloons, whatever the spacing.
    radius = np.clip(0.29 * spacing, 0.007 * pixels / camera.scale, 0.075 * pixels / camera.scale)
    topology = shot.trajectory.topology
    return Scene(camera, topology.types, topology.bonds, float(radius))


def _paint(shot: _Shot, scene: Scene) -> list[Image.Image]:
    return [
        paint(scene, positions, None if shot.boxes is None else shot.boxes[index], _text(shot.trajectory, row))
        for index, (row, positions) in enumerate(zip(shot.rows.tolist(), shot.positions, strict=True))
    ]


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
