"""How fast atoms start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from diffmd.config.velocities import VelocitiesSpec, draw_velocities
from diffmd.errors import ConfigError
from diffmd.units import MD, REDUCED

SPEC: TypeAdapter[Any] = TypeAdapter(VelocitiesSpec)
MASSES = np.repeat([1.0, 4.0], 2000)


def draw(
    spec: dict[str, Any], masses: np.ndarray = MASSES, k: float = 1.0, seed: int = 1, folder: Path = Path()
) -> np.ndarray:
    return draw_velocities(
        SPEC.validate_python(spec), masses=masses, boltzmann=k, seed=seed, folder=folder,
        degrees_of_freedom=3 * len(masses) - 3, units=REDUCED,
    )  # fmt: skip


def test_maxwell_boltzmann_has_its_variance() -> None:
    v = draw({"kind": "maxwell_boltzmann", "temperature": 300.0}, k=MD.boltzmann)
    # 6000 numbers each: a relative standard error of 1.8 %.
    for part, mass in ((v[:2000], 1.0), (v[2000:], 4.0)):
        assert np.mean(part**2) == pytest.approx(MD.boltzmann * 300 / mass, rel=0.08)
        assert abs(np.mean(part)) < 5 * np.sqrt(MD.boltzmann * 300 / mass / 6000)
    np.testing.assert_array_equal(v, draw({"kind": "maxwell_boltzmann", "temperature": 300.0}, k=MD.boltzmann))


def test_exact_temperature_and_no_drift() -> None:
    v = draw({"kind": "maxwell_boltzmann", "temperature": 2.0, "exact": True, "remove_com": True})
    np.testing.assert_allclose(np.sum(MASSES[:, None] * v**2) / (3 * len(v) - 3), 2.0, rtol=1e-12)
    np.testing.assert_allclose(MASSES @ v, 0, atol=1e-9)


def test_others(tmp_path: Path) -> None:
    two = np.ones(2)
    assert not np.any(draw({"kind": "zero"}))
    assert not np.any(draw({"kind": "maxwell_boltzmann", "temperature": 0.0, "exact": True}))
    np.testing.assert_array_equal(draw({"kind": "inline", "values": [[1.0, 2, 3], [4, 5, 6]]}, two)[1], [4, 5, 6])
    (tmp_path / "a.xyz").write_text("2\nProperties=species:S:1:pos:R:3:vel:R:3\nA 0 0 0 1 2 3\nA 1 1 1 4 5 6\n")
    np.testing.assert_array_equal(draw({"kind": "file", "path": "a.xyz"}, two, folder=tmp_path)[1], [4, 5, 6])
    (tmp_path / "b.xyz").write_text("2\n\nA 0 0 0\nA 1 1 1\n")
    with pytest.raises(ConfigError, match="has no velocities"):
        draw({"kind": "file", "path": "b.xyz"}, two, folder=tmp_path)
    with pytest.raises(ConfigError, match="has 1 atoms, but"):
        draw({"kind": "inline", "values": [[1.0, 2.0, 3.0]]}, two)


def test_one_atom_has_no_exact_temperature() -> None:
    with pytest.raises(ConfigError, match="at rest") as caught:
        draw({"kind": "maxwell_boltzmann", "temperature": 1.0, "exact": True, "remove_com": True}, np.ones(1))
    assert caught.value.path == "system.velocities.exact"
