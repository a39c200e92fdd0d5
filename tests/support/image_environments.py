"""Virtual environments in build/images with exactly the packages of an image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.sbom import locked

ROOT = Path(__file__).parents[2]
EXTRAS = {"data": "data", "train": "train", "mlflow": "mlflow-server"}


def uv() -> str | None:
    """Return the path of uv; None if it is neither on the PATH nor in build/uv."""
    found = shutil.which("uv") or str(ROOT / "build" / "uv" / "bin" / "uv")
    return found if Path(found).exists() else None


def image_environment(image: str, uv: str) -> Path:
    """Create or update the environment of `images/<image>/Dockerfile` (`train` in its CPU variant).

    Args:
        image: `data`, `train` or `mlflow`.
        uv: path of uv.

    Returns:
        The folder of the environment.
    """
    folder = ROOT / "build" / "images" / image
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    environment.pop("VIRTUAL_ENV", None)
    # `--python`, since uv may find another Python than that of the tests.
    sync = [uv, "sync", "-q", "--frozen", "--no-dev", "--no-editable", "--extra", EXTRAS[image]]
    sync += ["--python", sys.executable]
    subprocess.run(sync, check=True, cwd=ROOT, env=environment)
    if image != "mlflow":
        install = [uv, "pip", "install", "-q", "--no-deps", "--python", str(folder / "bin" / "python")]
        subprocess.run([*install, f"kfp=={locked()['kfp']}"], check=True, cwd=ROOT, env=environment)
    return folder
