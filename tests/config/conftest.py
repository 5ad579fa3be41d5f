"""Configs to damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from damageable import MINIMAL, Said

from diffmd.config.loading import LoadedConfig, load
from diffmd.errors import ConfigError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config and returns its path."""

    def written(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return path

    return written


@pytest.fixture
def minimal(write: Callable[[str], Path]) -> Callable[..., LoadedConfig]:
    """Loads the minimal config with overrides."""
    return lambda *overrides: load(write(MINIMAL), overrides)


@pytest.fixture
def said(write: Callable[[str], Path]) -> Said:
    """What is said about the minimal config with overrides, or about a text of its own; exit code 2."""

    def refused(*overrides: str, text: str = MINIMAL) -> str:
        with pytest.raises(ConfigError) as caught:
            load(write(text), overrides)
        assert caught.value.exit_code == 2
        return str(caught.value).replace(str(write(text).parent) + "/", "")

    return refused
