"""`make accuracy`: a recipe of the compiled pipeline on all of real EuroSAT RGB, with its canonical split.

RECIPE=finetune (the default) starts from ImageNet weights, RECIPE=scratch from random weights, and RECIPE=quick trains
the default network for three epochs. Their configurations and measurements are in
`pipelines/train_classifier/configs`.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.conftest import DATA
from tests.support.measure import ROOT, Figure, report

_CONFIGS = ROOT / "pipelines" / "train_classifier" / "configs"
_MINUTES = 100
_RECIPES = {
    "finetune": ("eurosat-rgb-finetune.yaml", 0.988),
    "scratch": ("eurosat-rgb-scratch.yaml", 0.980),
    "quick": ("eurosat-rgb.yaml", 0.80),
}
"""Recipe -> its configuration, and the validation accuracy below which something is wrong."""


def main(recipe: str) -> int:
    """Train by a recipe; returns the number of missed goals."""
    if recipe not in _RECIPES:
        print(f"RECIPE must be one of {', '.join(_RECIPES)}. Received: RECIPE={recipe}.", file=sys.stderr)
        return 2
    config, floor = _RECIPES[recipe]
    source = DATA / "eurosat-rgb"
    if not source.is_dir():
        print(f"real data are absent: {source} (set TILE_DATA_DIR)", file=sys.stderr)
        return 0
    arguments = []
    if recipe == "finetune":
        arguments.append(f"model_weights_uri={(DATA / 'weights' / 'efficientnet-lite0-imagenet.npz').resolve()}")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with tarfile.open(source / "eurosat-rgb-train-val.tar") as archive:
            archive.extractall(scratch / "tiles", filter="data")
        splits = ", ".join(f'"{s}": "{source}/splits/eurosat-{s}.txt"' for s in ("train", "val"))
        command = [str(Path(sys.executable).with_name("tilepipe")), "run", "train_classifier"]
        command += ["--config", str(_CONFIGS / config), "--folder", str(scratch / "runs")]
        command += [f"data_source={scratch / 'tiles'}", f"split_files={{{splits}}}", *arguments]
        started = time.monotonic()
        output = _shown(command)
        minutes = (time.monotonic() - started) / 60
    found = re.search(r"│ val_accuracy\s+│\s+([\d.]+)", output)
    accuracy = float(found[1]) if found else 0.0
    figures = [
        Figure(f"train.eurosat_rgb_{recipe}_val_accuracy", accuracy, "", f">= {floor}", accuracy >= floor),
        Figure(f"run.eurosat_rgb_{recipe}_wall", minutes, "minutes", f"<= {_MINUTES}", minutes <= _MINUTES),
    ]
    return report(f"accuracy-{recipe}", figures)


def _shown(command: list[str]) -> str:
    """Run a command and show its output immediately; returns the output."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(1 if main(os.environ.get("RECIPE", "finetune")) else 0)
