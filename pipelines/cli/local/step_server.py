"""Process that imports the modules of steps once and forks a child process per step.

Usage: `python -m tilepipe.pipelines.cli.local.step_server CONTROL_DESCRIPTOR PARENT_PROCESS NAME...`

Each NAME is a module to import, or `module:function` to call. A request is one byte with three file descriptors: a file
with the request as JSON, the step's output, and a pipe for its status. `warm_steps` sends the requests.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

EXECUTOR = "kfp.dsl.executor_main"
"""KFP's program in a pod, which reads the inputs, calls the component's function and writes the outputs."""

STARTED = b"started "
"""Written to the status pipe before the step runs; its exit code follows."""

_KFP_RUNTIME = {"_KFP_RUNTIME": "true"}  # makes `import kfp` skip the compiler, as in a pod
_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>
_INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True)
class _RunningStep:
    process: int
    process_descriptor: int
    status: int


def main() -> NoReturn:
    """Import the modules and serve requests until the parent process closes the connection or ends."""
    control_descriptor, parent, *names = sys.argv[1:]
    end_with_parent(int(parent))
    environment = dict(os.environ)
    os.environ.update(_KFP_RUNTIME)
    # Python 3.12 and later also warn of native threads, which handle forks themselves.
    warnings.filterwarnings("ignore", message=r".*use of fork\(\) may lead to deadlocks", category=DeprecationWarning)
    with contextlib.suppress(KeyboardInterrupt):
        preload(["kfp.dsl.executor", *names])
        gc.collect()
        gc.freeze()  # the garbage collector of a child process neither scans nor copies these objects
        with socket.socket(fileno=int(control_descriptor)) as control:
            _serve(control, environment)
    os._exit(0)  # skips the interpreter's cleanup, which takes a second after importing TensorFlow


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent process ends, even if that is killed."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before `prctl` was called
        os._exit(1)


def preload(names: Sequence[str]) -> None:
    """Import modules, and call functions given as `module:function`.

    A missing package is ignored here; the step that needs it reports it.
    """
    for name in names:
        module, _, function = name.partition(":")
        with contextlib.suppress(ImportError):
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()


def can_fork() -> bool:
    """Return whether a child process can use the imported modules: no threads, and no devices of TensorFlow."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return threading.active_count() == 1 and (context is None or context.context_safe() is None)


def _serve(control: socket.socket, environment: Mapping[str, str]) -> None:
    running: set[_RunningStep] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if isinstance(key.data, _RunningStep):
                    selector.unregister(key.fileobj)
                    running.remove(key.data)
                    _report(key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
                if not message:
                    return
                request, output, status = descriptors
                os.write(status, STARTED)
                server, is_warm = os.getpid(), can_fork()
                process = os.fork()
                if not process:
                    control.close()
                    selector.close()
                    _close([status, *(d for step in running for d in (step.status, step.process_descriptor))])
                    _run_child(server, request, output, environment, is_warm=is_warm)
                _close([request, output])
                step = _RunningStep(process, os.pidfd_open(process), status)
                running.add(step)
                selector.register(step.process_descriptor, selectors.EVENT_READ, step)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _report(step: _RunningStep) -> None:
    _, status = os.waitpid(step.process, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(step.status, str(os.waitstatus_to_exitcode(status)).encode())
    _close([step.status, step.process_descriptor])


def _run_child(server: int, request: int, output: int, environment: Mapping[str, str], *, is_warm: bool) -> NoReturn:
    """Run a step in this child process; never returns to the server's loop."""
    code = 1
    try:
        end_with_parent(server)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        with open(request, encoding="utf-8") as file:
            file.seek(0)
            code = _run_step(json.load(file), environment, is_warm=is_warm)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # the hook of a step removes credentials
    finally:
        os._exit(code)


def _run_step(request: Mapping[str, Any], environment: Mapping[str, str], *, is_warm: bool) -> int:
    folder = Path(tempfile.mkdtemp())
    program = folder / "ephemeral_component.py"
    program.write_text(request["source"], encoding="utf-8")
    arguments = ["--component_module_path", str(program), *request["arguments"]]
    own_variables = request["environment"]
    if own_variables or not is_warm:  # the imported modules may have read other values of the variables
        command = [sys.executable, "-m", EXECUTOR, *arguments]
        os.execve(sys.executable, command, {**environment, **own_variables, **_KFP_RUNTIME})  # noqa: S606
    try:
        return _run_executor(arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        threading._shutdown()  # type: ignore[attr-defined] # as `multiprocessing` does at the end of its child processes
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def _run_executor(arguments: Sequence[str]) -> int:
    """Run KFP's executor as `python -m` does, and return the exit code."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else all steps would draw the same random numbers
    sys.argv = [EXECUTOR, *arguments]
    try:
        runpy.run_module(EXECUTOR, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED_EXIT_CODE
    except BaseException:
        sys.excepthook(*sys.exc_info())  # the hook of a step removes credentials
        return 1
    return 0


if __name__ == "__main__":
    main()
