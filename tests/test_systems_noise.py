"""Systems beside each other: noise of their own."""

from __future__ import annotations

import numpy as np

from diffmd.config.build import build
from diffmd.config.loading import load_data
from diffmd.dynamics.run.schedule import legs, segments
from diffmd.simulation import Recorder


def test_two_systems_of_one_size_draw_different_noise(double):
    atoms = {
        "box": None,
        "atoms": [{"type": "A", "count": 2, "mass": 1.0}],
        "positions": {"kind": "inline", "values": [[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]},
    }
    built = build(
        load_data(
            {
                "systems": {name: {"system": atoms} for name in ("a", "b")},
                "potentials": {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 5.0, "k": 1.0}},
                "dynamics": {
                    "integrator": {"kind": "langevin", "dt": 0.1, "friction": 1.0, "temperature": 1.0},
                    "steps": 3,
                    "remove_com_motion": 1,
                },
            }
        )
    )
    ends = []
    for one in built.systems:
        recorder, control = Recorder(one.problem), one.control(one.values)
        state = recorder.start({}, one.values, control)
        plan = segments(legs(3, []), 3)
        ends.append(
            recorder.run({}, one.values, built.key, control, state, plan, lambda *_: None, lambda _: None).velocities
        )
    assert np.abs(np.asarray(ends[0] - ends[1])).max() > 0.1
