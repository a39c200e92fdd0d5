"""A sweep of eight candidates on the sample with two workers: its time beside that of its trainings.

Other load on the machine makes one worker wait longer than the other. Processor time does not depend on it: where the
workers have all processors to themselves, both ratios are the same. So the wall time is only judged without other load.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.measure import ROOT, Figure

_WORKERS = 2
_GOAL = 1.15
_SPENT = re.compile(r"processor time: ([\d.]+) s, of which ([\d.]+) s in trainings")


def measure(scratch: Path, *, tiles_per_class: int = 100) -> list[Figure]:
    """Measure the step `tune` of `tilepipe run tune_classifier`, start-up of its workers included."""
    tilepipe = str(Path(sys.executable).with_name("tilepipe"))
    sample = scratch / "sample"
    command = [tilepipe, "sample", str(sample), "--tiles-per-class", str(tiles_per_class)]
    subprocess.run(command, check=True, capture_output=True)
    config = ROOT / "pipelines" / "tune_classifier" / "configs" / "sample.yaml"
    command = [tilepipe, "run", "tune_classifier", "--config", str(config), f"data_source={sample / 'catalog.json'}"]
    command += [f"tune_workers={_WORKERS}", "--folder", str(scratch / "runs")]
    has_processors = os.getloadavg()[0] <= (os.cpu_count() or 1)  # before the sweep: the load of others
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the sweep failed: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    walls = re.findall(r"^tune +ok +([\d.]+) s", done.stdout, re.MULTILINE)
    outcomes = [json.loads(path.read_text()) for path in scratch.glob("runs/**/outcomes/*/outcome.json")]
    if not walls or len(outcomes) != 8:
        raise RuntimeError(f"no sweep of eight candidates in: {done.stdout}")
    logs = "".join(path.read_text(errors="replace") for path in scratch.glob("runs/**/run.log"))
    spent = [tuple(map(float, pair)) for pair in _SPENT.findall(logs)]
    if len(spent) != _WORKERS:
        raise RuntimeError(f"no processor times of {_WORKERS} workers in the logs: {spent}")
    processor = sum(worker for worker, _ in spent) / sum(trainings for _, trainings in spent)
    trained = sum(outcome["training_seconds"] for outcome in outcomes) / _WORKERS
    ratio = float(walls[-1]) / trained
    best = max(outcome["history"]["epochs"][-1]["val_accuracy"] for outcome in outcomes)
    return [
        Figure("tune.wall", float(walls[-1]), "s", "", True),
        Figure(
            "tune.wall_per_training",
            ratio,
            "",
            f"<= {_GOAL}" if has_processors else "",
            ratio <= _GOAL or not has_processors,
        ),
        Figure("tune.processor_per_training", processor, "", f"<= {_GOAL}", processor <= _GOAL),
        Figure("tune.val_accuracy", best, "", "", True),
    ]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for figure in measure(Path(folder), tiles_per_class=int(sys.argv[1])):
            print(figure)
