"""The shipped example of a potential and an observable of one's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.box import Box
from diffmd.commands.config.init import init
from diffmd.config.examples import example_text
from diffmd.config.loading import load
from diffmd.neighbors import build, neighbor_displacements, plan
from diffmd.observables.base import Frame

ROOT = Path(__file__).parents[2]
EDGE = 8.0
PARAMETERS = {"height": 1.7, "size": 1.1, "cutoff": 2.4}


@pytest.fixture(scope="module")
def mine() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_functions", ROOT / "configs/own_functions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fluid(kind: str) -> tuple[jax.Array, Box, Any]:
    x = jnp.asarray(np.random.default_rng(0).uniform(-4, 12, (160, 3)))
    box = Box(jnp.eye(3) * EDGE, "orthorhombic")
    excluded = np.array([[0, 1]])
    made = plan(kind, np.asarray(x), box, 2.4 if kind == "cell_list" else None, 0.2, excluded)
    return x, box, build(made, x, box, excluded)


def distances(x: np.ndarray) -> np.ndarray:
    """Of every pair but the excluded one, by the nearest image."""
    d = x[:, None] - x
    d -= EDGE * np.round(d / EDGE)
    r = np.sqrt(np.sum(d**2, axis=-1))
    r[0, 1] = r[1, 0] = np.inf
    return r[np.triu_indices(len(x), 1)]


@pytest.mark.parametrize("kind", ["cell_list", "all_pairs"])
def test_the_energy_is_the_sum_over_pairs(mine, kind):
    with jax.enable_x64(True):
        x, box, neighbors = fluid(kind)
        energy = float(mine.energy(x, box, neighbors, jnp.zeros(160, int), PARAMETERS))
        p = {name: jnp.asarray(value) for name, value in PARAMETERS.items()}
        forces = np.asarray(jax.grad(lambda y: mine.energy(y, box, neighbors, None, p))(x))
        r = distances(np.asarray(x))
        r = r[r < 2.4]
        expected = np.sum(1.7 * np.exp(-((r / 1.1) ** 2)) * (1 - (r / 2.4) ** 2) ** 2)
    assert energy == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(forces).all()
    assert np.abs(np.sum(forces, axis=0)).max() < 1e-12


@pytest.mark.parametrize("kind", ["cell_list", "all_pairs"])
def test_the_crowding_is_the_count_over_that_of_an_ideal_gas(mine, kind):
    with jax.enable_x64(True):
        x, box, neighbors = fluid(kind)
        none: Any = lambda: None  # noqa: E731
        v = jnp.zeros_like(x)
        frame = Frame(x, v, v[:, 0], box, v[0, 0], none, none, none, none, 3, neighbors)
        found = float(mine.crowding(frame, None, {"distance": 1.5, "width": 1e-3}))
        count = 2 * np.sum(distances(np.asarray(x)) < 1.5) / 160
    assert found == pytest.approx(count / (159 / EDGE**3 * 4 * np.pi / 3 * 1.5**3), rel=2e-2)


@pytest.mark.parametrize("kind", ["cell_list", "all_pairs"])
def test_displacements_are_those_of_the_pairs(kind):
    with jax.enable_x64(True):
        x, box, neighbors = fluid(kind)
        d, j, pairs = (np.asarray(a) for a in neighbor_displacements(neighbors, x, box))
    i = np.broadcast_to(np.arange(160)[:, None], j.shape)
    raw = np.asarray(x)[i] - np.asarray(x)[j]
    np.testing.assert_allclose(d[pairs], (raw - EDGE * np.round(raw / EDGE))[pairs], atol=1e-12)
    assert not d[~pairs].any()
    r = np.sort(np.linalg.norm(d[pairs], axis=-1))
    within = np.sort(np.repeat(distances(np.asarray(x)), 2))
    np.testing.assert_allclose(r[r < 2.4], within[within < 2.4], rtol=1e-12)


def test_init_copies_the_functions_along(tmp_path):
    file = init(tmp_path, "own_functions")
    assert file.read_text() == example_text("own_functions")
    copied = tmp_path / "own_functions.py"
    assert copied.read_text() == (ROOT / "configs/own_functions.py").read_text()
    assert load(file).config.parameters[0].path == "potentials.soft.parameters.height"


def test_the_docs_show_the_functions_as_they_are():
    shown = (ROOT / "docs/own_functions.md").read_text()
    code = (ROOT / "configs/own_functions.py").read_text()
    blocks = [block.split("```")[0] for block in shown.split("```python\n")[1:]]
    assert len(blocks) == 2
    lines = {line.strip() for line in code.splitlines()}
    for block in blocks:
        assert {line.strip() for line in block.splitlines() if line.strip() not in ("", "...")} <= lines
