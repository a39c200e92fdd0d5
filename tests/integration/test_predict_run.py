"""`tilepipe run predict_tiles` as users run it: the compiled YAML, twice, with the sample and a tiny model."""

import re

import duckdb
import pyarrow.parquet as pq
import tifffile

from tests.integration.test_run import tilepipe
from tests.support.bundles import write_model_bundle
from tests.support.ingesting import ingest_into
from tests.support.packed import manifest_for
from tests.support.tile_tables import read_tile_table
from tilepipe.pipelines.cli.sample.sample import write_sample


def write_sample_model(folder):
    """Write a bundle that takes the tiles of the sample, and has two of its classes."""
    ingest_into(folder / "ingested", source=str(folder / "sample" / "catalog.json"), labels="optional")
    table, info = read_tile_table(folder / "ingested" / "tiles.parquet")
    pixels = tifffile.imread(table["uri"][0].as_py())
    height, width = pixels.shape[:2] if pixels.shape[-1] == len(info.bands) else pixels.shape[1:]
    manifest = manifest_for((height, width, len(info.bands)), pixels.dtype.name, info.class_names[:2])
    named = zip(manifest.statistics, info.bands, strict=True)
    statistics = tuple(one.model_copy(update={"band": band}) for one, band in named)
    write_model_bundle(
        folder / "model.tar.gz", manifest.model_copy(update={"bands": info.bands, "statistics": statistics})
    )
    return table["tile_id"].to_pylist()


def run(folder, *words):
    done = tilepipe(
        "run",
        "predict_tiles",
        f"data_source={folder / 'sample' / 'catalog.json'}",
        f"model_uri={folder / 'model.tar.gz'}",
        "output_uri=kept",
        "predict_workers=2",
        "tracking_experiment=",
        *words,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^(\w+) +ok", done.stdout, re.MULTILINE), done.stdout


def test_a_second_run_predicts_only_what_is_new(tmp_path):
    write_sample(tmp_path / "sample", tiles_per_class=10)
    ids = write_sample_model(tmp_path)
    half = f"data_where=tile_id < '{ids[len(ids) // 2]}'"
    steps, said = run(tmp_path, half)
    assert steps == ["snapshot", "ingest", "plan", "predict_tiles", "collect"]
    assert f"{len(ids) // 2} tiles predicted" in said
    _, said = run(tmp_path)
    assert f"{len(ids) - len(ids) // 2} tiles to predict with bright, {len(ids) // 2} predicted before" in said
    _, said = run(tmp_path)
    assert "0 tiles predicted" in said
    first, second = sorted((tmp_path / "kept").iterdir())
    assert pq.read_metadata(second).metadata[b"geo"]
    query = f"SELECT tile_id, datetime IS NULL, geometry IS NULL FROM read_parquet({[str(first), str(second)]})"
    found = duckdb.sql(query).fetchall()
    assert sorted(tile_id for tile_id, *_ in found) == ids
    assert {tuple(missing) for _, *missing in found} == {(False, False)}
