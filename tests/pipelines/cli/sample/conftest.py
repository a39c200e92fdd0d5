"""A small sample, written once."""

from pathlib import Path

import pytest

from tilepipe.pipelines.cli.sample.sample import SampleSummary, write_sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return write_sample(tmp_path_factory.mktemp("sample") / "out", tiles_per_class=3, seed=7, processes=1)


@pytest.fixture(scope="session")
def sample_folder(sample: SampleSummary) -> Path:
    return sample.catalog.parent
