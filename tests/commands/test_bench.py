"""``bench``: what a step and a gradient cost."""

from __future__ import annotations

from pathlib import Path

from support.commanded import Listener, request, written
from support.objectives import MOLECULE, changed

from diffmd.commands.bench import bench


def test_a_config_is_timed(tmp_path: Path):
    bond = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond.k"])
    result = bench(request(written(tmp_path, bond), tmp_path / "run"), Listener())
    (row,) = result.answer["cases"]
    assert (row["case"], row["atoms"], row["steps"]) == ("small", 4, 12)
    assert row["ratio"] == row["gradient_s"] / row["forward_s"] > 0
    assert row["steps_per_s"] > 0
    assert "cpu" in result.answer["device"] or "gpu" in result.answer["device"]
