"""Energy is conserved to the order of the integrator."""

from __future__ import annotations

import numpy as np
from support.experiments import liquid, runner


def test_halving_the_time_step_quarters_the_energy_fluctuation(double):
    run = runner(liquid(temperature=1.0))
    fluctuation = []
    for dt, steps in ((0.004, 200), (0.002, 400), (0.001, 800)):
        found = run(steps, 4, longest=200, values={"dynamics.integrator.dt": dt})
        fluctuation.append(np.std(found["total_energy"]))
    np.testing.assert_allclose(np.divide(fluctuation[:-1], fluctuation[1:]), 4, rtol=0.1)
    # The kinetic energy itself changes a thousand times as much.
    assert fluctuation[0] < 2e-3 * np.std(found["kinetic_energy"])
