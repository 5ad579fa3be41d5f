"""``simulate``: frames, resuming bit for bit, several systems, equilibration, failures that keep what was written."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support.commanded import Listener, request, same, written
from support.objectives import CONFIGS, FLUID, MOLECULE, changed

from diffmd.commands.simulate import simulate
from diffmd.commands.train import train
from diffmd.config.loading import load
from diffmd.errors import ConfigError, Interrupted, NumericalError
from diffmd.io.trajectory import read_trajectory

BONDED = changed(
    MOLECULE,
    potentials={"bond": MOLECULE["potentials"]["bond"]},
    parameters=["potentials.bond"],
    output={"every": 10},
)
# Lists that grow and blocks that adapt, in segments of ten steps.
LISTED = changed(
    FLUID,
    system__atoms=[{"type": "A", "count": 256, "mass": 1.0}],
    system__positions={"kind": "lattice", "lattice": "fcc", "density": 0.8},
    system__velocities__temperature=1.4,
    potentials__lj__cutoff={"kind": "switch", "distance": 1.7, "from": 1.5},
    dynamics__integrator__dt=0.004,
    dynamics__steps=120,
    dynamics__neighbors={"kind": "cell_list", "skin": 0.3},
    output={"every": 10},
)
del LISTED["system"]["box"]


def test_500_steps_every_10_make_51_frames(tmp_path: Path):
    config = written(tmp_path, changed(BONDED, dynamics__steps=500))
    result = simulate(request(config, tmp_path / "run"), Listener())
    assert (result.answer["frames"], result.answer["steps"]) == (51, 500)
    assert result.summary[0].startswith("default: 51 frames to step 500; last temperature ")
    trajectory = read_trajectory(tmp_path / "run" / "trajectory.h5md")
    assert list(trajectory.step) == list(range(0, 501, 10))
    observables = trajectory.observables
    np.testing.assert_allclose(
        observables["total_energy"], observables["kinetic_energy"] + observables["potential_energy"], rtol=1e-12
    )
    assert result.next_command == f"diffmd plot {tmp_path / 'run'}"
    assert result.answer["total_energy"] == pytest.approx(float(observables["total_energy"][-1]))


def test_observables_that_output_names_are_recorded(tmp_path: Path):
    named = {"ends": {"kind": "distance", "pairs": [[0, 3]]}}
    config = written(tmp_path, changed(BONDED, output={"every": 4, "observables": named}))
    simulate(request(config, tmp_path / "run"), Listener())
    trajectory = read_trajectory(tmp_path / "run" / "trajectory.h5md")
    x = trajectory.positions
    d = x[:, 3] - x[:, 0]
    wanted = np.linalg.norm(d - 3.0 * np.round(d / 3.0), axis=1)
    np.testing.assert_allclose(np.ravel(trajectory.observables["ends"]), wanted, rtol=1e-9)


def test_the_summary_has_units(tmp_path: Path):
    config = written(tmp_path, changed(BONDED, units="md", dynamics__steps=0))
    result = simulate(request(config, tmp_path / "run"), Listener())
    kelvin, energy = f"{result.answer['temperature']:.4g}", f"{result.answer['total_energy']:.6g}"
    assert result.summary[0] == f"default: 1 frame to step 0; last temperature {kelvin} K, total energy {energy} kJ/mol"


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The config with lists and its unbroken run, of segments as short as can be."""
    folder = tmp_path_factory.mktemp("listed")
    config = written(folder, LISTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffmd.objective.usual_length", lambda pairs: 20 if pairs < 256 * 60 else 10)
        listener = Listener()
        simulate(request(config, folder / "whole"), listener)
    return config, folder / "whole"


@pytest.mark.parametrize("after", [20, 60, 110])
def test_a_stopped_run_goes_on_bit_for_bit(
    listed: tuple[Path, Path], after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config, whole = listed
    monkeypatch.setattr("diffmd.objective.usual_length", lambda pairs: 20 if pairs < 256 * 60 else 10)
    out = tmp_path / "run"
    with pytest.raises(Interrupted) as stopped:
        simulate(request(config, out, resume=True), Listener(after))
    assert stopped.value.exit_code == 143
    result = simulate(request(config, out, resume=True), Listener())
    assert result.answer["frames"] == 13
    same(out / "trajectory.h5md", whole / "trajectory.h5md")


def test_more_steps_continue_as_if_asked_for_at_once(
    listed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config, whole = listed
    monkeypatch.setattr("diffmd.objective.usual_length", lambda pairs: 20 if pairs < 256 * 60 else 10)
    out = tmp_path / "run"
    simulate(request(config, out, "dynamics.steps=65"), Listener())
    simulate(request(config, out, resume=True), Listener())
    same(out / "trajectory.h5md", whole / "trajectory.h5md")
    with pytest.raises(ConfigError, match=r"dynamics.steps: was 120 .* cannot become fewer"):
        simulate(request(config, out, "dynamics.steps=10", resume=True), Listener())


def test_equilibration_is_not_repeated_after_a_stop(tmp_path: Path):
    before = {"steps": 30, "thermostat": {"kind": "rescale", "temperature": 0.3}}
    config = written(tmp_path, changed(FLUID, dynamics__equilibration=before, output={"every": 4}))
    simulate(request(config, tmp_path / "whole"), Listener())
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        simulate(request(config, out), Listener(42))
    assert (out / "checkpoints" / "equilibrated.h5").exists()
    listener = Listener()
    simulate(request(config, out, resume=True), listener)
    assert listener.done == 12
    same(out / "trajectory.h5md", tmp_path / "whole" / "trajectory.h5md")
    # Another run in the same place equilibrates anew.
    again = Listener()
    simulate(request(config, out, "seed=9", overwrite=True), again)
    assert again.done == 42


# A hundred times too long: atoms are thrown onto each other some sixty steps in.
WILD = ("dynamics.integrator.dt=2.0", "output.every=2")


def test_an_explanation_after_a_resume_starts_where_the_run_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diffmd.objective.usual_length", lambda pairs: 10)
    before = (
        "{steps: 20, integrator: {kind: velocity_verlet, dt: 0.02}, thermostat: {kind: rescale, temperature: 0.01}}"
    )
    # It blows up at step 84.
    wild = (*WILD, "dynamics.integrator.dt=0.3", f"dynamics.equilibration={before}")
    config, out = CONFIGS / "lj_fluid.yaml", tmp_path / "run"
    with pytest.raises(NumericalError, match="at step") as first:
        simulate(request(config, tmp_path / "whole", *wild), Listener())
    with pytest.raises(Interrupted):
        simulate(request(config, out, *wild), Listener(40))
    with pytest.raises(NumericalError) as second:
        simulate(request(config, out, *wild, resume=True), Listener())
    assert str(second.value) == str(first.value)


def test_a_run_goes_on_from_an_earlier_one(tmp_path: Path):
    config = written(tmp_path, changed(BONDED, dynamics__steps=40))
    simulate(request(config, tmp_path / "whole"), Listener())
    simulate(request(config, tmp_path / "first", "dynamics.steps=20"), Listener())
    following = changed(BONDED, dynamics__steps=20)
    box = following["system"].pop("box")
    following["system"] = {"start": {"run": str(tmp_path / "first")}, "box": box}
    result = simulate(request(written(tmp_path, following, "next.yaml"), tmp_path / "second"), Listener())
    whole, second = (read_trajectory(tmp_path / name / "trajectory.h5md") for name in ("whole", "second"))
    assert result.answer["steps"] == 40
    assert list(second.step) == [20, 30, 40]
    np.testing.assert_allclose(second.positions, whole.positions[2:], rtol=0, atol=1e-10)
    np.testing.assert_allclose(second.velocities, whole.velocities[2:], rtol=0, atol=1e-10)


def test_a_run_that_goes_on_with_another_time_step_goes_on_in_time(tmp_path: Path):
    config = written(tmp_path, changed(BONDED, dynamics__steps=20))
    simulate(request(config, tmp_path / "first"), Listener())
    dt = BONDED["dynamics"]["integrator"]["dt"]
    following = changed(BONDED, dynamics__steps=20)
    box = following["system"].pop("box")
    following["system"] = {"start": {"run": str(tmp_path / "first")}, "box": box}
    bath = f"dynamics.integrator={{kind: langevin, dt: {dt / 4}, friction: 1.0, temperature: 0.1}}"
    listener = Listener()
    again = request(written(tmp_path, following, "next.yaml"), tmp_path / "second", bath, "dynamics.thermostat=null")
    simulate(again, listener)
    first, second = (read_trajectory(tmp_path / name / "trajectory.h5md") for name in ("first", "second"))
    assert list(second.step) == [20, 30, 40]
    np.testing.assert_allclose(second.time, [20 * dt, 22.5 * dt, 25 * dt])
    size = first.positions.shape[1]
    there, here = float(first.observables["temperature"][-1]), float(second.observables["temperature"][0])
    assert here == pytest.approx(there * (3 * size - 3) / (3 * size))
    (told,) = [text for text in listener.said if "degrees of freedom" in text]
    assert f"the earlier run counted {3 * size - 3} degrees of freedom, this one {3 * size}" in told
    assert f"a temperature of {here:.5g} here, {there:.5g} there" in told
    # On from that, with the first run's step again.
    third = changed(following, dynamics__steps=20)
    third["system"]["start"]["run"] = str(tmp_path / "second")
    simulate(request(written(tmp_path, third, "third.yaml"), tmp_path / "third"), Listener())
    np.testing.assert_allclose(read_trajectory(tmp_path / "third" / "trajectory.h5md").time[-1], 45 * dt)


def test_a_run_shorter_than_the_loss_is_simulated(tmp_path: Path):
    late = {**BONDED, "loss": [{**BONDED["loss"][0], "frames": {"from": 30, "every": 5}}]}
    config = written(tmp_path, late)
    assert simulate(request(config, tmp_path / "out", "dynamics.steps=20"), Listener()).answer["steps"] == 20
    with pytest.raises(ConfigError, match="30 is beyond the run, which ends at step 20"):
        load(config, ("dynamics.steps=20",))


def test_each_of_several_systems_has_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diffmd.objective.usual_length", lambda pairs: 10)
    system = BONDED["system"]
    both = {key: BONDED[key] for key in ("seed", "potentials", "dynamics", "loss", "parameters", "output")}
    config = written(tmp_path, {**both, "systems": {"one": {"system": system}, "checkpoint": {"system": system}}})
    steps = ("dynamics.steps=40",)
    result = simulate(request(config, tmp_path / "whole", *steps), Listener())
    assert set(result.answer) == {"one", "checkpoint", "output"}
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        simulate(request(config, out, *steps), Listener(60))
    simulate(request(config, out, *steps, resume=True), Listener())
    for name in ("one", "checkpoint"):
        same(out / f"trajectory_{name}.h5md", tmp_path / "whole" / f"trajectory_{name}.h5md")
    assert (out / "trajectory.h5md").readlink() == Path("trajectory_checkpoint.h5md")
    # What another run left is no checkpoint of this one.
    with pytest.raises(Interrupted):
        simulate(request(config, out, "seed=77", *steps, overwrite=True), Listener(0))
    assert [file.name for file in (out / "checkpoints").glob("*.h5")] == ["checkpoint_checkpoint.h5"]


def test_a_step_far_too_long_says_where_and_keeps_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diffmd.objective.usual_length", lambda pairs: 10)
    with pytest.raises(NumericalError) as caught:
        simulate(request(CONFIGS / "lj_fluid.yaml", tmp_path / "run", *WILD), Listener())
    said = str(caught.value)
    assert caught.value.exit_code == 3
    assert "the run blew up at step" in said
    assert ": atom " in said
    assert "potentials.lj" in said
    step = int(said.split("at step ")[1].split(":")[0])
    with h5py.File(tmp_path / "run" / "trajectory.h5md") as file:
        frames = file["particles/trajectory/position/step"][()]
        assert np.isfinite(file["particles/trajectory/position/value"][()]).all()
    assert len(frames) > 0
    assert frames[-1] < step


def test_atoms_on_top_of_each_other_are_named(tmp_path: Path):
    lj = {"lj": {"kind": "lennard_jones", "sigma": 0.5, "epsilon": 1.0}}
    overlap = changed(MOLECULE, system__positions__values__1=[0.8, 0.75, 1.5], potentials=lj, parameters=[])
    with pytest.raises((NumericalError, ConfigError), match=r"0, 1"):
        simulate(request(written(tmp_path, overlap), tmp_path / "run"), Listener())


def test_learned_values_may_leave_paths_to_the_config_but_not_add_any(tmp_path: Path):
    training = changed(
        BONDED,
        parameters=["potentials.bond.r0"],
        train={"epochs": 3, "optimizer": {"kind": "sgd", "learning_rate": 0.01}},
    )
    train(request(written(tmp_path, training), tmp_path / "fit"), Listener())
    more = written(tmp_path, {**training, "parameters": ["potentials.bond"]}, "more.yaml")
    simulate(request(more, tmp_path / "run", parameters=f"{tmp_path / 'fit'}@last"), Listener())
    other = written(tmp_path, {**training, "parameters": ["potentials.bond.k"]}, "other.yaml")
    with pytest.raises(ConfigError, match=r"potentials.bond.r0: learned, but not among the config's `parameters`"):
        simulate(request(other, tmp_path / "other", parameters=str(tmp_path / "fit")), Listener())


def test_the_shipped_fluid_is_51_frames(tmp_path: Path):
    result = simulate(request(CONFIGS / "lj_fluid.yaml", tmp_path / "run"), Listener())
    assert result.answer["frames"] == 51
    assert result.answer["temperature"] == pytest.approx(0.01)
