"""Properties that the Dockerfiles share, since these tests build no images."""

import re
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"
NAMES = sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))
PYTHON = sorted(set(NAMES) - {"minio"})


def dockerfile(name: str) -> str:
    return (IMAGES / name / "Dockerfile").read_text()


def argument(name: str, key: str) -> set[str]:
    return set(re.findall(rf"^ARG {key}=(.+)$", dockerfile(name), re.MULTILINE))


def test_the_images_are_those_of_the_design():
    assert NAMES == ["data", "minio", "mlflow", "train"]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_runs_as_a_numeric_user_and_says_what_it_is(name):
    last_stage = dockerfile(name).rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == ["65532:0"]
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last_stage


@pytest.mark.parametrize("name", NAMES)
def test_base_images_are_arguments(name):
    bases = re.findall(r"^FROM (\S+)", dockerfile(name), re.MULTILINE)
    assert set(bases) <= {"${PYTHON_IMAGE}", "${GO_IMAGE}", "scratch"}


@pytest.mark.parametrize("name", NAMES)
def test_base_images_are_pinned_by_digest(name):
    (base,) = argument(name, "PYTHON_IMAGE") | argument(name, "GO_IMAGE")
    assert re.fullmatch(r"docker\.io/library/[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", base)


@pytest.mark.parametrize("name", PYTHON)
def test_python_images_agree_on_their_base_and_take_the_lock_file_as_it_is(name):
    assert argument(name, "PYTHON_IMAGE") == argument("data", "PYTHON_IMAGE")
    assert argument(name, "UV_VERSION") == argument("data", "UV_VERSION")
    assert all("--frozen" in line for line in re.findall(r"uv (?:sync|export) .*", dockerfile(name)))


def test_minio_is_the_one_that_tests_run_with():
    from tests.support.minio_server import VERSION

    assert argument("minio", "MINIO_VERSION") == {VERSION}


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_each_image_and_argument(name):
    readme = (IMAGES / "README.md").read_text()
    assert f"| `{name}` |" in readme
    for key in re.findall(r"^ARG (\w+)", dockerfile(name), re.MULTILINE):
        assert f"| `{key}` |" in readme
