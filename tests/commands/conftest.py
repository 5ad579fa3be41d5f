"""Commands are run in a folder of their own, and programs that several tests compile are compiled once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.compiled import kept_in


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with kept_in(tmp_path_factory.mktemp("compiled")):
        yield
