"""What gradient methods say of the memory that they will take: by shapes, and by what XLA plans, without a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from support.objectives import MOLECULE, PLENTY, changed, ready

from diffmd.adjoints.auto import Auto
from diffmd.adjoints.choice import FEW
from diffmd.adjoints.finite_difference import FiniteDifference
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.storage.checkpoints import layout
from diffmd.programs import Program

STATE = 2 * 4 * 3 * 8 + 4 * 3 * 8 + 3 * 3 * 8
"""Bytes of a state of four atoms: positions, velocities, forces, box vectors."""


def test_a_program_remembers_the_largest_of_its_calls():
    program = Program(lambda x: jnp.sort(jnp.sin(x[:, None] + x), axis=1).sum())
    assert program.temporary() == 0
    foretold = program.planned(jax.ShapeDtypeStruct((60,), np.float32))
    assert foretold >= 60 * 60 * 4
    assert program.temporary() == 0
    for size in (5, 60, 7):
        program(jnp.ones(size, np.float32))
    assert program.temporary() == foretold
    assert program.outputs(jnp.ones(5)).shape == ()


def test_what_is_kept_between_segments_is_no_residual():
    stored = layout(100, 10.0, 50.0, 100, 1e6)
    assert stored.stored
    assert stored.kept == stored.predicted == 5000.0
    root = layout(100, 10.0, 50.0, 100, 1200.0)
    assert (root.stored, root.group, root.longest) == (False, 1, 20)
    assert root.kept == 100 / 20 * 10
    assert root.predicted == root.kept + 20 * 50
    levels = layout(1000, 10.0, 1.0, 1000, 700.0)
    assert levels.predicted <= 700
    assert levels.kept == levels.predicted - levels.longest


def test_methods_without_a_tape_keep_states_of_what_runs_at_once():
    with jax.enable_x64(True):
        case = ready(changed(MOLECULE, dynamics__steps=60))
        objective = case.experiment.objective
        forward = Forward(objective, None).stored(case.fresh(), case.p)
        differences = FiniteDifference(objective, None, 6).stored(case.fresh(), case.p)
    # theta0 is two numbers.
    assert forward.bytes == (1 + 2) * 2 * STATE
    assert forward.kept == "2 tangents at once"
    assert differences.bytes == 6 * 2 * STATE
    assert (forward.in_a_row, differences.in_a_row) == (True, False)


def test_reverse_is_foretold_by_the_programs_that_it_will_run():
    with jax.enable_x64(True):
        case = ready(changed(MOLECULE, dynamics__steps=60))
        reverse = Reverse(case.experiment.objective, PLENTY)
        kept, planned = reverse.stored(case.fresh(), case.p), reverse.planned(case.fresh(), case.p)
        auto = Auto(case.experiment.objective, PLENTY, None, None)
        assert auto.planned(case.fresh(), case.p) is None
    # On the way on, the residuals are results; on the way back, arguments.
    assert planned is not None
    assert 0 < planned < 10 * kept.bytes
    assert FEW == 2
