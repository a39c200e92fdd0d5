"""The skeleton that `make step` writes passes the checks that every step passes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.step_skeleton import ROOT, write_step


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Return a copy of the repository with a new step."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("components", "pipelines", "tests", ".github"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "Makefile", ".pre-commit-config.yaml"):
        shutil.copy(ROOT / name, root / name)
    (root / "site" / "tilepipe").mkdir(parents=True)
    for top in ("components", "pipelines"):
        (root / "site" / "tilepipe" / top).symlink_to(root / top)
    write_step("sharpen", root)
    return root


def check_run(root: Path, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{root / 'site'}:{root}"}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_passes_lint(copy):
    paths = ("components/sharpen", "tests/sharpen")
    check_run(copy, "ruff", "check", "--no-cache", "--extend-select", "D401", *paths)
    check_run(copy, "ruff", "format", "--no-cache", "--check", *paths)


def test_it_passes_the_tests_of_the_layout_and_its_own(copy):
    words = ("-q", "-p", "no:cacheprovider", "-k", "not make_help")
    check_run(copy, "pytest", *words, "tests/test_layout.py", "tests/sharpen")


def test_its_component_compiles(copy):
    code = "from tilepipe.components.sharpen.component import sharpen_tiles as e; assert e.component_spec.name"
    environment = {**os.environ, "PYTHONPATH": str(copy / "site")}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["", "Export", "two_words", "train", "shared", "import", "../x"])
def test_a_name_that_no_step_can_have_is_refused(name):
    with pytest.raises(ValueError, match=f"Received: NAME={name}"):
        write_step(name)
