"""The command line as a process: help, usage errors, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import diffmd


def diffmd_process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from diffmd.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_help_imports_neither_jax_nor_numpy():
    script = (
        "import sys\n"
        "from diffmd.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'jax', 'numpy', 'h5py', 'matplotlib', 'yaml', 'ase'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    for command in ("simulate", "gradient", "gradcheck", "fd-check", "train", "scan", "bench", "plot", "animate"):
        assert command in run.stdout
    for command in ("inspect", "export", "init", "validate", "schema"):
        assert command in run.stdout


def test_version():
    assert diffmd_process("--version").stdout == f"diffmd {diffmd.__version__}\n"


def test_without_a_command_help_is_shown_and_the_code_is_2():
    run = diffmd_process()
    assert run.returncode == 2
    assert "simulate" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian", "x.yaml"], "error: No such command 'trian'. Did you mean 'train'?\nSee: diffmd --help\n"),
        (["train"], "error: Missing argument 'CONFIG'.\nSee: diffmd train --help\n"),
        (["train", "x.yaml", "--resum"], "error: No such option: --resum (Possible options: --resume)\n"),
        (["scan", "x.yaml"], "error: Missing option '--over'"),
        (["train", "x.yaml", "--device", "tpu"], "error: Invalid value for '--device'"),
        (["fd-check", "--rtol", "-1"], "error: Invalid value for '--rtol'"),
    ],
)
def test_usage_errors_exit_2_with_the_nearest_word(arguments: list[str], sentence: str):
    run = diffmd_process(*arguments)
    assert run.returncode == 2
    assert run.stderr.startswith(sentence)
    assert run.stdout == ""


@pytest.mark.parametrize("command", ["simulate", "gradient", "gradcheck", "fd-check", "train", "scan"])
def test_every_run_command_has_the_shared_options(command: str):
    text = diffmd_process(command, "--help", env={"COLUMNS": "200", "PATH": ""}).stdout
    wanted = {
        "--set",
        "--parameters",
        "--output",
        "--overwrite",
        "--device",
        "--quiet",
        "--json",
        "--debug",
        "--no-python",
    }
    if command not in ("gradcheck", "fd-check"):
        wanted |= {"--resume"}
    assert wanted <= set(re.findall(r"--[a-z-]+", text))


def test_the_schema_is_the_one_object_of_its_json():
    run = diffmd_process("schema", "--json", "--quiet")
    assert json.loads(run.stdout)["title"] == "diffmd config"


def test_a_reader_that_leaves_early_is_no_error():
    script = f"{sys.executable} -c 'from diffmd.cli import main; main()' schema | head -n 1; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["{", "0"]
    assert run.stderr == "schema of every section and kind\n"


def test_the_python_api_is_loaded_lazily():
    script = "import sys, diffmd; assert 'jax' not in sys.modules; assert 'train' in dir(diffmd)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        diffmd.trian  # noqa: B018


@pytest.mark.parametrize(("closed", "answers"), [("2>&-", True), ("2>&- >&- <&-", False)])
def test_a_closed_stream_does_not_keep_a_command_from_working(tmp_path, closed, answers):
    main = f'"{sys.executable}" -c "from diffmd.cli import main; main()"'
    script = f"{main} init config.yaml --json {closed}"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0
    assert (tmp_path / "config.yaml").exists()
    assert ("config.yaml" in run.stdout) is answers
