"""Configs that the tests of the config layer damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = tuple(sorted(path.stem for path in CONFIGS.glob("*.yaml")))

MINIMAL = """\
system:
  box: [4.0, 4.0, 4.0]
  atoms:
    - {type: A, count: 6, mass: 1.0}
    - {type: B, count: 4, mass: 2.0}
  positions: {kind: random, min_distance: 0.5}
potentials:
  lj:
    kind: lennard_jones
    sigma: {A: 0.5, B: 0.6}
    epsilon: 0.2
    cutoff: {kind: shifted_force, distance: 1.5}
  bond: {kind: harmonic_bond, bonds: [[0, 1], [1, 2]], r0: 0.7, k: 100.0}
dynamics:
  integrator: {kind: velocity_verlet, dt: 0.01}
  thermostat: {kind: berendsen, temperature: 0.1, tau: 0.5}
  steps: 20
loss:
  - {observable: {kind: nearest_distance}, target: 0.5}
parameters: [potentials.lj.epsilon]
"""

Said = Callable[..., str]
