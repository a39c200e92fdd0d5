"""What all tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TILE_DATA_DIR", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real_data():
    """Gives a file or folder of the real data, or skips with a reason where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real data are absent: {path} (set TILE_DATA_DIR)")
        return path

    return find
