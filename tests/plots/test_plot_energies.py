"""The picture of what a trajectory recorded: each panel has its unit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.runs import LJ, lattice, make_run, write_trajectory

from diffmd.commands.look.labels import read_facts
from diffmd.io.trajectory import read_trajectory
from diffmd.plots.energies import draw_energies
from diffmd.units import SYSTEMS

OBSERVED = """\
output:
  observables:
    P: {kind: pressure}
    bend: {kind: angle, triples: [[0, 1, 2]]}
    mine: {kind: python, function: "./mine.py:one"}
"""
DIMENSIONS = {"P": "energy/length^3", "bend": "angle", "mine": "1"}


def test_the_config_says_what_was_recorded(tmp_path: Path) -> None:
    assert read_facts(make_run(tmp_path, LJ + OBSERVED, "simulate")).recorded_dimensions == DIMENSIONS


@pytest.mark.parametrize(("units", "pressure"), [("md", "P (kJ/mol/nm^3)"), ("reduced", "P")])
def test_each_observable_is_drawn_in_its_unit(units: str, pressure: str, tmp_path: Path) -> None:
    file = tmp_path / "trajectory.h5md"
    write_trajectory(file, np.stack([lattice(2, 1.5)] * 3), np.eye(3) * 3, units=SYSTEMS[units])
    recorded = {"P": np.arange(3.0), "bend": np.full(3, np.pi / 2), "mine": np.ones(3)}
    trajectory = read_trajectory(file)
    trajectory = dataclasses.replace(trajectory, observables={**trajectory.observables, **recorded})
    picture = draw_energies(trajectory, 0, "", DIMENSIONS)
    panels = {axes.get_title("left"): axes for axes in picture.figure.axes}
    assert [panels[name].get_ylabel() for name in recorded] == [pressure, "bend (degrees)", "mine"]
    assert panels["bend"].lines[0].get_ydata() == pytest.approx([90.0] * 3)
    unit = " kJ/mol" if units == "md" else ""
    assert f"{unit} from the first frame to the last." in picture.caption
