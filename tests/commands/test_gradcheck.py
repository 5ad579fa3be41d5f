"""``gradcheck``: each of its verdicts on a case that deserves it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from support.commanded import Listener, request, written
from support.objectives import FLUID, MOLECULE, PLENTY, changed, nothing, ready

from diffmd.adjoints.diagnosis.smoothness import first_crossing
from diffmd.adjoints.gradcheck.check import check
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reweight.reweight import Reweight
from diffmd.commands.gradcheck.builtin_cases import CASES, DYNAMICS, ONE_A_FAMILY
from diffmd.commands.gradcheck.gradcheck import gradcheck
from diffmd.commands.gradcheck.groups import built_in
from diffmd.commands.gradcheck.work import METHODS, Check
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError
from diffmd.spec import INTEGRATORS, OBSERVABLES, POTENTIALS, THERMOSTATS

KEYS = {
    *("case", "parameter", "method", "ad", "fd", "fd_error", "relative_error", "verdict", "reason", "suggestion"),
}
BOND = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond"])


@pytest.fixture
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_a_config_that_agrees(tmp_path: Path):
    result = gradcheck(request(written(tmp_path, BOND), tmp_path / "run"), Listener())
    assert result.exit_code == 0
    assert result.answer["passed"] is True
    assert all(set(row) == KEYS for row in result.answer["rows"])
    found = {(row["parameter"], row["method"], row["case"]) for row in result.answer["rows"]}
    keys = ("potentials.bond.r0", "potentials.bond.k")
    assert found == {(key, method, "small") for key in keys for method in ("reverse", "forward", "reversible")}
    assert json.loads((tmp_path / "run" / "gradcheck.json").read_text()) == result.answer
    # The config has no `train` section, so its gradient comes next.
    assert result.next_command.startswith("diffmd gradient")


def test_one_method_and_a_tolerance(tmp_path: Path):
    cut = {"method": "reverse", "truncate": 3, "replicas": 2, "memory": 10**9}
    config, listener = written(tmp_path, changed(BOND, gradient=cut)), Listener()
    result = gradcheck(request(config, tmp_path / "run"), listener, ("forward",), 1e-3)
    assert {row["method"] for row in result.answer["rows"]} == {"forward"}
    assert [text.partition("; ")[2] for text in listener.warned] == [
        "gradient.truncate is left out",
        "gradient.replicas is left out",
    ]
    with pytest.raises(ConfigError, match="relative tolerance is more than 0"):
        gradcheck(request(config, tmp_path / "other"), Listener(), (), -1.0)
    with pytest.raises(ConfigError, match="what the others are checked against"):
        gradcheck(request(config, tmp_path / "other"), Listener(), ("finite-difference",))
    with pytest.raises(ConfigError, match="there are reverse, forward"):
        gradcheck(request(config, tmp_path / "other"), Listener(), ("backward",))
    scaled = written(tmp_path, changed(BOND, dynamics__thermostat={"kind": "rescale", "temperature": 0.1}))
    with pytest.raises(ConfigError, match=r"--method reversible: .* cannot undo a thermostat"):
        gradcheck(request(scaled, tmp_path / "other"), Listener(), ("reversible",))


def test_a_wrong_gradient_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    right = Reverse.gradient

    def wrong(self, ready, p, say, progress):  # type: ignore[no-untyped-def]
        result = right(self, ready, p, say, progress)
        gradients = {path: g * (1 + 1e-4 * path.endswith("r0")) for path, g in result.gradients.items()}
        gradients["system.atoms.0.charge"] = 1e-3
        return dataclasses.replace(result, gradients={path: np.asarray(g) for path, g in gradients.items()})

    monkeypatch.setattr(Reverse, "gradient", wrong)
    config = changed(BOND, parameters=["potentials.bond", "system.atoms.0.charge"])
    result = gradcheck(request(written(tmp_path, config), tmp_path / "run"), Listener())
    assert result.exit_code == 4
    assert result.answer["passed"] is False
    verdicts = {(row["parameter"], row["method"]): row for row in result.answer["rows"]}
    bad = verdicts.pop(("potentials.bond.r0", "reverse"))
    assert bad["verdict"] == "disagrees"
    assert bad["relative_error"] == pytest.approx(1e-4, rel=1e-2)
    assert "the gradient is wrong" in bad["suggestion"]
    # Of what the loss does not depend on, too.
    assert verdicts.pop(("system.atoms.0.charge", "reverse"))["verdict"] == "disagrees"
    assert {row["verdict"] for row in verdicts.values()} == {"agrees"}


@pytest.mark.usefixtures("double")
def test_a_pair_that_crosses_a_truncated_cutoff_is_named():
    # Atoms 0 and 1 fly together, and are 1.5 apart after one step, where the force sets in at once: or not, if the
    # start is moved by ever so little.
    pair = changed(
        FLUID,
        system={
            "box": None,
            "atoms": [{"type": "A", "count": 2, "mass": 1.0}],
            "positions": {"kind": "inline", "values": [[0, 0, 0], [1.51, 0, 0]]},
            "velocities": {"kind": "inline", "values": [[0.5, 0, 0], [-0.5, 0, 0]]},
        },
        potentials__lj__cutoff={"kind": "truncated", "distance": 1.5},
        parameters=["system.positions[0,0]"],
        loss=[{"observable": {"kind": "distance", "pairs": [[0, 1]]}, "target": 1.0}],
    )
    (row,) = ready(pair).rows(("reverse",))
    assert row.verdict == "not_smooth"
    assert re.fullmatch(r"pair 0-1 crosses the truncated cutoff of potentials.lj at step [12]", row.reason)
    assert "shifted_force" in row.suggestion
    # A pair that is excluded crosses nothing.
    pair["system"]["exclusions"] = 1
    pair["potentials"]["bond"] = {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.5, "k": 0.0}
    bonded = ready(pair)
    assert bonded.experiment.systems[0].problem.dynamics.system.excluded.tolist() == [[0, 1]]
    assert not first_crossing(bonded.experiment.objective, bonded.fresh(), bonded.p, nothing)


@pytest.mark.usefixtures("double")
def test_a_kink_in_the_loss_is_no_disagreement():
    plain = ready(changed(BOND, loss=[{"observable": {"kind": "distance", "pairs": [[0, 2]]}, "compare": "none"}]))
    met = {"observable": {"kind": "distance", "pairs": [[0, 2]]}, "target": plain.loss(), "compare": "absolute"}
    rows = ready(changed(BOND, loss=[met])).rows(("forward",))
    assert {row.verdict for row in rows} == {"not_smooth"}
    assert all("one-sided derivatives differ" in row.reason for row in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_chaos_is_said_at_once_with_a_run_that_can_be_checked():
    hot = changed(
        FLUID,
        dynamics__steps=20_000,
        dynamics__integrator__dt=0.005,
        system__velocities__temperature=3.0,
        parameters=["potentials.lj.sigma"],
    )
    done: list[int] = []
    case = ready(hot)
    losses, objective = {"case": None}, case.experiment.objective
    (row,) = check(losses, objective, case.fresh, case.p, ["reverse"], PLENTY, None, print, done.append)
    assert row.verdict == "unresolved"
    assert np.isnan([row.ad, row.fd]).all()
    assert re.match(r"chaos: the run makes 10\^\d+ of any change in 20000 steps, so that finite", row.reason)
    # It looked at the first steps alone.
    assert sum(done) == 2000
    found = re.fullmatch(r"check a shorter run: --set dynamics.steps=(\d+)", row.suggestion)
    assert found
    assert 100 < int(found[1]) < 2000
    assert {row.verdict for row in ready(changed(hot, dynamics__steps=int(found[1]))).rows(("reverse",))} == {"agrees"}


AVERAGE = changed(
    BOND,
    dynamics={
        "integrator": {"kind": "langevin", "dt": 0.05, "friction": 1.0, "temperature": 0.1},
        "steps": 40,
    },
    loss=[{"observable": {"kind": "distance", "pairs": [[0, 2]]}, "target": 1.0, "frames": {"every": 2}}],
    gradient={"method": "reweight"},
)


def test_reweighting_is_checked_on_its_own_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = written(tmp_path, AVERAGE)
    result = gradcheck(request(config, tmp_path / "run"), Listener())
    rows = result.answer["rows"]
    assert {row["method"] for row in rows} == {"reweight"}
    assert [row["verdict"] for row in rows] == ["agrees"] * 2
    assert max(row["relative_error"] for row in rows) < 1e-8
    right = Reweight.gradient

    def wrong(self, ready, p, say, progress):  # type: ignore[no-untyped-def]
        found = right(self, ready, p, say, progress)
        return dataclasses.replace(
            found, gradients={path: np.asarray(1.0001 * g) for path, g in found.gradients.items()}
        )

    monkeypatch.setattr(Reweight, "gradient", wrong)
    result = gradcheck(request(config, tmp_path / "other"), Listener(), ("reweight",))
    assert [row["verdict"] for row in result.answer["rows"]] == ["disagrees"] * 2
    still = written(tmp_path / "still", changed(AVERAGE, gradient={"method": "reverse"}, loss__0__frames="end"))
    with pytest.raises(ConfigError, match=r"--method reweight: method: reweight averages over many frames"):
        gradcheck(request(still, tmp_path / "third"), Listener(), ("reweight",))


OBSERVED = [name for name in CASES if name not in DYNAMICS]
# The whole set takes minutes, and runs beside the tests (.ci/run): here are a case alone, and two that are one run with
# two losses. Every potential and every observable has a test of its derivative beside it; what only gradcheck does with
# them is in these.
PART = ["fene_bond by type and term", *OBSERVED[:2]]


@pytest.mark.slow
def test_the_built_in_set_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diffmd.commands.gradcheck.groups.ONE_A_FAMILY", PART)
    listener = Listener()
    result = gradcheck(request(None, tmp_path / "run"), listener)
    rows = result.answer["rows"]
    assert result.exit_code == 0, [row for row in rows if row["verdict"] != "agrees"]
    # In the order of the set, whichever came first.
    assert list(dict.fromkeys(row["case"] for row in rows)) == PART
    said = [text for name in PART for text in listener.said if re.match(rf"{name}: (\d+) of \1 agree \(.* s", text)]
    assert len(said) == len(PART)
    assert json.loads((tmp_path / "run" / "gradcheck.json").read_text())["passed"] is True


@pytest.mark.parametrize(
    ("full", "only", "said"),
    [
        (False, "steinhart", r"no case of the built-in set fits; the nearest: steinhardt, in every reduction$"),
        (True, "nothing of the sort", r"there are lennard_jones shifted_force.*; and \d+ more$"),
    ],
)
def test_a_pattern_that_fits_no_case_is_refused(tmp_path: Path, full: bool, only: str, said: str):
    with pytest.raises(ConfigError, match=said):
        gradcheck(request(None, tmp_path / "run"), Listener(), full=full, only=only)
    assert not (tmp_path / "run").exists()


def test_a_check_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing to check: none of these cases takes --method implicit"):
        gradcheck(request(None, tmp_path / "run"), Listener(), ("implicit",), only="fene")


def test_a_pattern_picks_parameters_of_a_config(tmp_path: Path):
    config = written(tmp_path, BOND)
    for number, (only, left) in enumerate((("BOND.k", "k"), ("*.r?", "r0"))):
        result = gradcheck(request(config, tmp_path / f"run {number}"), Listener(), ("reverse",), only=only)
        assert [row["parameter"] for row in result.answer["rows"]] == [f"potentials.bond.{left}"]
    with pytest.raises(ConfigError, match=r"--only sigma: no parameter of this config fits; there are potentials.bond"):
        gradcheck(request(config, tmp_path / "other"), Listener(), only="sigma")
    with pytest.raises(ConfigError, match=r"--full is all of the built-in set"):
        gradcheck(request(config, tmp_path / "other"), Listener(), full=True)
    assert not (tmp_path / "other").exists()


def test_cases_that_differ_in_their_loss_are_one_run():
    groups = {name: group for group in built_in(True, None) for name in group.losses}
    assert set(groups) == set(CASES)
    fluid = [name for name in OBSERVED if CASES[name]["parameters"] == CASES[OBSERVED[0]]["parameters"]]
    assert len(fluid) > 5
    assert {id(groups[name]) for name in fluid} == {id(groups[fluid[0]])}
    molecules = groups[OBSERVED[-2]]
    whole = molecules.load().config.loss
    for name, terms in molecules.losses.items():
        assert terms is not None
        assert [whole[k] for k in terms] == load_data(CASES[name]).config.loss


def test_each_case_of_one_run_is_judged_by_its_own_loss():
    loud = {"observable": {"kind": "distance", "pairs": [[0, 2]]}, "compare": "none"}
    faint = {"observable": {"kind": "potential_energy"}, "compare": "none", "weight": 1e-8}
    small = changed(BOND, loss=[faint, loud], parameters=["potentials.bond.r0"])
    with jax.enable_x64(True):
        both, methods = ready(small), ("reverse", "forward", "reversible")
        objective, losses = both.experiment.objective, {"energy": [0], "ends": [1], "sum": None}
        rows = check(losses, objective, both.fresh, both.p, methods, PLENTY, None, nothing, nothing)
        assert [(row.case, row.method) for row in rows] == [(case, method) for case in losses for method in methods]
        assert {row.verdict for row in rows} == {"agrees"}
        by = {(row.case, row.method): row.ad for row in rows}
        alone = ready(changed(small, loss=[faint])).reverse().gradients["potentials.bond.r0"]
        assert by["energy", "reverse"] == pytest.approx(float(alone), rel=1e-10)
        assert by["sum", "reverse"] == pytest.approx(by["energy", "reverse"] + by["ends", "reverse"], rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_every_built_in_case_is_a_config_that_its_methods_take(name: str):
    case = load_data(CASES[name])
    assert case.config.loss
    assert case.config.parameters


def test_the_small_set_has_every_family_and_method():
    text = json.dumps([CASES[name] for name in ONE_A_FAMILY])
    names = [*INTEGRATORS.members, *THERMOSTATS.members, *POTENTIALS.members]
    for kind in set(names) - {"python"}:
        assert f'"kind": "{kind}"' in text, kind
    methods = Check(request(None, Path()), (), None, None, None, True)
    fitting = [methods.fitting(load_data(CASES[name])) for name in ONE_A_FAMILY]
    assert {method for one in fitting for method in one} == set(METHODS)


def test_the_built_in_set_names_every_kind():
    text = json.dumps(dict(CASES))
    assert len(CASES) == len(DYNAMICS) + len(OBSERVED)
    for family in (POTENTIALS, INTEGRATORS, THERMOSTATS, OBSERVABLES):
        for kind in set(family.members) - {"python"}:
            assert f'"kind": "{kind}"' in text, kind
