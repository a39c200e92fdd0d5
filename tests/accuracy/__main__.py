"""`make accuracy`: the compiled pipeline on all of real EuroSAT RGB, with its canonical split."""

import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.conftest import DATA
from tests.measure import ROOT, Figure, report

_FLOOR = 0.80


def main() -> int:
    """Train for three epochs; gives the number of goals that do not hold."""
    source = DATA / "eurosat-rgb"
    if not source.is_dir():
        print(f"real data are absent: {source} (set TILE_DATA_DIR)", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with tarfile.open(source / "eurosat-rgb-train-val.tar") as archive:
            archive.extractall(scratch / "tiles", filter="data")
        splits = ", ".join(f'"{s}": "{source}/splits/eurosat-{s}.txt"' for s in ("train", "val"))
        command = [str(Path(sys.executable).with_name("tilepipe")), "run", "train_classifier"]
        command += ["--config", str(ROOT / "pipelines" / "train_classifier" / "configs" / "eurosat-rgb.yaml")]
        command += ["--folder", str(scratch / "runs"), f"data_source={scratch / 'tiles'}", f"split_files={{{splits}}}"]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.monotonic() - started
    print(done.stdout + done.stderr)
    found = re.search(r"│ val_accuracy\s+│\s+([\d.]+)", done.stdout)
    accuracy = float(found[1]) if found else 0.0
    figures = [
        Figure("train.eurosat_rgb_val_accuracy", accuracy, "", f">= {_FLOOR}", accuracy >= _FLOOR),
        Figure("run.eurosat_rgb_wall", wall, "s"),
    ]
    return report("accuracy", figures)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
