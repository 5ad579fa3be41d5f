"""What every run shares, shown with a command that only counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.commands.run.reporter import SilentReporter
from diffmd.commands.run.request import CommandResult, Request
from diffmd.commands.run.session import Session, output_folder
from diffmd.errors import ConfigError, Interrupted, NumericalError, OutputError
from diffmd.io.h5md import STANDARD, Frames, Topology, TrajectoryWriter
from diffmd.io.rundir import read_run
from diffmd.io.training import Epoch, TrainingLog
from diffmd.units import REDUCED

CONFIG = """\
seed: 7
system:
  box: null
  atoms: [{type: A, count: 2, mass: 1.0}]
  positions: {kind: file, path: start.xyz}
  velocities: {kind: zero}
potentials:
  lj: {kind: lennard_jones, sigma: 1.0, epsilon: 1.0}
dynamics: {integrator: {kind: velocity_verlet, dt: 0.01}, steps: 10}
train: {epochs: 3, optimizer: {kind: sgd, learning_rate: 0.1}}
"""
XYZ = "2\n\nH 0 0 0\nH 1.1 0 0\n"


class StoppedReporter:
    """Asks to stop from the start, and keeps what was said."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        self.said: list[str] = []

    def start(self, total: int, unit: str, label: str) -> None: ...

    def advance(self, n: int, note: str = "") -> None: ...

    def message(self, text: str) -> None:
        self.said.append(text)

    def warning(self, text: str) -> None:
        self.said.append(text)

    def finish(self) -> None: ...

    def stop_code(self) -> int | None:
        return self.code


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start.xyz").write_text(XYZ)
    path = tmp_path / "pair.yaml"
    path.write_text(CONFIG)
    return path


def count(request: Request, command: str = "train", code: int | None = None) -> CommandResult:
    """A command that counts to the config's epochs."""
    with Session.open(request, StoppedReporter(code), command) as session:
        if session.done is not None:
            return session.done
        session.reporter.message("counting")
        session.begin()
        session.check_stop()
        epochs = session.config.train.epochs
        return session.finish(CommandResult({"loss": np.float64(0.5), "epochs": epochs}, [], "diffmd plot x"))


def test_a_run_leaves_its_config_inputs_record_and_log(config: Path):
    assert count(Request(config, argv=("diffmd", "train", "pair.yaml"))).answer == {"loss": 0.5, "epochs": 3}
    folder = Path("outputs/pair/train")
    record = read_run(folder)
    assert (record["status"], record["command"], record["seed"], record["precision"]) == (
        "finished",
        "train",
        7,
        "double",
    )
    assert record["argv"] == ["diffmd", "train", "pair.yaml"]
    assert (folder / "inputs/start.xyz").read_text() == XYZ
    assert "path: inputs/start.xyz" in (folder / "config.yaml").read_text()
    assert re.search(r"begins: diffmd train pair.yaml\n.*counting\n.*finished\n", (folder / "run.log").read_text())
    again = count(Request(folder / "config.yaml", output=Path("again")))
    assert again.answer["epochs"] == 3


def test_the_precision_and_the_device_are_those_of_the_config(config: Path):
    with Session.open(Request(config, output=Path("d")), SilentReporter(), "train") as session:
        session.begin()
        assert jnp.ones(()).dtype == jnp.float64
        assert session.device in jax.devices()
    request = Request(config, ("precision=single",), output=Path("s"))
    with Session.open(request, SilentReporter(), "train") as session:
        session.begin()
        assert jnp.ones(()).dtype == jnp.float32
    assert jnp.ones(()).dtype == jnp.float32


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(config: Path):
    with pytest.raises(ConfigError, match="--device gpu: JAX finds no GPU here"):
        count(Request(config, device="gpu"))
    assert not Path("outputs").exists()


def test_name_and_seed_expand(config: Path):
    count(Request(config, ("seed=3",), output=Path("runs/{name}/{seed}")))
    assert read_run(Path("runs/pair/3"))["seed"] == 3
    assert output_folder(Request(), "gradcheck", None) == Path("outputs/builtin/gradcheck")


def test_a_directory_with_a_run_is_not_touched(config: Path):
    count(Request(config))
    before = Path("outputs/pair/train/run.json").read_text()
    with pytest.raises(ConfigError, match=r"--resume .* --overwrite"):
        count(Request(config))
    assert Path("outputs/pair/train/run.json").read_text() == before
    assert count(Request(config, ("train.epochs=1",), overwrite=True)).answer["epochs"] == 1


def test_resuming_a_finished_run_gives_its_answer_again(config: Path):
    first = count(Request(config, resume=True))
    again = count(Request(config, resume=True))
    assert again.answer == first.answer
    assert again.next_command == "diffmd plot x"
    assert "finished already" in again.summary[0]


