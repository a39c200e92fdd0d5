"""A sweep of eight candidates on the sample with two workers: its wall time beside the time of its trainings."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.measure import ROOT, Figure

_WORKERS = 2
_GOAL = 1.15


def measure(scratch: Path, *, tiles_per_class: int = 100) -> list[Figure]:
    """Measure the step `tune` of `tilepipe run tune_classifier`, start-up of its workers included."""
    tilepipe = str(Path(sys.executable).with_name("tilepipe"))
    sample = scratch / "sample"
    command = [tilepipe, "sample", str(sample), "--tiles-per-class", str(tiles_per_class)]
    subprocess.run(command, check=True, capture_output=True)
    config = ROOT / "pipelines" / "tune_classifier" / "configs" / "sample.yaml"
    command = [tilepipe, "run", "tune_classifier", "--config", str(config), f"data_source={sample / 'catalog.json'}"]
    command += [f"tune_workers={_WORKERS}", "--folder", str(scratch / "runs")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    walls = re.findall(r"^tune +ok +([\d.]+) s", done.stdout, re.MULTILINE)
    outcomes = [json.loads(path.read_text()) for path in scratch.glob("runs/**/outcomes/*/outcome.json")]
    if not walls or len(outcomes) != 8:
        raise RuntimeError(f"no sweep of eight candidates in: {done.stdout}")
    trained = sum(outcome["training_seconds"] for outcome in outcomes) / _WORKERS
    ratio = float(walls[-1]) / trained
    best = max(outcome["history"]["epochs"][-1]["val_accuracy"] for outcome in outcomes)
    return [
        Figure("tune.wall", float(walls[-1]), "s", "", True),
        Figure("tune.wall_per_training", ratio, "", f"<= {_GOAL}", ratio <= _GOAL),
        Figure("tune.val_accuracy", best, "", "", True),
    ]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for figure in measure(Path(folder), tiles_per_class=int(sys.argv[1])):
            print(figure)
