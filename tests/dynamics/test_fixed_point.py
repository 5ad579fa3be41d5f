"""Integer dynamics: rounded forces, damping that is undone, and runs that come back bit for bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array
from support.objectives import FLUID, Case, changed, ready

from diffmd.adjoints.reversible.damping import NEVER, damp, interval, undamp
from diffmd.adjoints.reversible.fixed_point import FixedPoint, FixedState
from diffmd.adjoints.reversible.rolling import Lists, LostBits, Rolled, opened, roll
from diffmd.neighbors import NeighborList, plan

pytestmark = pytest.mark.usefixtures("double")

BITS = 40
LONGEST = 40
LANGEVIN = {"kind": "langevin", "dt": 0.01, "friction": 2.0, "temperature": 0.8}


def drawn(size: int, spread: float) -> Array:
    return jnp.asarray(np.rint(np.random.default_rng(1).normal(0, spread, (size, 3))).astype(np.int64))


@pytest.mark.parametrize("c", [1.0, 0.995, 0.5, 0.01])
def test_damping_is_undone(c: float):
    v, r = drawn(50, 2.0**42), drawn(50, 2.0**20)
    damped, kept = damp(v, r, jnp.asarray(c))
    assert np.max(np.abs(np.asarray(damped) - c * np.asarray(v))) <= 1.5
    assert np.max(np.abs(np.asarray(kept) - np.asarray(r) / c)) <= 1 + 1 / c
    back = undamp(damped, kept, jnp.asarray(c))
    assert np.array_equal(back[0], v)
    assert np.array_equal(back[1], r)


def test_what_friction_takes_fits_into_a_word_until_it_is_put_away():
    rate = 0.2
    every = interval(math.exp(-rate))
    # 52 bits at gamma dt / ln 2 a step, but for those that rounding makes at first.
    assert 0.8 < every * rate / math.log(2) / 52 < 1
    assert interval(1.0) == interval(1.1) == NEVER
    assert interval(math.exp(-40)) == 0

    @jax.jit
    def run(v: Array) -> Array:
        def step(carry: Any, _: None) -> Any:
            v, r = carry
            v, r = damp(v + drawn(50, 2.0**40), r, jnp.exp(-rate))
            return (v, r), None

        return lax.scan(step, (v, jnp.zeros_like(v)), None, length=every)[0][1]

    held = np.max(np.abs(np.asarray(run(drawn(50, 2.0**40)))))
    assert 2.0**46 < held < 2.0**52


def test_rounded_forces_do_not_depend_on_the_list():
    case = ready(FLUID)
    problem = case.experiment.objective.problems[0]
    values, field = case.ready.values["default"], problem.dynamics.forcefield
    x, box = values["system.positions"], problem.box(values)
    none = np.zeros((0, 2), int)
    pairs, listed = (
        jax.jit(Lists(plan(kind, np.asarray(x), box, 1.9, 0.1, none), box, none).at)(x)
        for kind in ("all_pairs", "cell_list")
    )
    assert isinstance(listed, NeighborList)
    turned = dataclasses.replace(listed, indices=listed.indices[:, ::-1], mask=listed.mask[:, ::-1])
    scale = jnp.asarray(2.0**32)
    forces = jax.jit(field.rounded_forces)
    (first, largest), *others = (forces(values, x, box, n, scale) for n in (pairs, listed, turned))
    for other, same in others:
        assert np.array_equal(first, other)
        assert same == largest
    np.testing.assert_allclose(first / scale, jax.jit(field.forces)(values, x, box, pairs), atol=20 * 2.0**-32)
    assert np.array_equal(np.sum(first, axis=0), np.zeros(3))
    met = x.at[1].set(x[0])
    assert np.isnan(forces(values, met, box, pairs, scale)[1])


@dataclasses.dataclass
class Roller:
    """Rolls a case on and back."""

    case: Case
    lost_bits: LostBits

    def __post_init__(self) -> None:
        problem = self.case.experiment.objective.problems[0]
        values, key = self.case.ready.values["default"], self.case.ready.key
        fixed = FixedPoint(problem.dynamics, values, problem.box(values), key, BITS)
        lists = Lists(self.case.ready.controls["default"].plan, fixed.box, problem.dynamics.system.excluded)
        begun = fixed.encode(values["system.positions"], values["system.velocities"], jnp.asarray(0))
        self.start: FixedState = jax.jit(lambda state: opened(fixed, lists, state)[0])(begun)
        self.roll: Callable[..., Rolled] = jax.jit(
            lambda state, lost_bits, steps, on: roll(fixed, lists, state, lost_bits, LONGEST, steps, on)
        )

    def run(self, parts: list[int]) -> tuple[FixedState, list[Rolled], LostBits]:
        state, lost_bits, out = self.start, self.lost_bits, []
        for steps in parts:
            out.append(self.roll(state, lost_bits, steps, True))
            state, lost_bits = out[-1].state, out[-1].lost_bits
        return state, out, lost_bits


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def no_words(case: Case, every: int = NEVER, room: int = 1) -> LostBits:
    size = case.ready.values["default"]["system.positions"].shape[0]
    return LostBits(jnp.asarray(every), jnp.asarray(0), jnp.zeros((room, size, 3), np.int64))


def test_verlet_comes_back():
    roller = Roller(case := ready(FLUID), no_words(case))
    state, parts, _ = roller.run([40, 20])
    assert not same(state, roller.start)
    for lengths in ([20, 40], [33, 27], [1, 39, 20]):
        back = state
        for steps in lengths:
            back = roller.roll(back, roller.lost_bits, steps, False).state
        assert same(back, roller.start)
    # Every state on the way is the same, either way.
    again = roller.roll(state, roller.lost_bits, 20, False)
    for on, off in zip(parts[1].on_the_way, again.on_the_way, strict=True):
        assert np.array_equal(on[:21], off[:21])


def test_langevin_comes_back_with_words_and_with_lists_that_are_built_elsewhere():
    short = changed(
        FLUID,
        dynamics__integrator=LANGEVIN,
        potentials__lj__cutoff={"kind": "shifted_force", "distance": 1.2},
        system__atoms__0__count=20,
        system__positions__min_distance=0.9,
    )
    short["dynamics"]["neighbors"] = {"kind": "cell_list", "skin": 0.1}
    case = ready(short)
    assert case.ready.controls["default"].plan.is_list
    roller = Roller(case, no_words(case, every=11, room=LONGEST // 11 + 1))
    state, out, kept = roller.start, [], []
    lengths = [40, 40, 15]
    for steps in lengths:
        rolled = roller.roll(state, roller.lost_bits, steps, True)
        out.append(rolled)
        kept.append(rolled.lost_bits)
        state = rolled.state
    assert float(jnp.max(jnp.abs(out[0].on_the_way[0][0] - out[-1].state.positions))) * 2.0**-BITS > 0.1
    assert np.any(np.asarray(kept[0].stored[:3]))
    back = state
    for steps, lost_bits in zip(reversed(lengths), reversed(kept), strict=True):
        rolled = roller.roll(back, lost_bits, steps, False)
        assert bool(rolled.whole)
        back = rolled.state
    assert same(back, roller.start)
    # A lost bit of a word shows, even where it has not reached the velocities yet.
    spoilt = dataclasses.replace(kept[0], stored=kept[0].stored.at[1, 0, 0].add(1))
    middle = roller.roll(out[1].state, kept[1], 40, False).state
    assert not bool(roller.roll(middle, spoilt, 40, False).whole)
