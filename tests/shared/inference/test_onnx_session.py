"""Tests of models that run on several threads."""

import numpy as np
import pytest

from tests.support.bundles import write_model_bundle
from tests.support.packed import manifest_for
from tilepipe.components.shared.contracts.bundle import read_bundle
from tilepipe.components.shared.inference.onnx_session import OnnxSession

MANIFEST = manifest_for()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.tar.gz"
    write_model_bundle(path, MANIFEST)
    return read_bundle(path)["model.onnx"]


@pytest.mark.parametrize("count", [1, 2, 5, 64, 131])
def test_threads_that_divide_tiles_give_the_answers_of_one_thread_in_order(model, count):
    tiles = np.random.default_rng(0).integers(0, 250, (count, *MANIFEST.tile_shape), dtype=np.uint16)
    one = OnnxSession(model, 1)(tiles)
    assert len(np.unique(one, axis=0)) > count // 2
    np.testing.assert_array_equal(OnnxSession(model, 3)(tiles), one)


def test_an_error_of_a_thread_is_raised(model):
    with pytest.raises(Exception, match=r"(?i)invalid dimensions"):
        OnnxSession(model, 2)(np.zeros((40, 3, 3, 3), np.uint16))
