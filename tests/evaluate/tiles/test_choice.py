import numpy as np
import pytest

from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.evaluate.tiles.choice import Chooser, ShownTiles


@pytest.fixture
def chooser():
    probabilities = np.float32([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.7, 0.3]])
    predictions = SplitPredictions("test", list("abcde"), np.array([1, 0, 0, 1, 1]), probabilities)
    return Chooser(predictions, ("forest", "lake"), [f"/{name}.tif" for name in "abcde"])


def test_confident_mistakes_come_by_probability_then_id(chooser):
    found = chooser.mistakes(3)
    assert [(tile.tile_id, tile.label, tile.predicted) for tile in found] == [
        ("a", "lake", "forest"),
        ("d", "lake", "forest"),
        ("c", "forest", "lake"),
    ]
    assert (found[1].place, found[1].uri, found[1].probability) == (3, "/d.tif", pytest.approx(0.9))


def test_tiles_of_a_pair_of_classes_are_chosen(chooser):
    assert [tile.tile_id for tile in chooser.predicted_as(1, 0, 2)] == ["a", "d"]
    assert [tile.tile_id for tile in chooser.predicted_as(0, 0, 5)] == ["b"]
    assert chooser.predicted_as(1, 1, 5) == ()
    assert chooser.mistakes(0) == ()


def test_all_shown_tiles_come_with_the_mistakes_first(chooser):
    shown = ShownTiles(chooser.mistakes(1), (chooser.predicted_as(0, 1, 1),), {0: chooser.predicted_as(0, 0, 1)})
    assert [tile.tile_id for tile in shown] == ["a", "c", "b"]
