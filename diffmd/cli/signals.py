"""Ctrl-C and SIGTERM: the first asks the run to stop at its next checkpoint, the second stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import final

from diffmd.cli.progress import say
from diffmd.errors import Interrupted

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
GRACE = 3.0  # seconds that Python gets to unwind after the second signal, before the process just ends
ECHO = 0.05  # seconds until a signal whose exception was lost is sent again


@final
class StopSignals:
    """What the signals have asked for so far.

    Python runs its handlers between bytecodes only, so none runs while a compiled segment does, and that may last
    minutes. The interpreter does write each signal to a wakeup pipe at once; a thread reads it there, says that the
    request was heard, and can end the process when the second signal finds Python deep in compiled code.
    """

    def __init__(self) -> None:
        self._code: int | None = None
        self._count = 0
        self._unwinding = threading.Event()
        self._echoes = 0
        self._timer: threading.Timer | None = None

    def code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, else None."""
        return self._code

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The Python handler: raises Interrupted from the second signal on."""
        self._count += 1
        self._code = self._code or EXIT_CODES[signal.Signals(number)]
        if self._count > 1:
            self._unwinding.set()
            raise Interrupted("stopped at once", self._code)

    def on_unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """The hook for exceptions that Python drops, as it does in a destructor or a callback of the garbage collector:
        Interrupted is raised anew a moment later."""
        if not isinstance(lost.exc_value, Interrupted):
            sys.__unraisablehook__(lost)
            return
        self._echoes += 1
        number = next(one for one, code in EXIT_CODES.items() if code == lost.exc_value.exit_code)
        to = threading.main_thread().ident
        self._timer = threading.Timer(ECHO, signal.pthread_kill, (to, number))
        self._timer.start()

    def close(self) -> None:
        """Ends what is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def watch(self, pipe: int) -> None:
        """The thread: reads signals from the wakeup pipe until it is closed."""
        heard = 0
        while received := os.read(pipe, 64):
            for number in received:
                if number not in EXIT_CODES:
                    continue
                if self._echoes:
                    self._echoes -= 1
                    continue
                heard += 1
                if heard == 1:
                    self._code = EXIT_CODES[signal.Signals(number)]
                    say("stopping after this segment; a second Ctrl-C stops at once")
                elif heard > 2 or not self._unwinding.wait(GRACE):
                    os._exit(self._code or EXIT_CODES[signal.Signals(number)])


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catches SIGINT and SIGTERM inside the block; afterwards they do what they did before."""
    signals = StopSignals()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, signals.on_signal) for number in EXIT_CODES}
    woken_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    hook_before, sys.unraisablehook = sys.unraisablehook, signals.on_unraisable
    thread = threading.Thread(target=signals.watch, args=(reading,), daemon=True)
    thread.start()
    try:
        yield signals
    finally:
        sys.unraisablehook = hook_before
        signals.close()
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        thread.join()
        os.close(reading)
