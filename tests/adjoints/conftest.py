"""Gradients are compared in double precision unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest
from support.compiled import kept_in


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield
