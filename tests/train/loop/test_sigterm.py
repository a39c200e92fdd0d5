"""SIGTERM as a stop request, with real signals to this process and to others."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tilepipe.components.train.loop.sigterm import on_sigterm

ROOT = Path(__file__).parents[3]
IMPATIENT = """
import os, signal, time
from tilepipe.components.train.loop.sigterm import on_sigterm
with on_sigterm() as request:
    os.kill(os.getpid(), signal.SIGTERM)
    print(request.is_asked, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    print("still there", flush=True)
"""


def test_the_first_one_is_noted_and_the_handler_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with on_sigterm() as request:
        assert not request.is_asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.is_asked
    assert signal.getsignal(signal.SIGTERM) is before
    with on_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_one_ends_the_process():
    done = subprocess.run([sys.executable, "-c", IMPATIENT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n"), done.stderr


def test_in_another_thread_it_changes_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def body():
        with on_sigterm() as request:
            seen.append((request.is_asked, signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(False, True)]
