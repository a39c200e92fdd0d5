"""Write the skeleton of a new step: `make step NAME=sharpen`."""

import keyword
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "components/@name/__init__.py": '"""Describe here what the step does."""\n',
    "components/@name/component.py": '''"""The KFP interface of `@name`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def @name_tiles(
    tiles: dsl.Input[dsl.Dataset],
    result: dsl.Output[dsl.Artifact],
    limit: int = 0,
) -> None:
    """Describe here what the step does.

    Args:
        tiles: Tile table of `ingest` (Parquet).
        result: Result of the step (JSON).
        limit: Maximum number of tiles to read; 0 reads all.
    """
    from pathlib import Path

    from tilepipe.components.@name.@name import @name
    from tilepipe.components.@name.config import @ClassConfig
    from tilepipe.components.shared.runtime.step import step

    with step("@name"):
        @name(@ClassConfig.from_arguments(locals()), Path(tiles.path), Path(result.path))
''',
    "components/@name/config.py": '''"""Parameters of the `@name` step."""

from pydantic import Field

from tilepipe.components.shared.runtime.config import StepConfig


class @ClassConfig(StepConfig):
    """Parameters of the step."""

    limit: int = Field(default=0, ge=0, description="Maximum number of tiles to read; 0 reads all")
''',
    "components/@name/@name.py": '''"""Describe here what the step does and why."""

import json
import logging
from pathlib import Path

from tilepipe.components.@name.config import @ClassConfig
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file

logger = logging.getLogger("tilepipe.@name")


def @name(config: @ClassConfig, tiles: Path, result: Path) -> None:
    """Write the result of the step.

    Args:
        config: parameters of the step.
        tiles: tile table of `ingest`.
        result: JSON file to write.

    Raises:
        ArtifactError: there is no tile table.
    """
    if not tiles.is_file():
        raise ArtifactError(f"`tiles` must be a tile table. Received: {tiles}, which is no file. Run ingest first.")
    with whole_file(result) as path:
        path.write_text(json.dumps({"limit": config.limit}), encoding="utf-8")
    logger.info("result written")
''',
    "components/@name/README.md": """# @name

Describe here what the step does.

**Why.** The reason for the step. **When.** Its place in a pipeline.

| input | |
| --- | --- |
| `tiles` | tile table of `ingest` |

| output | |
| --- | --- |
| `result` | JSON |

<!-- Parameters: written by `make pipelines` from config.py -->

| parameter | in `train_classifier` | default | values | |
| --- | --- | --- | --- | --- |
| `limit` |  | `0` | whole number from 0 | Maximum number of tiles to read; 0 reads all |

<!-- End of parameters -->

## Example

```python
@name = @name_tiles(tiles=ingest.outputs["tiles"], limit=100)
```
""",
    "components/@name/metadata.yaml": """---
name: @name_tiles
stability: alpha
dependencies:
  kubeflow:
    - name: Pipelines
      version: ">=2.16.0"
tags:
  - earth_observation
lastVerified: @dateT00:00:00Z
""",
    "tests/@name/test_@name.py": '''"""What `@name` writes and refuses."""

import json

import pytest

from tilepipe.components.@name.@name import @name
from tilepipe.components.@name.config import @ClassConfig
from tilepipe.components.shared.errors import ArtifactError, ParameterError


def test_the_result_is_written(tmp_path):
    (tmp_path / "tiles").touch()
    @name(@ClassConfig(limit=3), tmp_path / "tiles", tmp_path / "result")
    assert json.loads((tmp_path / "result").read_text()) == {"limit": 3}


def test_a_missing_tile_table_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="`tiles` must be a tile table"):
        @name(@ClassConfig(), tmp_path / "tiles", tmp_path / "result")
    assert list(tmp_path.iterdir()) == []


def test_a_negative_limit_is_refused():
    with pytest.raises(ParameterError, match="Received: limit=-1"):
        @ClassConfig.parse(limit=-1)
''',
}
ROW = "| [@name](@name/README.md) | `tiles` | `result` | data | alpha |\n"


def check_name(name: str, root: Path) -> None:
    """Check that a name can be the name of a step.

    Raises:
        ValueError: the name has another form, is taken, or is a keyword of Python.
    """
    if not re.fullmatch(r"[a-z]{2,20}", name) or keyword.iskeyword(name) or name in {"component", "config", "step"}:
        raise ValueError(
            f"A step's name is one word of 2 to 20 letters a to z. Received: NAME={name}. Use NAME=sharpen."
        )
    if (root / "components" / name).exists():
        raise ValueError(f"A step's name must be new. Received: NAME={name}, which is in components/. Use another.")


def write_step(name: str, root: Path = ROOT) -> list[Path]:
    """Write a step's files, and enter it in `pyproject.toml` and `components/README.md`.

    Args:
        name: the step's name, one word of the letters a to z.
        root: folder of the repository.

    Returns:
        The files that were written or changed.

    Raises:
        ValueError: the name cannot be a step's.
    """
    check_name(name, root)
    written = []
    for pattern, text in FILES.items():
        path = root / _filled(pattern, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, name), encoding="utf-8")
        written.append(path)
    project, table = root / "pyproject.toml", root / "components" / "README.md"
    project.write_text(_with_step(project.read_text(encoding="utf-8"), name), encoding="utf-8")
    table.write_text(_with_row(table.read_text(encoding="utf-8"), name), encoding="utf-8")
    return [*written, project, table]


def _filled(text: str, name: str) -> str:
    today = datetime.now(tz=UTC).date().isoformat()
    text = text.replace("@name", name).replace("@Class", name.capitalize()).replace("@date", today)
    imports = r"(?:^ *from tilepipe\..*\n)+"  # their order depends on the name
    return re.sub(imports, lambda match: "".join(sorted(match[0].splitlines(True))), text, flags=re.MULTILINE)


def _with_step(project: str, name: str) -> str:
    """Enter the package in the lists of packages and of import-linter, in alphabetical order."""

    def enter(match: re.Match[str]) -> str:
        lines = match[2].splitlines(keepends=True)
        return match[1] + "".join(sorted([*lines, f'  "tilepipe.components.{name}",\n'])) + "]"

    lists = r'^((?:packages|modules|forbidden_modules) = \[\n)((?:  "tilepipe\.[\w.]+",\n)+)\]'
    return re.sub(lists, enter, project, flags=re.MULTILINE)


def _with_row(page: str, name: str) -> str:
    """Append the step to the table of steps."""
    last = list(re.finditer(r"^\| \[\w+\]\(\w+/.*\n", page, re.MULTILINE))[-1]
    return page[: last.end()] + _filled(ROW, name) + page[last.end() :]


if __name__ == "__main__":
    try:
        paths = write_step(sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(*(path.relative_to(ROOT) for path in paths), sep="\n")
    print("Next: describe and fill in the step, wire it into a pipeline, run `make setup pipelines test`.")
