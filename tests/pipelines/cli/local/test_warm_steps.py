"""Steps of a local run in forks of warm processes: real servers, steps and signals."""

import contextlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from kfp.local import subprocess_task_handler

from tests.support.waiting import wait_until
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local import warm_steps
from tilepipe.pipelines.cli.local.warm_steps import DATA, TRAIN, Component, WarmSteps

pytestmark = pytest.mark.skipif(not warm_steps.is_supported(), reason="only on Linux 5.3 and later")

PRELOADED = {DATA: ("numpy", "xml.dom.minidom", "tilepipe_absent_package")}


def executor_commands(name):
    for document in yaml.safe_load_all(compiled_pipeline.load(name).path.read_text(encoding="utf-8")):
        for executor in document.get("deploymentSpec", {}).get("executors", {}).values():
            container = executor["container"]
            yield [part.replace("python3", sys.executable) for part in container["command"][:3]] + [
                container["command"][3],
                *container["args"],
            ]


def command(body, folder):
    """Return the command of a lightweight component whose function has this body."""
    script = next(executor_commands("train_classifier"))[2]
    executor_input = json.dumps({"inputs": {}, "outputs": {"outputFile": str(folder / "executor_output.json")}})
    source = "def component() -> None:\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return ["sh", "-ec", script, source, "--executor_input", executor_input, "--function_to_execute", "component"]


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def steps():
    with WarmSteps(PRELOADED) as started:
        yield started


@pytest.fixture
def run(steps, tmp_path, capfd):
    """Run a component, and return its exit code and output."""

    def run_component(body, variables=None):
        capfd.readouterr()
        code = steps.run(command(body, tmp_path), variables)
        return code, capfd.readouterr().out

    return run_component


OF_TRAIN = {
    "prepare_model",
    "train_model",
    "propose_candidates",
    "tune_candidates",
    "select_candidate",
    "refit_winner",
    "evaluate_model",
    "export_model",
    "register_model",
    "gate_model",
    "promote_model",
    "finish_run",
}


@pytest.mark.parametrize("name", compiled_pipeline.names())
def test_the_steps_of_all_pipelines_run_warm(name):
    servers = {}
    for words in executor_commands(name):
        component = Component.from_command(words)
        assert component is not None, words[2]
        servers[words[words.index("--function_to_execute") + 1]] = component.server
    assert servers == {function: TRAIN if function in OF_TRAIN else DATA for function in servers}


def test_kfp_calls_the_function_that_is_replaced():
    replaced = subprocess_task_handler.run_local_subprocess
    assert list(inspect.signature(replaced).parameters) == list(inspect.signature(WarmSteps({}).run).parameters)
    assert "run_local_subprocess(" in inspect.getsource(subprocess_task_handler.SubprocessTaskHandler.run)


def test_other_commands_are_not_taken_for_components():
    words = next(executor_commands("train_classifier"))
    assert Component.from_command(["sh", "-ec", "python3 -m pip install x\n" + words[2], *words[3:]]) is None
    assert Component.from_command(["echo", "hello"]) is None


def test_another_command_runs_in_a_process_of_its_own(steps, capfd):
    assert steps.run(["sh", "-ec", 'echo "$GREETING"; exit 3'], {"GREETING": "hello"}) == 3
    assert "hello" in capfd.readouterr().out


def test_a_step_runs_in_a_fork_with_the_preloaded_modules(run):
    code, output = run("import os, sys\nprint('xml.dom.minidom' in sys.modules, os.getpid(), __name__)")
    assert code == 0
    assert "True" in output
    assert "Looking for component `component`" in output
    assert str(os.getpid()) not in output


