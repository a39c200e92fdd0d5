"""Child processes that start from a process which has imported TensorFlow.

A candidate that runs out of memory or crashes ends only its own process. Nothing that a training leaves behind, such as
memory of a GPU or a dtype policy, reaches the next one.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from tilepipe.components.shared.contracts.model_file import load_tensorflow

_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
_PRELOADED = ["tensorflow", "keras", "tilepipe.components.tune.candidate_training"]


def run_in_child(function: Callable[..., None], *arguments: Any) -> int:  # noqa: ANN401 - passed on
    """Run a function in a child process, and wait for its end.

    Args:
        function: a function of a module.
        *arguments: its arguments, which can be pickled.

    Returns:
        Exit code of the child: 0, that of its `SystemExit`, 1 after any other exception, or -N after signal N.
    """
    load_tensorflow()  # only imported, which children then need not do
    context: Any = multiprocessing.get_context("fork" if _can_fork() else "forkserver")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(_PRELOADED)
    # A copy of the whole would fail if another thread removed a variable meanwhile.
    environment = {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}
    child = context.Process(target=_run, args=(os.getpid(), environment, function, *arguments))
    with warnings.catch_warnings():
        # Python 3.12 and later count native threads too, which handle forks themselves.
        warnings.filterwarnings(
            "ignore", message=r".*use of fork\(\) may lead to deadlocks", category=DeprecationWarning
        )
        child.start()
    child.join()
    return int(child.exitcode or 0)


def _can_fork() -> bool:
    """Return whether a child can use the imported modules: there are no threads, and TensorFlow uses no device."""
    tensorflow = sys.modules.get("tensorflow.python.eager.context")
    return sys.platform == "linux" and threading.active_count() == 1 and tensorflow.context_safe() is None  # type: ignore[union-attr]


def _run(parent: int, environment: dict[str, str], function: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
    os.environ.clear()  # that of the fork server is as old as the server
    os.environ.update(environment)
    if sys.platform == "linux" and os.getppid() == parent:  # a killed worker must not leave a training behind
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    function(*arguments)


def ending(code: int) -> str:
    """Describe how a child process ended."""
    if code == -signal.SIGKILL:
        return "its process was killed, as after using more memory than there is"
    if code < 0:
        return f"its process ended with signal {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"
