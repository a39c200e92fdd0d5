"""A whole run as in `make run`, on a sample of its own: wall time and peak memory.

BASELINE=FOLDER, a checkout of another commit in which `make setup` was run, runs its pipeline in turn with this one.
"""

import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.support.measure import ROOT, Figure

_GOAL_SECONDS = 240
_ROUNDS = 3


def measure(scratch: Path) -> list[Figure]:
    """Measure `tilepipe sample` and then `tilepipe run`."""
    sample = scratch / "sample"
    seconds = _seconds(ROOT, "sample", str(sample), "--tiles-per-class", "200")[0]
    wall, output = _run(ROOT, sample, scratch / "runs")
    accuracy = re.search(r"│ test_accuracy\s+│\s+([\d.]+)", output)
    if accuracy is None:
        raise RuntimeError(f"no test accuracy in: {output}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    figures = [
        Figure("sample.rate", 2000 / seconds, "tiles/s", ">= 150", 2000 / seconds >= 150),
        Figure("run.wall", wall, "s", f"<= {_GOAL_SECONDS}", wall <= _GOAL_SECONDS),
        Figure("run.peak_memory", peak, "GiB", "", True),
        Figure("run.test_accuracy", float(accuracy[1]), "", ">= 0.9", float(accuracy[1]) >= 0.9),
    ]
    baseline = os.environ.get("BASELINE", "")
    return [*figures, *_beside(Path(baseline).resolve(), sample, scratch)] if baseline else figures


def _beside(baseline: Path, sample: Path, scratch: Path) -> list[Figure]:
    """Measure runs of two checkouts in turn, each with its own environment."""
    pairs = []
    for number in range(_ROUNDS):
        theirs, ours = (_run(root, sample, scratch / f"{number}-{root.name}")[0] for root in (baseline, ROOT))
        pairs.append((theirs, ours))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    return [
        Figure("run.baseline_wall", statistics.median(theirs for theirs, _ in pairs), "s"),
        Figure("run.of_baseline", ratio, "of its time", "<= 0.5", ratio <= 0.5),
    ]


def _run(root: Path, sample: Path, folder: Path) -> tuple[float, str]:
    config = root / "pipelines" / "train_classifier" / "configs" / "sample.yaml"
    words = ["run", "train_classifier", "--config", str(config), f"data_source={sample / 'catalog.json'}"]
    return _seconds(root, *words, "--folder", str(folder))


def _seconds(root: Path, *words: str) -> tuple[float, str]:
    """Run a command of a checkout; returns its wall time in seconds and its output."""
    tilepipe = Path(sys.executable).with_name("tilepipe") if root == ROOT else root / ".venv" / "bin" / "tilepipe"
    started = time.monotonic()
    done = subprocess.run([str(tilepipe), *words], cwd=root, check=True, capture_output=True, text=True)
    return time.monotonic() - started, done.stdout
