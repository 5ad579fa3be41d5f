"""Equilibration anew in each epoch."""

from __future__ import annotations

from support.experiments import VERLET, dimers

from diffmd.commands.run.experiment import made_ready
from diffmd.commands.run.reporter import SilentReporter


def test_an_equilibration_that_is_repeated_compiles_nothing_again(double):
    built = dimers(2, {"r0": 1.0, "k": 10.0}, {"integrator": VERLET, "equilibration": {"steps": 4, "each_epoch": True}})
    made_ready(built, {}, SilentReporter())
    recorder, _ = built.systems[0].equilibration
    compiled = {name: program._jitted._cache_size() for name, program in recorder._programs._made.items()}
    made_ready(built, {}, SilentReporter())
    assert compiled == {name: program._jitted._cache_size() for name, program in recorder._programs._made.items()}
    assert set(compiled.values()) == {1}
