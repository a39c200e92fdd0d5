import logging
import re

import numpy as np
import pytest

from tests.support.loops import Ground, HaltError, Look, make_model, same, timeless
from tests.support.tensorflow_shards import open_shards
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.layers.model_layers import layers_of


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.make(tmp_path_factory.mktemp("ground"))


def snapshot(model):
    # Keras numbers seed generators per process.
    return {re.sub(r"seed_generator_\d+", "seed_generator", v.path): v.numpy() for v in model.variables}


class TestPhases:
    def test_the_head_learns_alone_and_then_all_that_was_free(self, ground):
        model = make_model(frozen=("first",))
        seen = [snapshot(model)]

        def look(loop):
            if loop._at.step == 0 and loop._at.epoch:
                seen.append(snapshot(model))

        with ground.loop(model, epochs=2, options={"head_epochs": 1, "learning_rate_finder": "report"}) as (loop, *_):
            history = loop.run(Look(before=look), 0.03)
        start, head, all_ = seen
        changed_first = {path for path in start if not np.array_equal(start[path], head[path])}
        assert {path.split("/")[0] for path in changed_first} == {"probabilities", "seed_generator"}
        changed_then = {path for path in head if not np.array_equal(head[path], all_[path])}
        parts = {path.split("/")[-2] for path in changed_then}
        assert parts >= {"second", "normalized", "probabilities"}
        assert "first" not in parts
        assert [layer.name for layer in layers_of(model) if not layer.trainable] == ["first"]
        assert [epoch["learning_rate"] for epoch in history.epochs] == pytest.approx([0.03, 0.003])

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ({"backbone": False}, "head_epochs=1 with tiny, which has none"),
            (
                {"frozen": ("first", "normalized", "second")},
                "head_epochs=1 with tiny, whose backbone is frozen already",
            ),
        ],
    )
    def test_there_must_be_a_backbone_to_freeze(self, ground, model, message):
        with pytest.raises(ParameterError, match=rf"`head_epochs` must be 0 if .*{message}.*or head_epochs=0"):
            ground.run(model=make_model(**model), options={"head_epochs": 1})


class TestAverages:
    def test_averages_are_validated_and_kept_while_training_uses_its_own_weights(self, ground):
        plain, own, _ = ground.run(epochs=2)
        look = Look(((1, 0),))
        averaged, kept, _ = ground.run(look, epochs=2, options={"ema_momentum": 0.99})
        names = ("loss", "accuracy")
        assert [[epoch[name] for name in names] for epoch in averaged.epochs] == [
            [epoch[name] for name in names] for epoch in plain.epochs
        ]
        assert [epoch["val_loss"] for epoch in averaged.epochs] != [epoch["val_loss"] for epoch in plain.epochs]
        assert not same(own, kept)

    def test_without_validation_the_last_ones_are_kept(self, tmp_path):
        ground = Ground.make(tmp_path, tiles=(18, 0, 6))
        plain, own, _ = ground.run(epochs=1)
        look = Look(((0, 3),))
        averaged, kept, received = ground.run(look, epochs=1, options={"ema_momentum": 0.9})
        assert timeless(plain) == timeless(averaged)
        assert averaged.metric == "last_epoch"
        assert received.curves == [b""]
        assert not same(own, kept)
        state = look.states[0, 3]
        last = [array for name, array in state.arrays.items() if name.startswith("model/")]
        assert same(last, own)

    def test_normalization_has_statistics_of_the_averages_and_not_of_the_last_weights(self, tmp_path):
        import keras

        ground = Ground.make(tmp_path, tiles=(18, 0, 6))
        model = make_model()
        ground.run(epochs=1, model=model, options={"ema_momentum": 0.9})
        part = model.get_layer("backbone")
        before = keras.Model(part.input, part.get_layer("first").output)
        scaled = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
        with ground.batches(ground.config()) as batches:
            values = [before(scaled(images)).numpy().reshape(-1, 3) for images, _ in batches.train(0)]
        norm = part.get_layer("normalized")
        means, variances = (np.mean([f(v) for v in values], axis=0) for f in (lambda v: v.mean(0), lambda v: v.var(0)))
        assert np.allclose(norm.moving_mean, means, atol=1e-4)
        assert np.allclose(norm.moving_variance, variances * 96 / 95, rtol=1e-3)  # 6 tiles of 16 pixels in a batch

    def test_nothing_of_the_loan_is_left(self, ground):
        """Not even the seeds of dropout change, which the measurement uses."""
        seen = []

        def look(loop):
            before = loop.state.arrays
            with loop._averages.applied(0):
                seen.append(
                    any(not same([a], [b]) for a, b in zip(before.values(), loop.state.arrays.values(), strict=True))
                )
            assert same(before.values(), loop.state.arrays.values())

        ground.run(Look(before=look), epochs=1, options={"ema_momentum": 0.9})
        assert seen[0] is False, "before the first step there are no averages"
        assert all(seen[2:])