def test_more_epochs_go_on_and_fewer_do_not(config: Path):
    count(Request(config))
    more = Request(config, ("train.epochs=5",), resume=True)
    assert count(more).answer["epochs"] == 5
    assert count(more).summary  # finished now
    with pytest.raises(ConfigError, match=r"train.epochs: was 5 .* cannot become fewer \(4\)"):
        count(Request(config, ("train.epochs=4",), resume=True))


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("seed=8", "seed: was 7"),
        ("potentials.lj.sigma=1.1", "potentials.lj.sigma: was 1.0"),
        ("dynamics.steps=20", "dynamics.steps: was 10"),
        ("output.every=5", "output.every"),
    ],
)
def test_a_changed_config_is_refused_by_its_path(config: Path, override: str, path: str):
    count(Request(config))
    with pytest.raises(ConfigError, match=re.escape(path)):
        count(Request(config, (override,), resume=True))


def test_simulate_may_have_more_steps(config: Path):
    count(Request(config), "simulate")
    with Session.open(Request(config, ("dynamics.steps=20",), resume=True), SilentReporter(), "simulate") as session:
        session.begin()
        assert session.resumed
        assert session.done is None


def test_a_changed_input_is_refused(config: Path):
    count(Request(config))
    (config.parent / "start.xyz").write_text(XYZ.replace("1.1", "1.2"))
    with pytest.raises(ConfigError, match=r"system\.positions\.path"):
        count(Request(config, resume=True))


def test_another_command_or_option_is_refused(config: Path):
    count(Request(config, output=Path("x")))
    with pytest.raises(ConfigError, match="`diffmd train`, which `diffmd simulate --resume` cannot"):
        count(Request(config, output=Path("x"), resume=True), "simulate")

    def scan(over: str) -> None:
        request = Request(config, output=Path("y"), resume=True)
        with Session.open(request, SilentReporter(), "scan", {"over": over}) as session:
            session.begin()

    scan("a=0:1:2")
    with pytest.raises(ConfigError, match=r"--over was 'a=0:1:2' .* is 'a=0:1:3' now"):
        scan("a=0:1:3")


