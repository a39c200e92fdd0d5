from typing import get_args

import keras

from tilepipe.components.prepare.networks.networks import NETWORKS, Architecture


def test_every_architecture_has_an_entry():
    assert tuple(NETWORKS) == get_args(Architecture)


def test_functions_are_those_of_keras():
    for network in NETWORKS.values():
        assert network.function is None or callable(getattr(keras.applications, network.function))


def test_networks_with_weights_have_blocks_to_freeze():
    for name, network in NETWORKS.items():
        patterns = (network.block_pattern, network.block_end_pattern)
        assert sum(pattern is not None for pattern in patterns) == (network.expected_input is not None), name
