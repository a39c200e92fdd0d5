"""Verdicts on registered versions, with real bundles, shards and a real MLflow store."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from tests.support.packed import manifest_for
from tests.support.registry import NAME, twice_at_once
from tilepipe.components.gate.config import GateConfig
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.contracts.shard_tiles import read_tiles
from tilepipe.components.shared.contracts.shards import check_shards
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError
from tilepipe.components.shared.registry.promotions import Promotion
from tilepipe.components.shared.registry.version_tags import DATASET_DIGEST, TEST_SHARDS, TRAINING_TILES

BAD = 40.0  # all tiles of the darkest class are wrong


@pytest.fixture
def champion(client, version):
    """Function that registers a version and makes it champion."""

    def register(*arguments, **options):
        number = version(*arguments, **options)
        client.set_registered_model_alias(NAME, "champion", str(number))
        return number

    return register


def tags_of(client, number):
    return client.get_model_version(NAME, str(number)).tags


def test_without_a_champion_the_floors_decide(client, version, judge):
    number = version()
    found, document, page = judge(floors={"accuracy": 0.9, "recall[*]": 0.9})
    assert (found.outcome, document["outcome"], document["champion"]) == ("accepted", "accepted", None)
    assert document["figures"]["accuracy"] == 1
    assert [floor["figure"] for floor in document["floors"]] == [
        "accuracy",
        "recall[Forest]",
        "recall[SeaLake]",
        "recall[Industrial]",
    ]
    assert document["comparison"] is None
    assert "Accepted" in page
    assert "There is no champion to compare with." in page
    tags = tags_of(client, number)
    assert (tags["tilepipe.gate"], tags["tilepipe.gate_champion"]) == ("accepted", "none")
    assert tags["tilepipe.gate_reason"] == "All 4 floors are met. There is no champion to compare with."
    run = client.get_model_version(NAME, "1").run_id
    assert sorted(file.path for file in client.list_artifacts(run, "gate")) == [
        "gate/verdict.html",
        "gate/verdict.json",
    ]


def test_two_attempts_at_once_leave_one_verdict(client, version, judge, monkeypatch):
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersionTag

    number = version()
    assert twice_at_once(monkeypatch, SqlModelVersionTag, lambda: judge()[0].outcome) == ["accepted"] * 2
    tags = tags_of(client, number)
    assert (tags["tilepipe.gate"], tags["tilepipe.gate_champion"]) == ("accepted", "none")


def test_a_missed_floor_refuses(version, judge):
    version(BAD)
    found, document, page = judge(floors={"recall[Forest]": 0.5})
    assert found.outcome == "refused"
    assert document["reasons"][0] == "recall[Forest] must be at least 0.5, but it is 0.0000."
    assert document["floors"] == [{"figure": "recall[Forest]", "minimum": 0.5, "value": 0.0, "met": False}]
    assert "missed" in page


def test_a_worse_challenger_is_refused_and_a_better_one_accepted(client, champion, version, judge):
    champion(BAD)
    version()
    found, document, _ = judge()
    assert (found.outcome, document["champion"]) == ("accepted", 1)
    assert document["reasons"][0].startswith("The challenger is better")
    client.set_registered_model_alias(NAME, "champion", "2")
    found, document, page = judge(version=1)
    comparison = document["comparison"]
    assert found.outcome == "refused"
    assert (comparison["tiles"], comparison["excluded_tiles"]) == (60, 0)
    assert (comparison["only_champion_right"], comparison["only_challenger_right"]) == (20, 0)
    assert comparison["mcnemar_p_value"] == pytest.approx(2 / 2**20)
    assert comparison["champion"]["classes"]["Forest"]["recall"] == 1
    assert comparison["challenger"]["classes"]["Forest"] == {"tiles": 20, "recall": 0, "precision": 0, "f1": 0}
    assert tags_of(client, 1)["tilepipe.gate_champion"] == "2"
    assert "The challenger is worse" in page


def test_equal_models_are_accepted(champion, version, judge):
    champion()
    version()
    found, document, _ = judge()
    assert (found.outcome, document["comparison"]["mcnemar_p_value"]) == ("accepted", 1)
    assert document["reasons"][0].startswith("No difference")


def test_the_champion_itself_is_not_judged(champion, judge):
    champion()
    with pytest.raises(ParameterError, match=r"not champion. Received: models:/forests/1, the champion of forests"):
        judge(version=1)


def test_classes_in_another_order_are_matched_by_name(champion, version, judge):
    labels = json.dumps({"0": "SeaLake", "1": "Forest", "2": "Industrial"}).encode()
    champion(labels_json=labels)  # takes each Forest for SeaLake and the other way round
    version()
    _, document, _ = judge()
    assert document["comparison"]["only_challenger_right"] == 40
    assert document["comparison"]["champion"]["classes"]["Industrial"]["recall"] == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"classes": ("Forest", "SeaLake", "Desert")},
            "only the challenger has Industrial; only the champion has Desert",
        ),
        ({"shape": (8, 8, 3)}, "The champion needs the bands B03, which the challenger's test tiles lack"),
        ({"shape": (16, 8, 2)}, "(height, width, dtype) = (16, 8, 'uint16')"),
        ({"dtype": "uint8"}, "(height, width, dtype) = (8, 8, 'uint8')"),
    ],
)
def test_models_of_other_classes_or_bands_ask_a_person(champion, version, judge, options, reason):
    champion(manifest=manifest_for(**options))
    version()
    found, document, _ = judge(floors={"accuracy": 0.9})
    assert found.outcome == "undecided"
    assert reason in document["reasons"][0]
    assert document["reasons"][1].startswith("accuracy is 1.0000")


def test_a_champion_of_fewer_bands_sees_its_own(champion, version, judge, packed):
    data = read_manifest(packed / "manifest.json")
    champion(manifest=manifest_for(shape=(8, 8, 1)), tags={DATASET_DIGEST: data.digest})
    version()
    found, document, _ = judge()
    assert document["comparison"]["tiles"] == 60
    assert found.outcome == "accepted"


@pytest.mark.parametrize("damage", [{"model_onnx": b"no model"}, {"tags": {"tilepipe.bundle_sha256": "0" * 64}}])
def test_a_champion_that_cannot_be_loaded_asks_a_person(champion, version, judge, damage):
    champion(**damage)
    version()
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert document["reasons"][0].startswith("The champion (version 1) cannot be compared with the challenger")


def test_a_challenger_that_cannot_be_loaded_is_an_error(version, judge):
    version(model_onnx=b"no model")
    with pytest.raises(ArtifactError, match="must hold a model that onnxruntime"):
        judge()


def test_a_deleted_champion_is_not_taken_for_none(client, version, judge):
    version()
    entry = Promotion(1, "promote", "2026-11-29T00:00:00+00:00", "ann@lab", "it is good", None, 7, "accepted", "0")
    client.set_registered_model_tag(NAME, entry.tag, entry.as_json())
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert document["reasons"][0].startswith("forests has no champion, but its history says version 7")


def test_a_version_that_a_rollback_left_asks_a_person(client, champion, version, judge):
    champion(BAD)
    version()
    moves = [("promote", "better", None, 1), ("promote", "better", 1, 2), ("rollback", "it sees ghosts", 2, 1)]
    for number, (action, why, before, after) in enumerate(moves, 1):
        entry = Promotion(number, action, "2026-11-29T00:00:00+00:00", "ann@lab", why, before, after, "accepted", "0")
        client.set_registered_model_tag(NAME, entry.tag, entry.as_json())
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert document["reasons"][0] == "ann@lab went back from version 2 at 2026-11-29T00:00:00+00:00: it sees ghosts."
    version()
    assert judge()[0].outcome == "accepted"


def test_a_version_without_test_tiles_asks_a_person(version, judge):
    version(manifest=manifest_for(), folders=[])
    found, document, page = judge(floors={"accuracy": 0.5})
    assert found.outcome == "undecided"
    assert document["reasons"] == [
        "accuracy must be at least 0.5, but there are no test tiles for it.",
        "The challenger has no test tiles.",
        "There is no champion to compare with.",
    ]
    assert "undecided" in page


def test_test_tiles_without_an_address_are_an_error(client, version, judge):
    number = version()
    client.delete_model_version_tag(NAME, str(number), TEST_SHARDS)
    said = (
        r"tag tilepipe.test_shards must hold .* Received: models:/forests/1, which has 60 test tiles and no address.*"
    )
    with pytest.raises(ArtifactError, match=said + "tilepipe promote forests --version 1 --yes --reason"):
        judge()


def test_tiles_that_are_gone_or_damaged_are_errors(version, judge, tmp_path, packed):
    version(folders=[str(tmp_path / "gone")])
    with pytest.raises(SourceError, match=r"gone.* `tilepipe promote forests --version 1 --yes --reason \.\.\.`"):
        judge()
    (tmp_path / "damaged").mkdir()
    for path in (packed / "test").iterdir():
        (tmp_path / "damaged" / path.name).write_bytes(path.read_bytes()[:-1] + b"?")
    version(folders=[str(tmp_path / "damaged")])
    with pytest.raises(ArtifactError, match=r"checksum.* `promote_override` too, which overrides verdicts only"):
        judge()


@pytest.mark.parametrize(
    ("tags", "message"),
    [({TEST_SHARDS: "s3://a/b"}, "must be a JSON list of addresses"), ({TEST_SHARDS: "[1]"}, "no list of addresses")],
)
def test_damaged_tags_are_named(version, judge, tags, message):
    version(tags=tags)
    with pytest.raises(ArtifactError, match=message):
        judge()


def test_a_bundle_without_a_manifest_is_named(client, version, judge, tmp_path):
    from tests.support.registry import register_version

    register_version(client, tmp_path)
    with pytest.raises(ArtifactError, match=r"Received: models:/forests/1, without manifest.json"):
        judge()


# Tiles that the champion was trained on


def write_contents(path, rows):
    """Write a table of packed tiles as `pack` does: id, split and checksum of the pixels."""
    schema = pa.schema([("tile_id", pa.string()), ("split", pa.string()), ("digest", pa.binary(16))])
    pq.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=schema), path)
    return str(path)


@pytest.fixture
def tiles_of_test(packed):
    """Id and checksum of the pixels of each test tile."""
    manifest = read_manifest(packed / "manifest.json")
    summary = manifest.splits["test"]
    paths = check_shards([packed / "test"], summary)
    return [
        (tile.tile_id, xxhash.xxh3_128_digest(np.ascontiguousarray(tile.image)))
        for path, shard in zip(paths, summary.shards, strict=True)
        for tile in read_tiles(path, shard, manifest)
    ]


def test_tiles_that_the_champion_was_trained_on_are_left_out(champion, version, judge, tmp_path, tiles_of_test):
    (ids, digests, held_out) = (tiles_of_test[:10], tiles_of_test[10:18], tiles_of_test[18:40])
    rows = [(tile_id, "train", b"0" * 16) for tile_id, _ in ids]
    rows += [(f"other-{number}", "val", digest) for number, (_, digest) in enumerate(digests)]
    rows += [(tile_id, "test", digest) for tile_id, digest in held_out]  # it was not trained on its own test tiles
    parts = [write_contents(tmp_path / f"{n}.parquet", part) for n, part in enumerate((rows[:7], rows[7:]))]
    champion(BAD, tags={DATASET_DIGEST: "other", TRAINING_TILES: json.dumps(parts)})
    version()
    found, document, page = judge()
    assert (document["comparison"]["tiles"], document["comparison"]["excluded_tiles"]) == (42, 18)
    assert document["test_tiles"] == 60
    assert found.outcome == "accepted"
    assert "18 tiles on which the champion was trained or selected are left out" in page


def test_a_champion_that_was_trained_on_all_test_tiles_asks_a_person(champion, version, judge, tmp_path, tiles_of_test):
    rows = [(tile_id, "train", digest) for tile_id, digest in tiles_of_test]
    table = write_contents(tmp_path / "tiles.parquet", rows)
    champion(tags={DATASET_DIGEST: "other", TRAINING_TILES: table})
    version()
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert document["reasons"][0].startswith("The champion (version 1) was trained on all 60 test tiles")
    assert document["comparison"] is None


def test_training_tiles_that_were_not_recorded_ask_a_person(champion, version, judge):
    champion(BAD, tags={DATASET_DIGEST: "other"})
    version()
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert "its training tiles are not recorded" in document["reasons"][0]
    assert document["comparison"]["only_challenger_right"] == 20


def test_a_list_of_training_tiles_that_is_none_asks_a_person(champion, version, judge, tmp_path):
    (tmp_path / "tiles.parquet").write_text("no table")
    champion(tags={DATASET_DIGEST: "other", TRAINING_TILES: str(tmp_path / "tiles.parquet")})
    version()
    found, document, _ = judge()
    assert found.outcome == "undecided"
    assert "must be a table of `pack`" in document["reasons"][0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"floors": {"acuracy": 0.9}}, "Received: floors={'acuracy': 0.9}"),
        ({"floors": {"accuracy": 90}}, "from 0 to 1"),
        ({"options": {"max_los": 0.1}}, "Did you mean options.max_loss"),
        ({"name": "a/b"}, "name"),
        ({"version": "-1"}, "version"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ParameterError, match=message):
        GateConfig.parse(**{"name": NAME, **parameters})


def test_a_floor_of_an_unknown_class_is_an_error(version, judge):
    version()
    with pytest.raises(ParameterError, match="a class of the model: Forest, SeaLake, Industrial"):
        judge(floors={"recall[Desert]": 0.5})
