"""Frames that would be kept to the end of a run, and for which a machine has no memory, are refused before it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from damageable import Said

from diffmd.config.checks import memory
from diffmd.config.loading import LoadedConfig

STEPS = "dynamics.steps=100000"
DISPLACEMENT = "loss.0={observable: {kind: msd, lags: 5}, compare: none, frames: %s}"
TENSOR = "loss.0={observable: {kind: gyration_tensor}, compare: none, reduce: %s, frames: %s}"


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of five megabytes."""
    monkeypatch.setattr(memory, "installed_memory", lambda: 5_000_000)


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        ([DISPLACEMENT % "all"], "24.8 MB in all"),
        ([TENSOR % ("variance", "all")], "100001 frames of 7.2e-05 MB each are kept to the end of the run, 7.2 MB"),
        (
            [TENSOR % ("variance", "{from: 0, every: 2}"), "gradient={method: reverse, replicas: 4}"],
            "50001 frames of 0.000288 MB",
        ),
    ],
)
def test_frames_that_do_not_fit_are_refused(overrides: list[str], kept: str, said: Said):
    told = said(STEPS, *overrides)
    assert "loss.0.frames: " in told
    assert kept in told
    assert "measure fewer (frames: {from: 0, every: n} with a larger n), or take reduce: mean" in told
    assert "this machine has 5 MB" in told


@pytest.mark.parametrize(
    "overrides",
    [
        [DISPLACEMENT % "{from: 0, every: 100}"],
        [TENSOR % ("mean", "all")],
        [TENSOR % ("variance", "all"), "precision=single"],
    ],
)
def test_frames_that_fit_are_not(overrides: list[str], minimal: Callable[..., LoadedConfig]):
    assert minimal(STEPS, *overrides).config.dynamics is not None
