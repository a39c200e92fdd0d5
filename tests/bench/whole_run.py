"""A whole run as in `make run`, on a sample of its own: wall time and peak memory."""

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.support.measure import ROOT, Figure

_GOAL_SECONDS = 240


def measure(scratch: Path) -> list[Figure]:
    """Measure `tilepipe sample` and then `tilepipe run`."""
    tilepipe = str(Path(sys.executable).with_name("tilepipe"))
    sample = scratch / "sample"
    started = time.monotonic()
    subprocess.run([tilepipe, "sample", str(sample), "--tiles-per-class", "200"], check=True, capture_output=True)
    made = time.monotonic()
    config = ROOT / "pipelines" / "train_classifier" / "configs" / "sample.yaml"
    command = [tilepipe, "run", "train_classifier", "--config", str(config), f"data_source={sample / 'catalog.json'}"]
    command += ["--folder", str(scratch / "runs")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    ended = time.monotonic()
    accuracy = re.search(r"│ test_accuracy\s+│\s+([\d.]+)", done.stdout)
    if accuracy is None:
        raise RuntimeError(f"no test accuracy in: {done.stdout}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    wall = ended - started
    return [
        Figure("sample.rate", 2000 / (made - started), "tiles/s", ">= 150", 2000 / (made - started) >= 150),
        Figure("run.wall", wall, "s", f"<= {_GOAL_SECONDS}", wall <= _GOAL_SECONDS),
        Figure("run.peak_memory", peak, "GiB", "", True),
        Figure("run.test_accuracy", float(accuracy[1]), "", ">= 0.9", float(accuracy[1]) >= 0.9),
    ]
