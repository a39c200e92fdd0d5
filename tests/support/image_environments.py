"""Virtual environments that hold what an image installs, and nothing else, in build/images."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = {"data": "data", "train": "train", "mlflow": "mlflow-server"}
KFP = "kfp==2.17.0"


def uv() -> str | None:
    """Where uv is; None where it is neither on the PATH nor in build/uv."""
    found = shutil.which("uv") or str(ROOT / "build" / "uv" / "bin" / "uv")
    return found if Path(found).exists() else None


def image_environment(image: str, uv: str) -> Path:
    """Make what `images/<image>/Dockerfile` makes (`train` as its CPU variant), or bring it up to date.

    Args:
        image: `data`, `train` or `mlflow`.
        uv: where uv is.

    Returns:
        The environment's folder.
    """
    folder = ROOT / "build" / "images" / image
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    environment.pop("VIRTUAL_ENV", None)
    # `--python` since the tests may run another one than uv would find.
    sync = [uv, "sync", "-q", "--frozen", "--no-dev", "--no-editable", "--extra", EXTRAS[image]]
    sync += ["--python", sys.executable]
    subprocess.run(sync, check=True, cwd=ROOT, env=environment)
    if image != "mlflow":
        install = [uv, "pip", "install", "-q", "--no-deps", "--python", str(folder / "bin" / "python")]
        subprocess.run([*install, KFP], check=True, cwd=ROOT, env=environment)
    return folder