def test_the_figures_are_those_of_the_saved_model(ground):
    """The last batch of the validation is smaller, and the penalty of the weights is part of the loss, as in Keras."""
    with ground.loop(epochs=2, augmentation=[]) as (loop, model, received):
        history = loop.run(Look(), 0.03)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(open_shards(ground.folder, "val", ground.manifest, batch_size=4), verbose=0)
    assert history.best["val_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert history.best["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert received.epochs == [1, 2]
    assert len(received.curves[0]) > 100


def test_half_precision_trains_and_is_saved_in_full(ground, tmp_path):
    from dataclasses import replace

    import keras

    from tilepipe.components.train.loop.devices import set_precision

    with ground.loop(epochs=1) as (loop, model, _):
        loop._devices = loop._validation._devices = replace(loop._devices, precision="mixed_bfloat16")
        before = snapshot(model)
        set_precision(model, "mixed_bfloat16")
        computed = {layer.compute_dtype for layer in layers_of(model) if layer.name in ("first", "second")}
        history = loop.run(Look(), 0.03)
        set_precision(model, "float32")
    assert computed == {"bfloat16"}
    assert np.isfinite(history.best["val_loss"])
    assert any(not np.array_equal(before[path], value) for path, value in snapshot(model).items())
    model.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert not saved.compiled  # the optimizer belongs to the last epoch, and enlarges the file
    assert type(saved) is type(make_model())  # loading it needs no class of tilepipe
    assert {layer.compute_dtype for layer in layers_of(saved)} == {"float32"}
    assert {variable.dtype for variable in saved.weights} == {"float32"}


def test_float16_scales_the_loss_and_resumes(ground):
    from dataclasses import replace

    import tensorflow as tf

    from tilepipe.components.train.loop.devices import Devices, set_precision

    def run(look, start=None):
        devices = replace(Devices(tf.distribute.get_strategy(), "CPU", 0), precision="mixed_float16")
        model = make_model()
        set_precision(model, "mixed_float16")
        return ground.run(look, start, model=model, devices=devices, epochs=1, options={"ema_momentum": 0.5})

    look = Look(((0, 4),))
    history, weights, _ = run(look)
    again, others, _ = run(Look(), look.states[0, 4])
    assert same(weights, others)
    assert timeless(history) == timeless(again)


def test_the_rate_finder_leaves_the_model_as_it_was(ground):
    options = {"learning_rate_finder": "report", "finder_steps": 20}
    _, weights, _ = ground.run(epochs=1)
    with ground.loop(epochs=1, options=options) as (loop, model, _):
        before = snapshot(model)
        curve = loop.find_rate(0.03)
        assert len(curve.rates) == len(curve.losses) <= 20
        assert curve.rates[0] == pytest.approx(1e-7)
        after = snapshot(model)
        assert all(np.array_equal(before[path], after[path]) for path in before)
        loop.run(Look(), 0.03)
        assert same([variable.numpy() for variable in model.variables], weights)


def test_a_loss_that_is_no_number_names_its_batches(ground):
    options = {"steps_per_execution": 3}
    with pytest.raises(
        ParameterError, match=r"a loss of nan in epoch 1 of 2, batch [14] to batch [36], with optimizer='sgd'"
    ):
        ground.run(optimizer="sgd", learning_rate=1e30, options=options)


def test_weights_of_classes_and_mixed_tiles_reach_the_loss(ground):
    def first_loss(**parameters):
        with ground.loop(learning_rate=1e-9, **parameters) as (loop, *_):
            look = Look(((0, 1),), halts=True)
            losses = []
            stepped = loop._epochs.stepped
            loop._epochs.stepped = lambda step, logs: (losses.append(float(logs["loss"])), stepped(step, logs))
            with pytest.raises(HaltError):
                loop.run(look, 1e-9)
            return losses[0]

    penalty = 0.01 * sum(
        float((v.numpy() ** 2).sum()) for v in make_model().variables if v.path.endswith("second/kernel")
    )
    plain = first_loss(augmentation=[])
    tripled = first_loss(augmentation=[], options={"class_weights": dict.fromkeys(ground.manifest.class_names, 3.0)})
    assert tripled - penalty == pytest.approx(3 * (plain - penalty), rel=1e-5)
    assert first_loss(augmentation=["mixup"]) != pytest.approx(plain, rel=1e-4)


def test_tiles_on_the_device_train_to_the_same_weights(ground):
    history, weights, _ = ground.run(options={"placement": "memory"})
    on_device, others, _ = ground.run(options={"placement": "device"})
    assert timeless(on_device) == timeless(history)
    assert same(others, weights)


def test_the_best_epoch_is_logged(ground, caplog):
    caplog.set_level(logging.INFO, "tilepipe.train")
    history, *_ = ground.run(epochs=1)
    assert f"best epoch: 1 of 1, by {history.metric}" in caplog.text
