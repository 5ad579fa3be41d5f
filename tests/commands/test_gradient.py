"""``gradient``: its answer by every method, its file, its warnings, and the Python API."""

from __future__ import annotations

from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from support.commanded import Listener, request, written
from support.objectives import CONFIGS, FLUID, MOLECULE, changed

import diffmd
from diffmd.adjoints.base import Adjoint, Gradient, Health
from diffmd.commands.gradient import gradient
from diffmd.commands.run.experiment import differentiated, made_ready, starting_parameters
from diffmd.config.build import build
from diffmd.config.loading import load_data
from diffmd.dynamics.run.host_loop import NonFiniteError
from diffmd.dynamics.run.schedule import Segment
from diffmd.errors import ConfigError, Interrupted, NumericalError

THETA = "potentials.angle.theta0"


@pytest.fixture(scope="module")
def reverse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The molecule's config, and its gradient by reverse mode."""
    folder = tmp_path_factory.mktemp("gradient")
    config = written(folder, changed(MOLECULE, parameters=[THETA, "system.positions"]))
    return config, gradient(request(config, folder / "run"), Listener()).answer


def test_the_answer_and_its_file(reverse: tuple[Path, dict]):
    config, answer = reverse
    assert set(answer) == {"loss", "terms", "parameters", "gradients", "units", "health"}
    assert answer["units"] == {THETA: "rad"}
    assert set(answer["health"]) == {"kind", "norm", "growth_rate", "horizon", "advice"}
    assert answer["health"]["kind"] == "cotangent"
    assert answer["parameters"][THETA] == [1.8, 1.9]
    with h5py.File(config.parent / "run" / "gradients.h5") as file:
        assert float(file["loss"][()]) == answer["loss"]
        np.testing.assert_array_equal(file["gradients/potentials/angle/theta0"], answer["gradients"][THETA])
        assert file["parameters/potentials/angle/theta0"].attrs["unit"] == "rad"
        assert file["parameters/system/positions"].shape == (4, 3)
        assert file["health/norm"].shape == file["health/step"].shape == (12,)


@pytest.mark.parametrize(
    ("method", "kind", "close"), [("forward", "tangent", 1e-9), ("finite_difference", "plateau", 1e-6)]
)
def test_other_methods_agree(method: str, kind: str, close: float, reverse: tuple[Path, dict], tmp_path: Path):
    config, wanted = reverse
    answer = gradient(request(config, tmp_path / "run"), Listener(), method).answer
    assert answer["health"]["kind"] == kind
    assert answer["loss"] == pytest.approx(wanted["loss"], rel=1e-12)
    for path, value in wanted["gradients"].items():
        np.testing.assert_allclose(answer["gradients"][path], value, rtol=close, atol=close * 1e-2)
    spelt = method.replace("_", "-")
    assert gradient(request(config, tmp_path / "run", resume=True), Listener(), spelt).answer == answer


def test_an_unknown_method_names_the_known(reverse: tuple[Path, dict], tmp_path: Path):
    with pytest.raises(ConfigError, match="there are auto, finite-difference, forward, implicit, reverse"):
        gradient(request(reverse[0], tmp_path / "run"), Listener(), "adjoint")


def test_a_stop_and_a_resume(reverse: tuple[Path, dict], tmp_path: Path):
    config, wanted = reverse
    with pytest.raises(Interrupted) as stopped:
        gradient(request(config, tmp_path / "run"), Listener(3, 130))
    assert stopped.value.exit_code == 130
    assert gradient(request(config, tmp_path / "run", resume=True), Listener()).answer == wanted
    assert gradient(request(config, tmp_path / "run", resume=True), Listener()).answer == wanted


def test_a_gradient_that_is_exactly_zero_gets_a_warning(tmp_path: Path):
    far = changed(FLUID, potentials__lj__epsilon=0.0, parameters=["potentials.lj.sigma"], dynamics__steps=2)
    listener = Listener()
    answer = gradient(request(written(tmp_path, far), tmp_path / "run"), listener).answer
    assert any("potentials.lj.sigma is exactly zero" in text for text in listener.warned)
    assert answer["health"]["zero"] == {"potentials.lj.sigma": {"count": 1, "of": 1, "first": []}}


def test_a_truncated_cutoff_warns(tmp_path: Path):
    bare = changed(FLUID, potentials__lj__cutoff=1.9, dynamics__steps=2)
    listener = Listener()
    gradient(request(written(tmp_path, bare), tmp_path / "run"), listener)
    assert any("cutoff" in text for text in listener.warned)


def test_what_is_not_finite_is_explained(tmp_path: Path):
    wild = ("dynamics.integrator.dt=2.0", "dynamics.steps=100")
    with pytest.raises(NumericalError, match=r"blew up at step \d+: atom .*potentials.lj.*dynamics.integrator.dt is 2"):
        gradient(request(CONFIGS / "lj_fluid.yaml", tmp_path / "run", *wild), Listener())


def test_from_python_nothing_of_jax_is_changed(reverse: tuple[Path, dict], tmp_path: Path):
    config, wanted = reverse
    before = dict(jax.config.values)
    assert diffmd.gradient(config, output=tmp_path / "run") == wanted
    assert dict(jax.config.values) == before
    assert not jax.config.jax_enable_x64


class Enough(Exception):
    """What was to be seen has been seen."""


@pytest.mark.parametrize(
    ("section", "method", "lost"),
    [
        ({"method": "reverse", "clip": 0.001, "truncate": 2}, "forward", ["clip"]),
        ({"method": "reverse", "replicas": 3, "average": "observable"}, "implicit", ["replicas", "average"]),
        ({"method": "reverse", "clip": 0.001}, "reverse", []),
        ({"method": "reverse", "clip": None, "average": "loss", "memory": 1000}, "finite_difference", []),
    ],
)
def test_options_that_another_method_lacks_are_left_out_with_a_warning(
    section: dict, method: str, lost: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(*given: object, **named: object) -> None:
        raise Enough

    monkeypatch.setattr("diffmd.commands.gradient.method_spec", stop)
    listener = Listener()
    with pytest.raises(Enough):
        gradient(request(written(tmp_path, changed(MOLECULE, gradient=section)), tmp_path / "run"), listener, method)
    wanted = [f"--method {method} has no {name}; gradient.{name} is left out" for name in lost]
    assert [text for text in listener.warned if "left out" in text] == wanted


def test_a_run_that_stays_finite_only_in_its_own_segments_is_explained(monkeypatch: pytest.MonkeyPatch):
    """To find what has no finite derivative a run is repeated in other segments, which may leave the finite numbers."""

    def lost(*given: object) -> None:
        raise NonFiniteError("default", Segment(0, 2, 0, ()))

    class Stub(Adjoint):
        def steps(self, p: object) -> int:
            return 0

        def gradient(self, *given: object) -> Gradient:
            nan = {"potentials.bond.k": np.array(np.nan)}
            return Gradient(1.0, [1.0], nan, Health("none", np.zeros(0), np.zeros(0), None, None, ""))

    monkeypatch.setattr("diffmd.commands.run.experiment.culprit", lost)
    bond = MOLECULE["potentials"]["bond"]
    with jax.enable_x64(True):
        experiment = build(load_data(changed(MOLECULE, potentials={"bond": bond}, parameters=["potentials.bond.k"])))
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, Listener())
        with pytest.raises(NumericalError, match=r"at step \d \(atoms .*; pushed hardest by potentials\."):
            differentiated(Stub(), experiment, ready, p, Listener())
