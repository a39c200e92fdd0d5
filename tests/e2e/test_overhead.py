"""Time that Kubeflow adds to a run and time of a cached run, beside those of another commit on the same cluster.

E2E_BASELINE      a checkout of that commit in which `make setup` was run
E2E_BASELINE_TAG  tag of its images in TILEPIPE_IMAGE_REGISTRY
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import FIGURES, own_seconds, run_id_in, seconds
from tests.support.measure import Figure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def baseline():
    folder = os.environ.get("E2E_BASELINE")
    if not folder:
        pytest.skip("E2E_BASELINE is not set: there is no other commit to compare with")
    return Path(folder) / ".venv" / "bin" / "tilepipe"


def by(tilepipe, *words):
    """Run the command line of the other commit."""
    environment = {**os.environ, "TILEPIPE_IMAGE_TAG": os.environ["E2E_BASELINE_TAG"]}
    done = subprocess.run([str(tilepipe), *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def measured(kubeflow, tilepipe, yaml, arguments):
    """Return the seconds of a run beyond those of its steps' containers, and those of the same run from the cache."""
    found = []
    for _ in range(2):
        run_id = run_id_in(tilepipe("submit", str(yaml), *arguments))
        assert kubeflow.run(run_id).state == "SUCCEEDED"
        whole = seconds(kubeflow.workflow(run_id)["status"])
        own = own_seconds(kubeflow, run_id)
        print(f"{yaml}: {whole:.0f} s, in steps", {task: round(spent) for task, spent in sorted(own.items())})
        found.append((whole, whole - sum(own.values())))
    (_, overhead), (cached, _) = found
    return overhead, cached


@pytest.mark.parametrize("pipeline", ["train_classifier_small", "train_classifier"])
def test_kubeflow_adds_at_most_three_fifths_of_what_it_added(kubeflow, baseline, sample, tmp_path, pipeline):
    arguments = [f"data_source={sample}", "train_epochs=1", "tracking_experiment=e2e"]
    ways = {
        "theirs": lambda *words: by(baseline, *words),
        "ours": lambda *words: kubeflow.tilepipe(*words).stdout,
    }
    found = {}
    for name, tilepipe in ways.items():
        tilepipe("compile", pipeline, "--out", str(tmp_path / name))
        found[name] = measured(kubeflow, tilepipe, tmp_path / name / f"{pipeline}.yaml", arguments)
    ratios = []
    for number, (figure, most) in enumerate((("overhead", 0.6), ("cached_run", 0.5))):
        theirs, ours = (found[name][number] for name in ("theirs", "ours"))
        FIGURES.append(Figure(f"cluster.{pipeline}.{figure}_before", theirs, "s"))
        holds = ours / theirs <= most
        ratios.append(Figure(f"cluster.{pipeline}.{figure}_ratio", ours / theirs, "of it", f"<= {most}", holds))
    FIGURES.extend(ratios)
    assert all(figure.holds for figure in ratios)