@pytest.mark.parametrize("code", [130, 143])
def test_an_interrupted_run_says_so_and_can_go_on(config: Path, code: int):
    with pytest.raises(Interrupted) as stopped:
        count(Request(config), code=code)
    assert stopped.value.exit_code == code
    assert read_run(Path("outputs/pair/train"))["status"] == "interrupted"
    checkpoint = Path("outputs/pair/train/checkpoints/checkpoint.h5")
    checkpoint.parent.mkdir()
    checkpoint.write_text("")
    assert count(Request(config, resume=True)).answer["epochs"] == 3
    record = read_run(Path("outputs/pair/train"))
    assert record["status"] == "finished"
    assert len(record["resumed"]) == 1


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("problem", [NumericalError("not finite at step 3"), KeyboardInterrupt()])
def test_a_run_that_ended_before_its_first_checkpoint_does_not_block_its_directory(
    config: Path, problem: BaseException, resume: bool
):
    with pytest.raises(type(problem)):
        fail(config, raising(problem))
    Path("run/mine.txt").write_text("mine")
    # The next try, with what was wrong put right, needs no option, nor is it refused under one.
    request = Request(config, ("dynamics.integrator.dt=0.001",), output=Path("run"), resume=resume)
    reporter = StoppedReporter(None)
    with Session.open(request, reporter, "simulate") as session:
        assert not session.resumed
        session.begin()
    assert reporter.said == ["takes the place of the run in run, which ended before its first checkpoint"]
    assert read_run(Path("run"))["status"] == "finished"
    assert "dt: 0.001" in Path("run/config.yaml").read_text()
    assert not Path("run/trajectory.h5md").exists()
    assert Path("run/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("left", ["checkpoints/checkpoint.h5", "checkpoints/equilibrated.h5", "gradients.h5"])
def test_a_run_that_left_a_checkpoint_or_a_result_is_not_replaced(config: Path, left: str):
    with pytest.raises(NumericalError):
        fail(config, raising(NumericalError("not finite at step 3")))
    Path("run", left).parent.mkdir(exist_ok=True)
    Path("run", left).write_text("some")
    with pytest.raises(ConfigError, match=r"--resume .* --overwrite"):
        count(Request(config, output=Path("run")))


@pytest.mark.parametrize("frames", [1, 2])
def test_a_run_that_left_frames_beyond_its_start_is_not_replaced(config: Path, frames: int):
    """Of several systems the first may be whole, and too short for a checkpoint."""
    top = Topology(np.zeros(2, int), ("A",), np.ones(2), np.zeros(2), np.zeros((0, 2), int), False)

    def run_the_first_system() -> None:
        x, step = np.zeros((frames, 2, 3)), np.arange(frames)
        with TrajectoryWriter.create(Path("run/trajectory_one.h5md"), top, REDUCED) as writer:
            writer.append(Frames(step, step * 0.1, x, x, x, None, dict.fromkeys(STANDARD, np.ones(frames))))
        raise NumericalError("not finite at step 3")

    with pytest.raises(NumericalError):
        fail(config, run_the_first_system, ["trajectory_one.h5md", "trajectory_two.h5md"])
    if frames == 1:
        count(Request(config, output=Path("run")))
    else:
        with pytest.raises(ConfigError, match=r"--resume .* --overwrite"):
            count(Request(config, output=Path("run")))


def test_what_a_run_reads_from_its_own_directory_is_not_replaced(config: Path):
    with pytest.raises(NumericalError):
        fail(config, raising(NumericalError("not finite at step 3")))
    Path("run/mine.xyz").write_text(XYZ)
    with pytest.raises(ConfigError, match="lies in the directory that this run would clear; name another --output"):
        count(Request(config, ("system.positions.path=run/mine.xyz",), output=Path("run")))


def fail(config: Path, problem: Callable[[], None], files: Sequence[str] = ()) -> None:
    with Session.open(Request(config, output=Path("run")), SilentReporter(), "simulate") as session:
        session.begin()
        session.run.update({"files": files})
        (session.folder / "trajectory.h5md").write_text("")
        problem()


def raising(problem: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise problem

    return run


@pytest.mark.parametrize(
    ("problem", "expected", "sentence"),
    [
        (MemoryError(), NumericalError, "ran out of memory"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"),
            NumericalError,
            "the device",
        ),
        (OSError(28, "No space left on device", "x.h5"), OutputError, "x.h5: the disk is full"),
        (RuntimeError("Can't write (errno = 28, error message = 'No space left')"), OutputError, "the disk is full"),
        (NumericalError("not finite at step 3"), NumericalError, "step 3"),
        (ZeroDivisionError("odd"), ZeroDivisionError, "odd"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_failures_become_sentences_and_the_record_says_so(
    config: Path, problem: BaseException, expected: type[BaseException], sentence: str
):
    with pytest.raises(expected, match=sentence or None):
        fail(config, raising(problem))
    status = read_run(Path("run"))["status"]
    assert status == ("interrupted" if isinstance(problem, KeyboardInterrupt) else "failed")


def refused(request: Request, problem: BaseException, begins: bool = False) -> None:
    with Session.open(request, SilentReporter(), "train") as session:
        session.reporter.warning("it is odd")
        if begins:
            session.begin()
        raise problem


def test_a_config_error_found_late_has_its_line_and_frees_the_directory(config: Path):
    problem = ConfigError("they overlap", "system.positions")
    for begins in (False, True):
        with pytest.raises(ConfigError, match=r"pair.yaml:5: system.positions: they overlap"):
            refused(Request(config), problem, begins)
        assert not Path("outputs/pair/train").exists()
    with pytest.raises(ConfigError, match="they overlap"):
        fail(config, raising(ConfigError("they overlap")))
    assert read_run(Path("run"))["status"] == "failed"


def test_learned_values_are_those_of_the_epoch_named(config: Path):
    source = Path("fit")
    source.mkdir()
    sigma = {"potentials.lj.sigma": np.float64(0.0)}
    with TrainingLog.create(source, 1, sigma) as log:
        for epoch, loss in ((1, 0.5), (2, 0.1), (3, 0.2)):
            value = {"potentials.lj.sigma": np.float64(epoch / 10)}
            log.append(Epoch(epoch, loss, np.array([loss]), value, sigma, 0.0, 0.1))

    def learned(text: str) -> float:
        request = Request(config, parameters=text, output=Path("new"), overwrite=True)
        with Session.open(request, SilentReporter(), "simulate") as session:
            session.begin()
            return float(session.learned["potentials.lj.sigma"])

    assert [learned(text) for text in ("fit", "fit@best", "fit@last", "fit@1")] == [0.2, 0.2, 0.3, 0.1]
    for text, sentence in (("fit@4", "epochs 1 to 3"), ("fit@bes", "after @"), ("nothing", "is not there")):
        with pytest.raises(ConfigError, match=sentence):
            learned(text)
    with pytest.raises(ConfigError, match="this run writes into"):
        count(Request(config, parameters="fit", output=Path("fit"), overwrite=True))


@pytest.mark.parametrize("problem", [ConfigError("they overlap"), NumericalError("odd"), KeyboardInterrupt()])
def test_a_run_that_never_begins_leaves_what_it_would_overwrite(config: Path, problem: BaseException):
    count(Request(config, output=Path("run")))
    before = {file: file.read_bytes() for file in Path("run").rglob("*.*")}
    with pytest.raises(type(problem)):
        refused(Request(config, output=Path("run"), overwrite=True), problem)
    assert {file: file.read_bytes() for file in Path("run").rglob("*.*")} == before


def test_overwriting_what_the_run_reads_is_refused(config: Path):
    count(Request(config, output=Path("run")))
    Path("run/mine.xyz").write_text(XYZ)
    request = Request(config, ("system.positions.path=run/mine.xyz",), output=Path("run"), overwrite=True)
    with pytest.raises(ConfigError, match="--overwrite would clear"):
        count(request)
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"
