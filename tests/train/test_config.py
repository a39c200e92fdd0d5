import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig, TrainOptions


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
        ({"optimizer": "lion"}, "`optimizer` should be 'adam', 'adamw', 'sgd' or 'rmsprop'"),
        ({"augmentation": ["blur"]}, "`augmentation.0` should be 'flip', 'quarter_turn', 'shift', .* or 'mixup'"),
        ({"gpu_count": "-1"}, r"`gpu_count` must be a whole number, 0 or more\. Received: gpu_count='-1'"),
        ({"gpu_count": "one"}, "`gpu_count` must be a whole number"),
        ({"gpu_count": "0.5"}, "`gpu_count` must be a whole number"),
        ({"memory": "lots"}, r"`memory` must be a quantity as in Kubernetes, such as 8Gi"),
        (
            {"options": {"best_metric": "f1"}},
            "must be a figure of the validation tiles. Received: best_metric='f1'. Did you mean val_macro_f1",
        ),
        ({"options": {"patience": 3}}, r"`options.patience` is not a parameter.*early_stopping_patience_epochs"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message) as error:
        TrainConfig.parse(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("memory", "memory_mebibytes"),
    [("8Gi", 2730), ("900Mi", 300), ("3G", 953), ("3221225472", 1024), ("1Ti", 349525)],
)
def test_tiles_may_fill_a_third_of_the_memory(memory, memory_mebibytes):
    assert TrainConfig.parse(memory=memory).memory_mebibytes == memory_mebibytes


def test_each_setting_and_each_check_is_in_one_group():
    """Two options of the same name would be one, that of the first group."""
    groups = [group for group in TrainOptions.__mro__ if group.__module__.startswith("tilepipe.components.train")]
    names = [name for group in groups for name in group.__annotations__]
    assert sorted(names) == sorted(TrainOptions.model_fields)
    assert all(field.description for field in TrainOptions.model_fields.values())
    decorators = TrainOptions.__pydantic_decorators__
    checks = {**decorators.model_validators, **decorators.field_validators}
    assert [sum(name in vars(group) for group in groups) for name in checks] == [1] * len(checks)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "step"}, "`step_epochs` must be given with schedule step"),
        ({"focal_gamma": 1.0}, "`focal_gamma` must be left out unless"),
        ({"gradient_clip_norm": 1, "gradient_clip_value": 1}, "Only one of `gradient_clip_norm` and"),
        ({"class_weight_sensitivity": 0.7}, "`class_weight_sensitivity` must be left out"),
        (
            {"checkpoint_every_seconds": 0, "checkpoint_every_epochs": 0},
            "One of `checkpoint_every_seconds` and `checkpoint_every_epochs` must be above 0",
        ),
        ({"steps_per_execution": 0}, "`options.steps_per_execution` should be greater than or equal to 1"),
        ({"precision": "float64"}, "`options.precision` should be 'auto', 'float32', 'mixed_bfloat16' or"),
    ],
)
def test_the_groups_refuse_what_they_do_by_themselves(given, message):
    with pytest.raises(ParameterError, match=message):
        TrainConfig.parse(options=given)


def test_an_augmentation_counts_once():
    assert TrainConfig.parse(augmentation=["flip", "flip"]).augmentation == ("flip",)
