"""However a run is cut into segments, blocks and lists, it is the same run."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from support.experiments import Runner, liquid, runner

from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.probes import PROBES
from diffmd.dynamics.run.shape import Shape
from diffmd.neighbors import NeighborPlan, build

LISTS = {"neighbors": {"kind": "cell_list", "skin": 0.3}}
PLAIN = {"neighbors": {"kind": "all_pairs"}}


@pytest.fixture(scope="module")
def all_pairs():
    """60 steps of a hot liquid, every one recorded, from every pair."""
    with jax.enable_x64(True):
        return runner(liquid(PLAIN, temperature=2.0))(60)


def listed(**changes: int) -> tuple[Runner, ListControl]:
    """The same with lists, whose plan or block is changed before it starts."""
    one = runner(liquid(LISTS, temperature=2.0))
    control = one.one.control(one.one.values)
    assert control.plan.is_list
    block = changes.pop("block", 0)
    return one, ListControl(dataclasses.replace(control.plan, **changes), block or control.block, block > 0)


def same(run, expected, every=1) -> None:
    for name in ("positions", "velocities", "forces", "potential_energy"):
        np.testing.assert_allclose(run[name], expected[name][::every], rtol=1e-9, atol=1e-9, err_msg=name)


def test_segments_of_any_length_are_the_same_bit_for_bit(all_pairs, double):
    run = runner(liquid(PLAIN, temperature=2.0))
    for longest in (7, 20):
        parts = run(60, longest=longest)
        for name, rows in all_pairs.frames.items():
            np.testing.assert_array_equal(parts[name], rows, err_msg=name)


@pytest.mark.parametrize(("every", "block"), [(3, 8), (20, 8), (30, 1), (3, 0), (30, 0)])
def test_lists_give_what_all_pairs_give(every, block, all_pairs, double):
    # Frames closer than lists, wider, as wide, a list a step; and lists on demand, frames closer than them and wider.
    # With room for the liquid: the plan was made for the crystal that it starts from, which has fewer atoms so near.
    run, control = listed(block=block, capacity=40)
    found = run(60, every, control=control)
    same(found, all_pairs, every)
    assert not found.said


def test_a_list_too_small_grows_and_the_segment_is_run_again(all_pairs, double):
    run, control = listed(capacity=8, cell_capacity=4)
    found = run(60, 20, longest=20, control=control)
    assert "run again: neighbour list grown" in found.said[0]
    assert control.plan.capacity > 8
    same(found, all_pairs, 20)


def test_a_list_outrun_is_built_more_often_and_the_segment_is_run_again(all_pairs, double):
    run, control = listed(block=60)
    found = run(60, 60, control=control)
    assert "run again: neighbour lists rebuilt every" in found.said[0]
    assert control.block < 60
    same(found, all_pairs, 60)
    # From the same control, the same run.
    again = run(60, 60, control=ListControl.from_json(control.to_json()))
    assert not again.said
    np.testing.assert_array_equal(again.end.positions, found.end.positions)


@pytest.mark.parametrize("steps", [60, 500, 997, 1000])
@pytest.mark.parametrize("stride", [0, 1, 20])
@pytest.mark.parametrize("block", [0, 1, 7, 30])
def test_the_stretches_of_a_segment_are_its_steps_and_end_where_frames_and_lists_do(steps, stride, block):
    if stride:
        steps -= steps % stride
    kind = "cell_list" if block else "all_pairs"
    shape = Shape(steps, stride, block, (), NeighborPlan(kind, 200, 2.5, 0.3, 100))
    ends = set(np.cumsum(shape.stretches).tolist())
    assert sum(shape.stretches) == steps
    assert ends >= set(range(stride or steps, steps + 1, stride or steps))
    assert max(shape.stretches) <= min(2 * max(1, steps // 50), stride or steps, block or steps)
    if not block and not stride:
        assert len(shape.stretches) == pytest.approx(50, abs=10)


@pytest.mark.parametrize(("stride", "block"), [(20, 10), (50, 49)])
def test_each_stretch_between_frames_leaves_its_probe(stride, block, double):
    one = runner(liquid(LISTS)).one
    problem, plan = one.problem.with_mode("reverse"), one.control(one.values).plan
    shape = Shape(100, stride, block, (), plan)
    state = jax.jit(lambda base: problem.start({}, base, plan))(one.values)

    def end(probes):
        after, _, _ = problem.advance({}, one.values, jax.random.key(0), shape, state, probes)
        return after.positions[0, 0]

    norms = jax.jit(jax.grad(end))(np.zeros((len(shape.stretches), PROBES)))[:, 0]
    assert np.all(np.asarray(norms) > 0)


def test_frames_off_the_block_take_no_step_too_many(all_pairs, double):
    run, control = listed(block=8)
    found = run(50, 20, control=control, longest=100)
    assert int(found.end.step) == 50
    np.testing.assert_allclose(found.end.positions, all_pairs["positions"][50], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["positions"][1:], all_pairs["positions"][[20, 40]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("every", "block", "longest"), [(3, 8, 60), (20, 8, 30), (60, 60, 60), (3, 0, 60), (30, 0, 30)]
)
def test_the_lists_that_are_built_are_counted(every, block, longest, monkeypatch, double):
    seen = []

    def counting(*arguments):
        jax.debug.callback(lambda: seen.append(1))
        return build(*arguments)

    monkeypatch.setattr("diffmd.forcefield.build", counting)
    run, control = listed(block=block)
    run(60, every, control=control, longest=longest)
    jax.effects_barrier()
    # All but the one for the frame of the start. Segments that were run again count, too.
    assert control.built == len(seen) - 1 > 2
