import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig


def test_numbers_may_arrive_as_floats():
    config = TrainConfig.parse(
        epochs=3.0, gpu_count="2.0", options={"early_stopping_patience_epochs": 5.0, "cache_mebibytes": 64.0}
    )
    assert (config.epochs, config.gpus, config.options.early_stopping_patience_epochs) == (3, 2, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "`epochs` should be greater than or equal to 1"),
        ({"batch_size": 0}, "`batch_size` should be greater than or equal to 1"),
        ({"learning_rate": 0}, "`learning_rate` should be greater than 0"),
        ({"learning_rate": float("nan")}, "`learning_rate`"),
        ({"optimizer": "lion"}, "`optimizer` should be 'adam', 'sgd' or 'rmsprop'"),
        ({"augmentation": ["blur"]}, "`augmentation.0` should be 'flip' or 'quarter_turn'"),
        ({"gpu_count": "-1"}, r"`gpu_count` must be a whole number, 0 or more\. Received: gpu_count='-1'"),
        ({"gpu_count": "one"}, "`gpu_count` must be a whole number"),
        ({"gpu_count": "0.5"}, "`gpu_count` must be a whole number"),
        ({"memory": "lots"}, r"`memory` must be a quantity as in Kubernetes, such as 8Gi"),
        ({"options": {"best_metric": "f1"}}, r"`options.best_metric` should be 'val_accuracy' or 'val_loss'"),
        ({"options": {"patience": 3}}, r"`options.patience` is not a parameter.*early_stopping_patience_epochs"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message) as error:
        TrainConfig.parse(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("memory", "cache_mebibytes"),
    [("8Gi", 2730), ("900Mi", 300), ("3G", 953), ("3221225472", 1024), ("1Ti", 4096)],
)
def test_tiles_may_fill_a_third_of_the_memory(memory, cache_mebibytes):
    assert TrainConfig.parse(memory=memory).cache_mebibytes == cache_mebibytes


def test_an_augmentation_counts_once():
    assert TrainConfig.parse(augmentation=["flip", "flip"]).augmentation == ("flip",)
