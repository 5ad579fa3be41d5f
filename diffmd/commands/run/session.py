"""What every run command shares: the config, the device, the precision, the run directory, and how it all ends."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import jax
import numpy as np

from diffmd.adjoints.replicas.mesh import computing, devices_for
from diffmd.commands.run.devices import choose_device
from diffmd.commands.run.failures import in_sentences
from diffmd.commands.run.learned import learned_folder, learned_values
from diffmd.commands.run.logbook import LogbookReporter
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request
from diffmd.commands.run.resuming import check_config, check_options
from diffmd.compiler import compiler_options
from diffmd.config.files import input_files
from diffmd.config.fingerprint import fingerprinted
from diffmd.config.loading import LoadedConfig, load_written, located
from diffmd.config.schema import Config
from diffmd.config.start_files import start_notes
from diffmd.config.writing import with_files, write_text
from diffmd.config.yaml_reader import read_file
from diffmd.errors import ConfigError, Interrupted, OutputError
from diffmd.io.discard import discard
from diffmd.io.rundir import CONFIG, INPUTS, RunDirectory, Status, is_spent
from diffmd.io.values import plain

OUTPUTS = Path("outputs")
_BUILT_IN = "builtin"
_RESUMABLE = ("simulate", "gradient", "train", "scan")


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """A run under way.

    A command calls `begin` as soon as nothing can be wrong with the config any more, for only then does
    ``--overwrite`` remove what was there; before it, nothing may be written.

    Attributes:
        command: simulate, gradient, ...
        request: what was asked.
        options: what the command line says beside the config.
        reporter: for progress and messages; what it says is in run.log as well.
        device: where arrays go; the default device inside the session.
        precision: ``double`` or ``single``; JAX's scoped 64-bit mode is set so inside the session.
        folder: the run directory.
        run: the same, held for writing.
        resumed: whether a run of the same config is there; it may have been killed before its first checkpoint.
        done: the answer of a run that is finished already; the command returns it and does nothing.
        learned: path -> value of ``--parameters``; None without.
        loaded: the config; `loaded_config` where there must be one.
    """

    command: str
    request: Request
    options: Mapping[str, str]
    reporter: Reporter
    device: jax.Device
    precision: str
    folder: Path
    run: RunDirectory
    resumed: bool
    done: CommandResult | None
    learned: Mapping[str, np.ndarray] | None
    loaded: LoadedConfig | None

    @property
    def loaded_config(self) -> LoadedConfig:
        """The config. Raises ConfigError where the command line names none."""
        if self.loaded is None:
            raise ConfigError(f"{self.command} needs a config")
        return self.loaded

    @property
    def config(self) -> Config:
        """The validated config. Raises ConfigError where the command line names none."""
        return self.loaded_config.config

    @property
    def stop_requested(self) -> bool:
        """Whether Ctrl-C or SIGTERM has arrived: time to write a checkpoint and call `check_stop`."""
        return self.reporter.stop_code() is not None

    def check_stop(self) -> None:
        """To be called between segments or epochs, after a checkpoint. Raises Interrupted if a signal has arrived."""
        code = self.reporter.stop_code()
        if code is not None:
            raise Interrupted("stopped with a checkpoint", code)

    @property
    def way_on(self) -> str:
        """What to do about a run that was stopped."""
        if self.command in _RESUMABLE:
            return f"--resume goes on in {self.folder}, from its last checkpoint if there is one yet"
        return f"{self.command} begins anew, with --overwrite or another --output"

    def tell_devices(self, replicas: int | None) -> None:
        """Where there are several devices: says, and records in run.json, how many of them share the replicas."""
        if replicas is None or (there := len(computing())) == 1:
            return
        used = len(devices_for(replicas)) or 1
        self.run.update({"replica_devices": used})
        short = f" ({there} would not share them evenly)" if used < there else ""
        self.reporter.message(f"{replicas} replicas on {used} device{'s' if used > 1 else ''}{short}")

    def begin(self) -> None:
        """Writes what the run is: run.json, the copies of its inputs, config.yaml, run.log; what is there goes, unless
        it is resumed. Raises ConfigError, OutputError."""
        loaded, options = self.loaded, compiler_options()
        if self.resumed and self.run.record.get("compiler_options", {}) != options.options:
            self.reporter.warning(
                "the run began with other options of the compiler (compiler_options in run.json): it goes on, but not "
                "as it would have to the last bit"
            )
        self.run.begin(
            command=self.command,
            name=_BUILT_IN if self.request.config is None else self.request.config.stem,
            device=f"{self.device.platform} ({self.device.device_kind})",
            precision=self.precision,
            seed=0 if loaded is None else loaded.config.seed,
            argv=self.request.argv,
            jax_version=jax.__version__,
            extra={"options": dict(self.options), **options.record},
        )
        if loaded is None:
            return
        named = input_files(loaded.data, loaded.folder)
        copies: Mapping[Path, str] = self.run.copy_inputs([file for _, file in named if not file.is_dir()])
        files = {path: copies.get(file, str(file.resolve())) for path, file in named}
        self.run.write_config(write_text(with_files(loaded.data, files)))

    def finish(self, result: CommandResult) -> CommandResult:
        """Records the answer, for `--resume` to give again, and hands it back. Raises OutputError."""
        answer = plain(result.answer)
        self.run.update({"answer": answer, "next": result.next_command, "exit_code": result.exit_code})
        return dataclasses.replace(result, answer=answer)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, request: Request, reporter: Reporter, command: str, options: Mapping[str, str] | None = None
    ) -> Iterator[Session]:
        """Opens a run and sees it to its end: run.json's status is right on every way out.

        Args:
            options: what the command line says beside the config (``over``); a resumed run must say the same.

        Raises:
            ConfigError: the config is wrong (with file and line), the device is not there, the directory is taken, or
                the run that is there is another one.
            NumericalError: memory ran out inside the session.
            OutputError: reading or writing failed.
        """
        written = request.read().written
        loaded = None if written is None else load_written(written, loss=command != "simulate")
        precision = "double" if loaded is None else loaded.config.precision
        folder = output_folder(request, command, loaded)
        with contextlib.ExitStack() as stack:
            stack.enter_context(located(loaded))
            stack.enter_context(in_sentences(folder))
            device = choose_device(request.device)
            stack.enter_context(jax.default_device(device))
            stack.enter_context(jax.enable_x64(precision == "double"))
            _check_sources(request, loaded, folder)
            learned = None if request.parameters is None else learned_values(request.parameters)
            run = stack.enter_context(RunDirectory.open(folder, overwrite=request.overwrite, resume=request.resume))
            given = _options(request, options)
            resumed = run.resumed and (folder / CONFIG).exists()
            grown = _check_same_run(run, command, loaded, given) if resumed else False
            session = cls(
                command=command,
                request=request,
                options=given,
                reporter=LogbookReporter(reporter, run.log),
                device=device,
                precision=precision,
                folder=folder,
                run=run,
                resumed=resumed,
                done=_answer_of(run) if resumed and not grown else None,
                learned=learned,
                loaded=loaded,
            )
            if session.done is not None:
                yield session
                return
            for note in [] if loaded is None else start_notes(loaded.config, loaded.folder):
                session.reporter.warning(note)
            with _recorded_end(session):
                if run.replaces:
                    session.reporter.message(
                        f"takes the place of the run in {folder}, which ended before its first checkpoint"
                    )
                goes_on = "goes on" if resumed else "begins"
                run.log(f"{goes_on}: {shlex.join(request.argv) or command}")
                yield session


def output_folder(request: Request, command: str, loaded: LoadedConfig | None) -> Path:
    """Where the run goes: ``--output`` with ``{name}`` and ``{seed}`` filled in, or ``outputs/<name>/<command>``."""
    name = _BUILT_IN if request.config is None else request.config.stem
    if request.output is None:
        return OUTPUTS / name / command
    seed = 0 if loaded is None else loaded.config.seed
    return Path(str(request.output).replace("{name}", name).replace("{seed}", str(seed))).expanduser()


def _check_sources(request: Request, loaded: LoadedConfig | None, folder: Path) -> None:
    """Refuses to start from what the run itself would replace."""
    own = folder.resolve()
    if request.parameters is not None and learned_folder(request.parameters).resolve() == own:
        raise ConfigError(
            f"--parameters {request.parameters} is the directory this run writes into; name another --output"
        )
    if loaded is None or not (request.overwrite or is_spent(folder)):
        return
    way = "--overwrite" if request.overwrite else "this run"
    for path, file in input_files(loaded.data, loaded.folder):
        place = file.resolve()
        if place.is_relative_to(own) and not place.is_relative_to(own / INPUTS):
            raise ConfigError(f"{file} lies in the directory that {way} would clear; name another --output", path)


def _options(request: Request, options: Mapping[str, str] | None) -> dict[str, str]:
    given = dict(options or {})
    if request.parameters is not None:
        given["parameters"] = request.parameters
    return given


def _check_same_run(run: RunDirectory, command: str, loaded: LoadedConfig | None, options: Mapping[str, str]) -> bool:
    """Whether more is asked for than the run in the directory was. Raises ConfigError where it is another run."""
    ran = run.record.get("command")
    if ran != command:
        raise ConfigError(
            f"{run.path} holds a run of `diffmd {ran}`, which `diffmd {command} --resume` cannot continue"
        )
    check_options(run.record.get("options", {}), options)
    if loaded is None:
        return False
    before = fingerprinted(read_file(run.path / CONFIG).data, run.path)
    return check_config(command, before, fingerprinted(loaded.data, loaded.folder))


def _answer_of(run: RunDirectory) -> CommandResult | None:
    """What the finished run in the directory answered; None if it is not finished."""
    record = run.record
    if record.get("status") != "finished":
        return None
    sentence = f"{run.path} is finished already"
    return CommandResult(record.get("answer", {}), [sentence], record.get("next", ""), record.get("exit_code", 0))


@contextlib.contextmanager
def _recorded_end(session: Session) -> Iterator[None]:
    """Writes into run.json and run.log how the block ended."""
    try:
        with located(session.loaded), in_sentences(session.folder):
            yield
    except BaseException as problem:
        if session.run.begun:
            _record(session, problem)
        raise
    session.run.finish("finished")
    session.run.log("finished")


def _record(session: Session, problem: BaseException) -> None:
    """Records what ended the run. Raises Interrupted: with the way on, where the signal was caught."""
    match problem:
        case KeyboardInterrupt():
            _end(session, "interrupted", f"interrupted; {session.way_on}")
        case Interrupted():
            sentence = f"{problem}; {session.way_on}"
            _end(session, "interrupted", sentence)
            raise Interrupted(sentence, problem.exit_code) from problem
        # What only running can tell is still a mistake in the config: the next try finds a free directory.
        case ConfigError() if not session.resumed and discard(session.folder, session.run.record):
            pass
        case _:
            _end(session, "failed", str(problem) or type(problem).__name__)


def _end(session: Session, status: Status, sentence: str) -> None:
    """Records a failure; where even that cannot be written, the failure itself is what the user hears of."""
    fields: dict[str, Any] = {"error": sentence}
    with contextlib.suppress(OutputError):
        session.run.finish(status, fields)
    with contextlib.suppress(OutputError):
        session.run.log(f"{status}: {sentence}")
