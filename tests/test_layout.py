"""The layout of the repository, as documented."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))


def test_packages_are_those_on_the_disk():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        "tilepipe." + ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("components", "pipelines")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == found


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_all_its_parts(step):
    folder = ROOT / "components" / step
    for name in ("__init__.py", "component.py", "config.py", f"{step}.py", "README.md", "metadata.yaml"):
        assert (folder / name).is_file(), f"{step} has no {name}"
    assert not re.search(r"^\s*(import|from) kfp", (folder / f"{step}.py").read_text(), re.MULTILINE)


def test_steps_are_in_the_table():
    table = (ROOT / "components" / "README.md").read_text()
    assert [step for step in STEPS if f"| [{step}]({step}/" not in table] == []


def test_import_linter_knows_every_step():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    names = {f"tilepipe.components.{step}" for step in STEPS}
    assert set(contracts[1]["modules"]) == names
    assert set(contracts[2]["forbidden_modules"]) == names


@pytest.mark.parametrize(
    "module",
    ["pipelines.cli", *(f"components.{step}.component" for step in STEPS), *(f"components.{s}.config" for s in STEPS)],
)
def test_faces_import_nothing_heavy(module):
    code = f"import sys, tilepipe.{module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEAVY = ["tensorflow", "keras", "duckdb", "mlflow", "rasterio", "matplotlib"]


@pytest.mark.parametrize("step", STEPS)
def test_parameters_are_checked_in_every_image_and_by_the_command_line(step):
    """Only what all extras contain may be imported: `submit` and the build of each image import every config.py."""
    code = f"""
import sys, tilepipe.components.{step}.config
installed = [name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")]
names = {{name.partition(".")[0] for name in installed}}
print(sorted(names - {IN_EVERY_EXTRA}))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


IN_EVERY_EXTRA = {
    "_distutils_hack",
    "annotated_types",
    "numpy",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}


def test_make_help_names_every_target():
    targets = {"run", "setup", "step", "test", "lint", "types", "pipelines", "bench", "accuracy", "e2e"}
    printed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets <= {line.split()[0] for line in printed.splitlines()}


def test_files_stay_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for top in ("components", "pipelines")
        for path in (ROOT / top).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_actions_are_pinned_by_commit():
    uses = [
        line.strip().removeprefix("- ")
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert uses
    assert [line for line in uses if not re.fullmatch(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_pre_commit_checks_what_make_lint_checks():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in hooks}
    (recipe,) = re.findall(r"^lint:.*\n\t@(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert checks == {command.removeprefix("$(VENV)/").removesuffix(" .") for command in recipe.split(" && ")}


FACES = {"__init__.py", "component.py", "config.py", "pipeline.py"}
"""Modules that every step or pipeline has."""


def product_modules() -> list[Path]:
    return [path for top in ("components", "pipelines") for path in (ROOT / top).rglob("*.py")]


def test_a_file_name_has_one_meaning():
    places = {}
    for path in product_modules():
        places.setdefault(path.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1 and name not in FACES} == {}


def test_folders_stay_small():
    modules = Counter(path.parent.relative_to(ROOT) for path in product_modules() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in modules.items() if count > 15} == {}


# Tests of what several modules do together, by their path below tests/.
BY_BEHAVIOR = {
    "ingest/sources/stac/test_item_files.py",
    "ingest/test_optional_labels.py",
    "shared/tiles/cache/test_cache_resume.py",
    "pack/test_s3.py",
    "pipelines/test_parameters.py",
    "prepare/test_portable.py",
    "shared/records/test_encoding.py",
    "shared/storage/test_stores.py",
    "train/loop/test_loop_on_devices.py",
    "train/loop/test_loop_resume.py",
    "train/test_resume.py",
}
# Folders whose tests are no module's: of files that are not Python, of whole runs, and of speed and accuracy.
WITHOUT_MODULES = {
    "accuracy",
    "bench",
    "browser",
    "chaos",
    "e2e",
    "examples",
    "fuzz",
    "images",
    "integration",
    "manifests",
    "support",
}


def source_of(test: Path) -> Path:
    """Return the module that a test file is named after."""
    inner = test.relative_to(ROOT / "tests")
    room = inner.parent if inner.parts[0] == "pipelines" else Path("components") / inner.parent
    return ROOT / room / f"{inner.stem.removeprefix('test_')}.py"


def test_tests_mirror_the_sources():
    tests = (ROOT / "tests").glob("*/**/test_*.py")
    mirrored = [path for path in tests if path.relative_to(ROOT / "tests").parts[0] not in WITHOUT_MODULES]
    stray = {str(path.relative_to(ROOT / "tests")) for path in mirrored if not source_of(path).is_file()}
    assert stray == BY_BEHAVIOR


def test_every_room_has_tests():
    rooms = {path.parent for folder in ("components", "pipelines") for path in (ROOT / folder).glob("*/**/*.py")}
    rooms = {room for room in rooms if any(path.name != "__init__.py" for path in room.glob("*.py"))}
    tested = {source_of(path).parent for path in (ROOT / "tests").glob("*/**/test_*.py")}
    # A pipeline's wiring is tested as its YAML, in tests/pipelines/cli/compilation and tests/integration.
    assert {str(room.relative_to(ROOT)) for room in rooms - tested} == {
        f"pipelines/{name}"
        for name in (
            "predict_scenes",
            "predict_tiles",
            "promote",
            "train_classifier",
            "train_classifier_small",
            "train_classifier_streaming",
            "tune_classifier",
        )
    }
