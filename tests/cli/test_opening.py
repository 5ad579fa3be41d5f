"""The first line of a command: what it is about, before JAX is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diffmd.cli import main
from diffmd.cli.opening import opening_line
from diffmd.commands.run.request import Request

FLUID = Path(__file__).parent.parent.parent / "configs" / "lj_fluid.yaml"
TOLD = "50 atoms, lennard_jones, 7 steps"


def run(*words: object) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main([str(word) for word in words])
    return exit_.value.code


@pytest.mark.parametrize(
    ("command", "request_", "line"),
    [
        ("train", Request(FLUID, ("dynamics.steps=7",)), f"train of {FLUID}: {TOLD}"),
        ("train", Request(FLUID, ("dynamics.steps=7",), device="gpu"), f"train of {FLUID} on the GPU: {TOLD}"),
        ("gradcheck", Request(device="cpu"), "gradcheck of the built-in set on the CPU"),
    ],
)
def test_it_says_what_is_done_to_what(command: str, request_: Request, line: str):
    assert opening_line(command, request_.read()) == line


def test_what_cannot_be_told_before_the_config_is_checked_is_left_out(tmp_path: Path):
    odd = tmp_path / "odd.yaml"
    odd.write_text("system: {atoms: none, positions: [1]}\npotentials: [lj]\ndynamics: {steps: many}\n")
    assert opening_line("simulate", Request(odd).read()) == f"simulate of {odd}"


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (("gradient", FLUID), f"gradient of {FLUID}: 50 atoms, lennard_jones, -1 steps"),
        (("validate", FLUID), f"validate of {FLUID}: 50 atoms, lennard_jones, -1 steps"),
    ],
)
def test_it_comes_first_and_leaves_stdout_alone(
    command: tuple[object, ...], first: str, capfd: pytest.CaptureFixture[str]
):
    assert run(*command, "--set", "dynamics.steps=-1", "--json") == 2
    said = capfd.readouterr()
    lines = said.err.splitlines()
    assert lines[0] == first
    assert lines[1].startswith("error: ")
    assert said.out == ""


def test_quiet_leaves_it_out(capfd: pytest.CaptureFixture[str]):
    assert run("gradient", FLUID, "--set", "dynamics.steps=-1", "--quiet") == 2
    assert capfd.readouterr().err.startswith("error: ")


def test_nothing_slow_is_imported_before_it():
    script = (
        "import json, sys, diffmd.cli.execute as execute\n"
        "from diffmd.cli.app import app\n"
        "from diffmd.cli import progress\n"
        "def said(self, text): print(json.dumps([text, sorted(sys.modules)])); sys.exit(0)\n"
        "progress.LineReporter.message = said\n"
        f"app(['simulate', {str(FLUID)!r}, '-s', 'dynamics.steps=7'], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    text, modules = json.loads(done.stdout)
    assert text == f"simulate of {FLUID}: {TOLD}"
    assert not {"jax", "numpy", "scipy", "h5py", "diffmd.config.schema"} & set(modules)
