"""How programs are compiled: fast math that honours what is no number, an off switch, and what run.json says of it."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd import compiler
from diffmd.commands.run.reporter import SilentReporter
from diffmd.commands.run.request import Request
from diffmd.commands.run.session import Session
from diffmd.compiler import SWITCH, compiled, compiler_options

FLUID = Path(__file__).parent.parent / "configs" / "lj_fluid.yaml"
cpu_only = pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are a CPU's")


@cpu_only
def test_a_cpus_programs_may_reorder_sums():
    found = compiler_options()
    assert found.options["xla_cpu_enable_fast_math"]
    assert all(found.options.values())
    assert found.reason == ""
    assert found.record == {"compiler_options": found.options}


@pytest.mark.parametrize("word", ["off", "0", "No", "FALSE"])
def test_the_switch_leaves_them_out(monkeypatch: pytest.MonkeyPatch, word: str):
    monkeypatch.setenv(SWITCH, word)
    assert compiler_options().record == {
        "compiler_options": {},
        "compiler_note": f"without fast math: DIFFMD_FAST_MATH={word}",
    }


@cpu_only
def test_an_xla_that_does_not_know_them_goes_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiler, "_CPU", {"xla_cpu_no_such_option": True})
    found = compiler._probed.__wrapped__()
    assert found.options == {}
    assert found.reason.startswith("without fast math: ")
    assert "xla_cpu_no_such_option" in found.reason


@cpu_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_stays_so(dtype: type):
    with jax.enable_x64(dtype == np.float64):
        odd = jnp.asarray([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0], dtype)
        finite, root, inverse, total = compiled(lambda x: (jnp.isfinite(x), jnp.sqrt(x), 1 / x, jnp.sum(x)))(odd)
        np.testing.assert_array_equal(finite, [False, False, False, True, True, True])
        np.testing.assert_array_equal(np.isnan(root), [True, False, True, False, True, False])
        np.testing.assert_array_equal(inverse[1:], [0, 0, np.inf, -1, 1])
        assert np.isnan(total)


def opened(folder: Path, resume: bool = False) -> list[str]:
    """What a run says as it begins."""
    said: list[str] = []

    class Listening(SilentReporter):
        def warning(self, text: str) -> None:
            said.append(text)

    with Session.open(Request(FLUID, output=folder, resume=resume), Listening(), "train") as session:
        session.begin()
    return said


def test_a_run_records_them_and_a_resume_with_others_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert opened(tmp_path / "run") == []
    assert json.loads((tmp_path / "run" / "run.json").read_text())["compiler_options"] == compiler_options().options
    monkeypatch.setenv(SWITCH, "off")
    (told,) = opened(tmp_path / "run", resume=True)
    assert told.startswith("the run began with other options of the compiler (compiler_options in run.json)")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["compiler_options"] == {}
    assert record["compiler_note"] == "without fast math: DIFFMD_FAST_MATH=off"
