"""Deferred handling of SIGTERM, so that a loop can stop between steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Flag that is set when the process receives SIGTERM."""

    is_asked: bool = False


@contextlib.contextmanager
def on_sigterm() -> Iterator[StopRequest]:
    """Record the first SIGTERM within a context; a second one has the previous effect of the signal.

    The handler does nothing else, since it may interrupt any code; the body checks the request between steps. On KFP
    less than a second is left from then on, elsewhere as much as the sender allows (Kubernetes: 30 s).

    Yields:
        The request. It is never set in a thread other than the main one, since only that can handle signals.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: a handler not installed by Python

    def record(_: int, __: FrameType | None) -> None:
        request.is_asked = True
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, record)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