@pytest.mark.parametrize(
    ("body", "expected", "shown"),
    [
        ("raise SystemExit(2)", 2, ""),
        ("raise SystemExit('a message')", 1, "a message"),
        ("raise ValueError('a reason')", 1, "ValueError: a reason"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import atexit\natexit.register(print, 'at exit')", 0, "at exit"),
    ],
)
def test_exit_codes_and_messages_are_those_of_a_process(run, body, expected, shown):
    code, output = run(body)
    assert code == expected
    assert shown in output
    assert run("print('the next step')")[0] == 0


def test_what_a_step_changes_does_not_reach_the_next_one(run):
    change = "import os, sys\nos.environ['LEAKED'] = 'secret'\nos.chdir('/')\nsys.modules['leaked'] = sys"
    assert run(change)[0] == 0
    _, output = run("import os, sys\nprint(os.environ.get('LEAKED'), os.getcwd(), 'leaked' in sys.modules)")
    assert f"None {Path.cwd()} False" in output


def test_variables_of_one_step_reach_neither_the_next_step_nor_imported_modules(run):
    code, output = run("import os, sys\nprint(os.environ['TOKEN'], 'xml.dom.minidom' in sys.modules)", {"TOKEN": "x1"})
    assert code == 0
    assert "x1 False" in output
    assert "None" in run("import os\nprint(os.environ.get('TOKEN'))")[1]


def test_steps_draw_different_random_numbers(run):
    body = "import numpy as np, random\nprint('drawn', np.random.rand(), random.random())"
    drawn = [line for _ in range(2) for line in run(body)[1].splitlines() if "drawn" in line]
    assert len(set(drawn)) == 2


def test_steps_can_run_at_the_same_time(steps, tmp_path):
    meet = "import os, time\nopen(r'{}', 'w').close()\nwhile not os.path.exists(r'{}'): time.sleep(0.01)"
    first, second = tmp_path / "first", tmp_path / "second"
    codes = []
    threads = [
        threading.Thread(target=lambda body=body: codes.append(steps.run(command(body, tmp_path))))
        for body in (meet.format(first, second), meet.format(second, first))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [0, 0]


def test_a_server_that_ended_is_replaced_by_a_process_per_step(steps, run):
    server = steps._servers[DATA]._process
    server.kill()
    server.wait()
    code, output = run("print('in a process of its own')\nraise SystemExit(2)")
    assert code == 2
    assert "in a process of its own" in output


def test_a_server_that_ends_during_a_step_fails_the_step(run):
    code, _ = run("import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)")
    assert code != 0


def test_the_modules_of_the_train_server_are_safe_to_fork(tmp_path):
    program = (
        "import sys, threading\n"
        "from tilepipe.pipelines.cli.local import step_server, warm_steps\n"
        "step_server.preload(warm_steps.PRELOADED['train'])\n"
        "assert 'tensorflow' in sys.modules and 'mlflow.keras' in sys.modules\n"
        "assert step_server.can_fork(), threading.enumerate()\n"
        "import tensorflow as tf\n"
        "tf.constant(1)\n"
        "assert not step_server.can_fork()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


HANG = """
import json, sys
from tilepipe.pipelines.cli.local import step_server
from tilepipe.pipelines.cli.local.warm_steps import WarmSteps
with WarmSteps({"data": ("numpy",)}) as steps:
    steps.run(json.loads(sys.argv[1]))
"""


def test_a_killed_parent_leaves_no_process_behind(tmp_path):
    noted = tmp_path / "processes"
    body = (
        f"import os, pathlib, time\npathlib.Path(r'{noted}.partial').write_text(f'{{os.getppid()}} {{os.getpid()}}')\n"
        f"os.rename(r'{noted}.partial', r'{noted}')\ntime.sleep(600)"
    )
    words = [sys.executable, "-c", HANG, json.dumps(command(body, tmp_path))]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as parent:
        wait_until(lambda: noted.exists() or parent.poll() is not None, 60)
        processes = [int(process) for process in noted.read_text().split()]
        assert all(is_running(process) for process in processes)
        parent.kill()
    wait_until(lambda: not any(is_running(process) for process in processes))


def descendants(process):
    """Return the ids of all running processes that a process started, directly or not."""
    found = [
        int(child) for task in Path(f"/proc/{process}/task").glob("*/children") for child in task.read_text().split()
    ]
    return [each for child in found for each in (child, *descendants(child))]


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_ended_run_leaves_no_process_behind(tmp_path, sent, expected):
    command = [sys.executable, "-W", "ignore", "-m", "tilepipe.pipelines.cli.app", "run", "train_classifier"]
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # so that the run does not end before
        source = f"data_source=http://127.0.0.1:{silent.getsockname()[1]}/catalog.json"
        words = [*command, source, "--folder", str(tmp_path / "runs")]
        # Processes inherit from a shell without job control, which started the tests, that they ignore Ctrl-C.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGINT, before)
        run = stack.enter_context(subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True))
        wait_until(lambda: len(descendants(run.pid)) >= 3 or run.poll() is not None, 60)
        started = descendants(run.pid)
        assert len(started) >= 3, "kfp.local and the two servers"
        if sent == signal.SIGINT:
            os.killpg(run.pid, sent)  # as a terminal does for Ctrl-C
        else:
            run.send_signal(sent)
        assert run.wait(60) == expected
    wait_until(lambda: not any(is_running(process) for process in started))
