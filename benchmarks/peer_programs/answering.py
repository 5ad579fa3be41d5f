"""How a program that is timed talks with benchmarks/peers.py: a request a line, an answer a line. Standard library."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def answered(version: str, works: Mapping[str, Callable[[], dict[str, Any] | None]]) -> None:
    """Tells the version and what can be asked for, then does what each line of standard input names.

    Whatever else the program prints goes to standard error. What is answered is what the work returns (a dictionary,
    or nothing), and its wall time as ``seconds`` where it does not tell its own; or that it ``failed``.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"version": version, "works": list(works)}), file=answers)
    for line in sys.stdin:
        start = time.perf_counter()
        try:
            told = works[line.strip()]() or {}
        except Exception:
            traceback.print_exc()
            told = {"failed": True}
        print(json.dumps({"seconds": time.perf_counter() - start, **told}), file=answers)
