"""How many threads read tiles, and how many tiles each requests at a time."""

import pytest

from tilepipe.components.shared.tiles.layout import concurrency
from tilepipe.components.shared.tiles.reader import Tile

KEY = {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.setattr(concurrency, "available_cpus", lambda: 2)
    for name in KEY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def key(monkeypatch):
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)


def planned(uri="s3://bucket/a.tif", readers=16, tile_bytes=100_000, *, has_cache=False, **place):
    tile = Tile("a", uri, "Forest", None, None, **place)
    return concurrency.plan_concurrency(tile, readers, tile_bytes, has_cache=has_cache)


@pytest.mark.usefixtures("key")
def test_few_threads_request_as_many_tiles_ahead_as_all_readers():
    assert planned() == (3, 42, 6)
    assert planned(readers=64) == (3, 170, 6)
    assert planned(readers=2) == (2, 8, 4)


@pytest.mark.usefixtures("key")
def test_one_thread_more_than_cpus_reads(monkeypatch):
    monkeypatch.setattr(concurrency, "available_cpus", lambda: 5)
    assert planned(readers=18) == (6, 24, 12)
    monkeypatch.setattr(concurrency, "available_cpus", lambda: 64)
    assert planned() == (16, 8, 32)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "place",
    [
        {"uri": "/data/a.tif"},
        {"uri": "https://example.org/a.tif"},
        {"offset": 16},
        {"member": "a.tif"},
        {"has_cache": True},
    ],
    ids=["disk", "web", "record", "zip", "cache"],
)
def test_all_readers_wait_for_what_is_not_requested_ahead(place):
    assert planned(**place) == (16, 8, 32)


@pytest.mark.usefixtures("key")
def test_all_readers_wait_for_an_endpoint_below_a_path(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9/below")
    assert planned() == (16, 8, 32)


@pytest.mark.usefixtures("key")
def test_large_tiles_are_read_one_by_one():
    assert planned(tile_bytes=2**28) == (3, 1, 2)
    assert planned(tile_bytes=2**22) == (3, 10, 6)


def test_no_tiles_need_no_store():
    assert concurrency.plan_concurrency(None, 16, 0, has_cache=False) == (16, 8, 32)
