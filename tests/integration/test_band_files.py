"""Images of which each band is a file of its own, as microscopes write them, from a table to the shards."""

import numpy as np
import pytest

from tests.pack.conftest import outputs, write_picture
from tests.support.ingesting import ingest_into
from tilepipe.components.pack.config import PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import pack
from tilepipe.components.shared.errors import SourceError

CHANNELS = {"Mito": 300, "DNA": 100, "ER": 200}
"""Channel -> value of its pixels in the first well."""


@pytest.fixture
def plate(tmp_path):
    """A table of 20 wells of two compounds, with one column for each channel."""
    lines = ["well,compound,FileName_Mito,FileName_DNA,FileName_ER"]
    for well in range(20):
        names = [f"images/well{well:02d}_{channel}.png" for channel in CHANNELS]
        for name, value in zip(names, CHANNELS.values(), strict=True):
            pixels = (value + well + np.arange(64) % 2).reshape(8, 8, 1).astype("uint16")
            write_picture(tmp_path / "plate" / name, pixels)
        lines.append(",".join([f"{well}", ("control", "drug")[well % 2], *names]))
    table = tmp_path / "plate" / "load_data.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


def packed(folder, source, columns, **parameters):
    ingest_into(folder, source=str(source), columns={"label": "compound"}, options={"band_assets": columns})
    pack(PackConfig.parse(**parameters), folder / "tiles.parquet", outputs(folder / "packed"))
    names = ("part.json", "contents.parquet", "part-q.parquet")
    return merge(
        MergeInputs(*([folder / "packed" / name] for name in names)), folder / "manifest.json", folder / "q.parquet"
    )


def test_each_file_becomes_the_band_of_its_column(tmp_path, plate):
    columns = {channel: f"FileName_{channel}" for channel in CHANNELS}
    manifest = packed(tmp_path, plate, columns)
    assert manifest.bands == ("DNA", "ER", "Mito")
    assert manifest.dtype == "uint16"
    for statistics in manifest.statistics:
        assert CHANNELS[statistics.band] <= statistics.minimum <= statistics.mean <= CHANNELS[statistics.band] + 19
    digests = {packed(tmp_path, plate, dict(order)).digest for order in (columns.items(), reversed(columns.items()))}
    assert digests == {manifest.digest}
    assert packed(tmp_path, plate, columns, bands=["Mito", "DNA"]).bands == ("Mito", "DNA")


def test_a_well_without_the_file_of_a_channel_stops_the_step(tmp_path, plate):
    plate.write_text(plate.read_text().replace("images/well03_ER.png", ""))
    with pytest.raises(
        SourceError, match=r"1 rows of .*column of data_options\.band_assets, such as images/well03_DNA"
    ):
        packed(tmp_path, plate, {channel: f"FileName_{channel}" for channel in CHANNELS})
