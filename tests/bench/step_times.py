"""Answers of a process that measures training steps; imports nothing else, for environments without tilepipe."""

import sys
import time

_WARM_UP_STEPS = 4


def answer_requests(step, batch_size):
    """Make as many steps as each line of standard input says, and print their processor seconds per tile."""
    for _ in range(_WARM_UP_STEPS):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.process_time()
        for _ in range(int(line)):
            step()
        print((time.process_time() - started) / int(line) / batch_size, flush=True)
