"""Write a software bill of materials for each image and the command line, in CycloneDX: `make sbom`."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "sbom"
EXTRAS = {
    "data": ("data",),
    "train": ("train", "cuda"),
    "mlflow": ("mlflow-server",),
    "cli": ("cli",),
}
"""What is installed -> extras of pyproject.toml, as in `images/*/Dockerfile`."""


def write_sbom(uv: str, name: str, folder: Path) -> Path:
    """Write the bill of one image from uv.lock.

    Args:
        uv: the program.
        name: a key of `EXTRAS`.
        folder: folder of the file.

    Returns:
        `<folder>/<name>.cdx.json`.

    Raises:
        ValueError: a component has no version or no SHA-256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.cdx.json"
    command = [uv, "export", "--quiet", "--frozen", "--no-dev", "--format", "cyclonedx1.5", "--output-file", str(path)]
    for extra in EXTRAS[name]:
        command += ["--extra", extra]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    bare = unverifiable(json.loads(path.read_text(encoding="utf-8")))
    if bare:
        raise ValueError(f"each component needs a version and a SHA-256. Received: {', '.join(bare)} in {path}")
    return path


def unverifiable(bill: dict) -> list[str]:
    """Return the names of the components without a version, or with a file without SHA-256."""
    return [
        component["name"]
        for component in bill["components"]
        if "version" not in component
        or not component.get("externalReferences")
        or any(
            not any(each["alg"] == "SHA-256" for each in file.get("hashes", []))
            for file in component["externalReferences"]
            if file["type"] == "distribution"
        )
    ]


def locked() -> dict[str, str]:
    """Return name and version of each package in uv.lock."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    return {package["name"]: package["version"] for package in packages if "version" in package}


def main() -> None:
    """Write all bills to build/sbom."""
    for name in EXTRAS:
        path = write_sbom(sys.argv[1], name, OUT)
        components = json.loads(path.read_text(encoding="utf-8"))["components"]
        print(f"{path.relative_to(ROOT)}: {len(components)} components")


if __name__ == "__main__":
    main()
