"""SIGTERM as a question that a loop answers when it can, rather than an end in the middle of a step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Whether this process has been told to stop."""

    is_asked: bool = False


@contextlib.contextmanager
def on_sigterm() -> Iterator[StopRequest]:
    """Take note of the first SIGTERM while the body runs; a second one does what the first would have done before.

    Nothing is done in the handler itself, which may interrupt anything; the body looks at the request between steps.
    On KFP less than a second is left from then on, elsewhere as much as the sender allows (Kubernetes: 30 s).

    Yields:
        The request. It stays as it is in a thread other than the main one, which alone may handle signals.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: a handler that is not Python's

    def take_note(_: int, __: FrameType | None) -> None:
        request.is_asked = True
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, take_note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
