"""Replicas side by side: the mean over independent runs, its error, and the agreement of signs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import MOLECULE, PLENTY, apart, changed, nothing, ready

from diffmd.adjoints.base import Adjoint
from diffmd.adjoints.finite_difference import FiniteDifference
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.propagator import DRAWN, Replicas, replica_keys, replica_values
from diffmd.adjoints.replicas.own_losses import own_losses
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.commands.run.experiment import check_replicas, copied, first_run, made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import build
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError, NumericalError
from diffmd.losses import LossTerm, compared
from diffmd.objective import Objective, Ready
from diffmd.simulation import equilibrate

COUNT = 3
# Bonds alone: they compile soon.
BONDS = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond"])
NOISY = changed(
    BONDS,
    system__velocities={"kind": "maxwell_boltzmann", "temperature": 0.02},
    dynamics__integrator={"kind": "langevin", "dt": 0.05, "friction": 0.5, "temperature": 0.02},
    loss=[
        {"observable": {"kind": "distance", "pairs": [[0, 2], [1, 3]]}, "target": 1.0, "frames": "all"},
        {"observable": {"kind": "nearest_distance"}, "target": 0.6, "frames": "all", "reduce": "none"},
    ],
)


@pytest.fixture(scope="module")
def runs():
    with jax.enable_x64(True):
        case = ready(NOISY)
        together = made_ready(case.experiment, case.p, SilentReporter(), None, COUNT)
        yield case, together


# Of one number the shares of own losses are those of the gradient, times a factor; of several they take another walk.
@pytest.mark.parametrize(("average", "terms"), [("loss", 2), ("observable", 2), ("observable", 1)])
def test_every_method_gives_the_same_shares(runs, average, terms):
    case, together = runs
    objective, replicas = of_terms(case.experiment.objective, terms), Replicas(COUNT, average)
    reverse = Reverse(objective, PLENTY, replicas).gradient(copied(together), case.p, nothing, nothing)
    forward = Forward(objective, 8, replicas=replicas).gradient(copied(together), case.p, nothing, nothing)
    differences = FiniteDifference(objective, None, 8, replicas).gradient(copied(together), case.p, nothing, nothing)
    assert forward.loss == pytest.approx(reverse.loss, rel=1e-12)
    assert apart(forward.gradients, reverse.gradients) < 1e-9
    assert apart(forward.standard_error, reverse.standard_error) < 1e-9
    assert apart(differences.gradients, reverse.gradients) < 1e-6
    assert apart(differences.standard_error, reverse.standard_error) < 1e-6
    assert reverse.sign_agreement is not None
    for other in (forward, differences):
        assert all(np.array_equal(reverse.sign_agreement[path], other.sign_agreement[path]) for path in case.p)


def of_terms(objective: Objective, count: int) -> Objective:
    (problem,) = objective.problems
    return Objective((dataclasses.replace(problem, terms=problem.terms[:count]),), objective.parameters)


@pytest.mark.parametrize(("compare", "target"), [("squared", 1.0), ("squared", 3.0), ("absolute", 1.0), ("huber", 1.2)])
def test_the_error_of_averaged_observables_is_the_spread_over_other_replicas(runs, compare, target):
    # y = a p + b with random a and b: the derivative of each replica is a, the mean of y at p = 1 is 1.
    observable = runs[0].experiment.objective.problems[0].terms[0].observable
    term = LossTerm.create("loss.0", observable, compare=compare, target=target)
    problem = dataclasses.replace(runs[0].experiment.objective.problems[0], terms=(term,))
    draws = np.random.default_rng(1).normal(size=(300, 2, 16))
    a, b = 1 + 0.3 * draws[:, 0], 0.5 * draws[:, 1]

    def loss(p, a, b):
        return compared(term, jnp.mean(a * p + b))

    def own(p, a, b):
        return own_losses(problem, "observable", [a * p + b], [a + b])

    gradients = jax.vmap(jax.grad(loss), (None, 0, 0))(1.0, a, b)
    each = jax.vmap(jax.jacfwd(own), (None, 0, 0))(1.0, a, b)
    spread, errors = float(np.std(gradients, ddof=1)), np.std(each, axis=1, ddof=1) / 4
    # Of 300 gradients the spread is known to 4 %; derivatives that scatter by 0.3 of their mean add as much.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(spread, rel=0.15)


def by_reverse(objective: Objective, replicas: Replicas | None) -> Adjoint:
    return Reverse(objective, PLENTY, replicas)


def by_reversible(objective: Objective, replicas: Replicas | None) -> Adjoint:
    return Reversible(objective, replicas=replicas)


@pytest.mark.parametrize("method", [by_reverse, by_reversible])
def test_the_mean_of_losses_is_that_of_single_runs(method, runs):
    case, together = runs
    gradient = method(case.experiment.objective, Replicas(COUNT))
    found = gradient.gradient(copied(together), case.p, nothing, nothing)
    single = method(case.experiment.objective, None)
    each = []
    for number in range(COUNT):
        values = {"default": replica_values(together.values["default"], number)}
        key = replica_keys(together.key, COUNT)[number]
        start = Ready(values, copied(together).controls, key)
        each.append(single.gradient(start, case.p, nothing, nothing))
    assert len({one.loss for one in each}) == COUNT
    assert found.loss == pytest.approx(np.mean([one.loss for one in each]), rel=1e-12)
    for path in case.p:
        own = np.array([one.gradients[path] for one in each])
        np.testing.assert_allclose(found.gradients[path], own.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(found.standard_error[path], own.std(axis=0, ddof=1) / np.sqrt(COUNT), rtol=1e-7)
        agree = np.mean(np.sign(own) == np.sign(own.mean(axis=0)), axis=0)
        np.testing.assert_array_equal(found.sign_agreement[path], agree)


def test_the_first_replica_is_the_run_without(runs):
    case, together = runs
    alone = first_run(together).values["default"]
    for key in ("system.positions", "system.velocities"):
        np.testing.assert_array_equal(alone[key], case.ready.values["default"][key])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"system__velocities": {"kind": "maxwell_boltzmann", "temperature": 1.0}, "parameters": ["system.velocities"]},
    ],
)
def test_copies_of_one_run_are_refused(change):
    # Also those that differ in nothing but what is learned, which is the same in all.
    case = ready(changed(BONDS, **change))
    with pytest.raises(ConfigError, match="all be alike"):
        made_ready(case.experiment, case.p, SilentReporter(), None, 2)


def test_conformations_are_drawn_anew():
    case = ready(changed(BONDS, system__positions={"kind": "random", "min_distance": 0.6}))
    values = made_ready(case.experiment, case.p, SilentReporter(), None, COUNT).values["default"]
    x = np.asarray(values["system.positions"])
    assert x.shape == (COUNT, 4, 3)
    assert len({one.tobytes() for one in x}) == COUNT
    again = made_ready(case.experiment, case.p, SilentReporter(), None, COUNT).values["default"]
    np.testing.assert_array_equal(again["system.positions"], x)
    assert dataclasses.is_dataclass(case)


@pytest.mark.parametrize(
    "observable",
    [
        {"kind": "rmsd"},
        {"kind": "drmsd"},
        {"kind": "native_contacts", "cutoff": 1.05, "factor": 1.0, "width": 0.1, "separation": 0},
    ],
)
def test_a_reference_to_the_start_is_refused_where_starts_differ(observable):
    loss = [{"observable": {**observable, "reference": {"kind": "start"}}, "compare": "none"}]
    same_place = ready(changed(NOISY, loss=loss))
    check_replicas(same_place.experiment, same_place.p, COUNT)
    drawn = {"kind": "random", "min_distance": 0.6}
    elsewhere = ready(changed(NOISY, loss=loss, system__positions=drawn, system__box=[2.2] * 3))
    with pytest.raises(ConfigError, match=r"loss\.0\.observable\.reference: kind: start .* kind inline or file"):
        check_replicas(elsewhere.experiment, elsewhere.p, COUNT)
    check_replicas(elsewhere.experiment, elsewhere.p, None)


def test_replicas_are_equilibrated_as_if_each_were_alone(double):
    experiment = ready(changed(NOISY, dynamics__equilibration={"steps": 20})).experiment
    (one,) = experiment.systems
    recorder, steps = one.equilibration
    p = starting_parameters(experiment, None)
    together = made_ready(experiment, p, SilentReporter(), None, COUNT).values["default"]
    for number, key in enumerate(replica_keys(experiment.key, COUNT)):
        held = one.drawn(number)
        alone = equilibrate(one.problem, recorder, steps, p, held, key, one.control(held), nothing, nothing)
        for name in DRAWN:
            np.testing.assert_allclose(together[name][number], alone[name], rtol=1e-12, atol=1e-14)


def test_a_replica_that_is_lost_in_equilibration_is_explained(double):
    wild = changed(NOISY, system__box=None, dynamics__integrator__dt=50.0, dynamics__equilibration={"steps": 100})
    experiment = build(load_data(wild))
    with (
        np.errstate(over="ignore"),
        pytest.raises(NumericalError, match=r"blew up at step .* of the equilibration: .*potentials\.bond"),
    ):
        made_ready(experiment, starting_parameters(experiment, None), SilentReporter(), None, COUNT)
