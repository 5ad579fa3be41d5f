"""Paints one frame of atoms: shaded spheres, bonds and the box, farther things paler."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageColor, ImageDraw, ImageFont

from diffmd.plots.camera import EDGES, Camera, corners, sticks
from diffmd.plots.distances import minimum_image
from diffmd.plots.style import AMBER, BLUE, GREEN, GREY, ORANGE, PINK, SKY

PALETTE = (BLUE, ORANGE, GREEN, AMBER, PINK, SKY, GREY)
_FINER = 2
_SHADES = 8
_FOG = 0.62
_BOX_BACK, _BOX_FRONT, _TEXT = "#C9C9C9", "#8F8F8F", "#333333"


@dataclasses.dataclass(frozen=True)
class Scene:
    """What all frames share.

    Attributes:
        camera: where one looks from.
        types: of each atom, by number.
        bonds: pairs of atoms.
        radius: of the spheres, in units of length.
    """

    camera: Camera
    types: Int[np.ndarray, "atoms"]
    bonds: Int[np.ndarray, "bonds 2"]
    radius: float


def paint(
    scene: Scene, positions: Float[np.ndarray, "atoms 3"], box: Float[np.ndarray, "3 3"] | None, text: str
) -> Image.Image:
    """One frame, with `text` in its lower left corner."""
    camera = scene.camera
    # Twice as fine, then averaged: Pillow's own lines and pastes have jagged edges.
    image = Image.new("RGB", (camera.size[0] * _FINER, camera.size[1] * _FINER), "white")
    draw = ImageDraw.Draw(image)
    if box is not None:
        _edges(draw, camera, box, front=False)
    _atoms(image, draw, scene, positions, box)
    if box is not None:
        _edges(draw, camera, box, front=True)
    height = max(12, camera.size[0] // 28)
    # Below the picture there is room for the text: 2 height, an even number.
    whole = Image.new("RGB", (camera.size[0], camera.size[1] + 2 * height), "white")
    whole.paste(image.reduce(_FINER))
    font = ImageFont.load_default(size=height)
    ImageDraw.Draw(whole).text((8, whole.height - height // 2 - 2), text, fill=_TEXT, font=font, anchor="ls")
    return whole


def _edges(draw: ImageDraw.ImageDraw, camera: Camera, box: np.ndarray, *, front: bool) -> None:
    pixels, depth = camera.project(corners(box))
    nearest = depth.max() - 1e-9
    for i, j in EDGES:
        # In a straight view every edge is as near as its other end, and all are drawn behind the atoms.
        if (max(depth[i], depth[j]) >= nearest > depth.min()) == front:
            color, width = (_BOX_FRONT, 2) if front else (_BOX_BACK, 3)
            draw.line([_point(pixels[i]), _point(pixels[j])], fill=color, width=width)


def _atoms(
    image: Image.Image, draw: ImageDraw.ImageDraw, scene: Scene, positions: np.ndarray, box: np.ndarray | None
) -> None:
    camera = scene.camera
    diameter = max(4, round(2 * scene.radius * camera.scale * _FINER))
    pixels, depth = camera.project(positions)
    things: list[tuple[float, bool, int]] = [(z, True, index) for index, z in enumerate(depth.tolist())]
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    owners = np.zeros(0, int)
    if len(scene.bonds):
        d = minimum_image(positions[scene.bonds[:, 1]] - positions[scene.bonds[:, 0]], box)
        pieces = sticks(positions, scene.bonds, d, scene.types)
        (starts, _), (ends, _), owners = camera.project(pieces.starts), camera.project(pieces.ends), pieces.owners
        lines = [(_point(a), _point(b)) for a, b in zip(starts, ends, strict=True)]
        # Behind both atoms, which hide its ends.
        behind = np.minimum(depth[pieces.owners], depth[pieces.others])
        things += [(z, False, index) for index, z in enumerate(behind.tolist())]
    for z, is_atom, index in sorted(things):
        shade = round(z * (_SHADES - 1))
        if is_atom:
            sphere = _sphere(int(scene.types[index]) % len(PALETTE), shade, diameter)
            x, y = _point(pixels[index])
            image.paste(sphere, (round(x - diameter / 2), round(y - diameter / 2)), sphere)
        else:
            color = _fogged(_rgb(int(scene.types[owners[index]])) * 0.75, shade)
            width = max(3, round(0.36 * diameter))
            draw.line(lines[index], fill=tuple(int(c) for c in color), width=width)


def _point(pixel: np.ndarray) -> tuple[float, float]:
    return float(pixel[0]) * _FINER, float(pixel[1]) * _FINER


def _rgb(kind: int) -> np.ndarray:
    return np.array(ImageColor.getrgb(PALETTE[kind % len(PALETTE)]), float)


def _fogged(color: np.ndarray, shade: int) -> np.ndarray:
    return color + (255 - color) * _FOG * (1 - shade / (_SHADES - 1))


@functools.lru_cache(maxsize=512)
def _sphere(kind: int, shade: int, diameter: int) -> Image.Image:
    """A lit sphere with a soft rim, as RGBA."""
    axis = (np.arange(diameter) + 0.5) / diameter * 2 - 1
    x, y = np.meshgrid(axis, axis)
    r2 = x**2 + y**2
    z = np.sqrt(np.clip(1 - r2, 0, 1))
    # Light from the upper left, in front.
    light = np.clip((-0.45 * x - 0.55 * y + 0.70 * z), 0, 1)
    color = _rgb(kind) * (0.50 + 0.50 * light)[..., None] + 255 * 0.55 * (light**12)[..., None]
    pixels = np.zeros((diameter, diameter, 4), np.uint8)
    pixels[..., :3] = np.clip(_fogged(color, shade), 0, 255)
    # One pixel of transition at the rim.
    pixels[..., 3] = 255 * np.clip((1 - np.sqrt(r2)) * diameter / 2 + 0.5, 0, 1)
    return Image.fromarray(pixels)
