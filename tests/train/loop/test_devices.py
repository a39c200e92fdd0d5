import logging
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.packed import manifest_for
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.layers.model_layers import layers_of
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.loop import devices as module
from tilepipe.components.train.loop.devices import Devices, choose_use, set_precision, set_up_devices


@pytest.fixture
def machine(monkeypatch):
    """Function that simulates a machine with some GPUs; returns the settings that TensorFlow gets for them."""

    def make(gpus):
        devices = [SimpleNamespace(name=f"/physical_device:GPU:{number}") for number in range(gpus)]
        settings = {}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda chosen, kind: settings.update(visible=len(chosen)))
        monkeypatch.setattr(
            tf.config.experimental,
            "set_memory_growth",
            lambda device, grows: settings.setdefault("grows", []).append(device.name[-5:]),
        )
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "NVIDIA H100"})
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: settings.update(mirrored=names))
        return settings

    return make


def cpu(gpus=0, **use):
    return Devices(tf.distribute.get_strategy(), "CPU", gpus, **use)


def make_model():
    keras.utils.set_random_seed(1)
    tiles = keras.Input((4, 4, 2))
    values = keras.layers.Normalization(mean=[1.0, 1.0], variance=[4.0, 4.0], name="standardised")(tiles)
    inner = keras.Input((4, 4, 2))
    part = keras.Model(inner, keras.layers.Conv2D(3, 1, name="within")(inner), name="backbone")
    values = keras.layers.GlobalAveragePooling2D()(part(values))
    return keras.Model(tiles, keras.layers.Dense(3, activation="softmax", name="probabilities")(values))


class TestSetUp:
    def test_without_gpus_the_cpu_trains(self, machine):
        assert machine(0) == {}
        devices = set_up_devices(TrainConfig.parse())
        assert (devices.name, devices.gpus) == ("CPU", 0)

    def test_gpus_that_were_not_asked_for_are_left_alone(self, machine):
        settings = machine(2)
        assert set_up_devices(TrainConfig.parse(gpu_count="0")).name == "CPU"
        assert settings == {"visible": 0}

    def test_a_gpu_that_was_asked_for_must_be_there(self, machine):
        machine(0)
        with pytest.raises(ParameterError, match=r"gpu_count='1' of 'nvidia.com/gpu'.*finds none.*CUDA.*driver"):
            set_up_devices(TrainConfig.parse(gpu_count="1"))

    def test_unless_it_need_not(self, machine, caplog):
        machine(0)
        devices = set_up_devices(TrainConfig.parse(gpu_count="1", options={"require_gpu": False}))
        assert (devices.name, devices.gpus) == ("CPU", 0)
        assert "finds no GPU, and require_gpu is off: training on the CPU" in caplog.text

    def test_a_gpu_takes_memory_as_it_needs_it(self, machine):
        settings = machine(1)
        devices = set_up_devices(TrainConfig.parse(gpu_count="1"))
        assert (devices.name, devices.gpus) == ("NVIDIA H100", 1)
        assert settings == {"visible": 1, "grows": ["GPU:0"]}

    def test_several_gpus_share_each_batch(self, machine):
        """No more GPUs are used than were requested."""
        settings = machine(4)
        devices = set_up_devices(TrainConfig.parse(gpu_count="3", batch_size=6))
        assert (devices.name, devices.gpus) == ("3 x NVIDIA H100", 3)
        assert settings == {"visible": 3, "grows": ["GPU:0", "GPU:1", "GPU:2"], "mirrored": ["GPU:0", "GPU:1", "GPU:2"]}

    def test_with_fewer_than_were_asked_for_it_trains_on_those(self, machine, caplog):
        machine(2)
        assert set_up_devices(TrainConfig.parse(gpu_count="4", batch_size=6)).gpus == 2
        assert "the pod requests 4 GPUs, but TensorFlow finds only 2" in caplog.text

    def test_the_batch_must_divide_among_them(self, machine):
        machine(4)
        with pytest.raises(ParameterError, match=r"batch_size=10 with 4 GPUs\. Use batch_size=12\."):
            set_up_devices(TrainConfig.parse(gpu_count="4", batch_size=10))

    def test_several_gpus_cannot_hold_the_tiles_themselves(self, machine):
        machine(2)
        with pytest.raises(ParameterError, match=r"placement='device' with 2 GPUs.*placement='memory'"):
            set_up_devices(TrainConfig.parse(gpu_count="2", options={"placement": "device"}))


class TestUse:
    def test_on_a_cpu_there_is_nothing_to_measure(self, monkeypatch):
        monkeypatch.setattr(module, "_seconds_per_step", None)
        chosen = choose_use(cpu(), make_model(), manifest_for((4, 4, 2)), TrainConfig.parse())
        assert chosen.facts() == {"precision": "float32", "xla": False}

    def test_what_is_asked_for_is_done(self, monkeypatch):
        monkeypatch.setattr(module, "_seconds_per_step", None)
        config = TrainConfig.parse(options={"precision": "mixed_float16", "xla": "on"})
        chosen = choose_use(cpu(gpus=1), make_model(), manifest_for((4, 4, 2)), config)
        assert chosen.facts() == {"precision": "mixed_float16", "xla": True}
        assert cpu(gpus=1).as_chosen(chosen.facts()).facts() == chosen.facts()

    def test_on_a_gpu_the_fastest_is_measured(self, monkeypatch, caplog):
        caplog.set_level(logging.INFO, "tilepipe.train")
        seconds = {("float32", True): 0.5, ("mixed_bfloat16", False): 0.25}
        monkeypatch.setattr(
            module, "_seconds_per_step", lambda devices, *_: seconds.get((devices.precision, devices.xla), 1.0)
        )
        chosen = choose_use(cpu(gpus=1), make_model(), manifest_for((4, 4, 2)), TrainConfig.parse(batch_size=8))
        assert chosen.facts() == {"precision": "mixed_bfloat16", "xla": False}
        assert len(caplog.records) == 6
        assert "mixed_bfloat16 without XLA: 32 tiles per second" in caplog.text

    def test_what_the_machine_cannot_do_is_not_chosen(self, monkeypatch, caplog):
        def seconds(devices, *_):
            if devices.xla or devices.precision == "float32":
                raise tf.errors.ResourceExhaustedError(None, None, "no memory")
            return {"mixed_bfloat16": 2.0, "mixed_float16": 1.0}[devices.precision]

        monkeypatch.setattr(module, "_seconds_per_step", seconds)
        chosen = choose_use(cpu(gpus=1), make_model(), manifest_for((4, 4, 2)), TrainConfig.parse())
        assert chosen.facts() == {"precision": "mixed_float16", "xla": False}
        assert "float32 with XLA cannot be used: no memory" in caplog.text

    def test_where_nothing_works_the_reason_is_raised(self, monkeypatch):
        def seconds(*_):
            raise tf.errors.ResourceExhaustedError(None, None, "no memory")

        monkeypatch.setattr(module, "_seconds_per_step", seconds)
        with pytest.raises(tf.errors.ResourceExhaustedError):
            choose_use(cpu(gpus=1), make_model(), manifest_for((4, 4, 2)), TrainConfig.parse())

    def test_measuring_leaves_the_model_as_it_was(self):
        model = make_model()
        before = [variable.numpy() for variable in model.variables]
        config = TrainConfig.parse(batch_size=2, options={"xla": "off"})
        for precision in ("float32", "mixed_bfloat16"):
            use = cpu(gpus=1, precision=precision)
            assert 0 < module._seconds_per_step(use, model, manifest_for((4, 4, 2)), config) < 10
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))
        assert {layer.compute_dtype for layer in layers_of(model)} == {"float32"}
        assert not model.compiled


def test_layers_compute_in_another_precision_but_for_the_ends():
    """Digital numbers have more digits than half precision, and probabilities must add up to 1."""
    model = make_model()
    set_precision(model, "mixed_bfloat16")
    computed = {layer.name: layer.compute_dtype for layer in layers_of(model)}
    assert computed["within"] == "bfloat16"
    assert computed["standardised"] == computed["probabilities"] == "float32"
    assert {variable.dtype for variable in model.variables} == {"float32"}
    probabilities = model(np.full((1, 4, 4, 2), 9000.0, "float32"))
    assert probabilities.dtype == "float32"
    set_precision(model, "float32")
    assert {layer.compute_dtype for layer in layers_of(model)} == {"float32"}


def test_float16_scales_its_loss():
    kinds = {
        precision: type(cpu(precision=precision).optimizer(TrainConfig(), 0.1))
        for precision in ("float32", "mixed_bfloat16", "mixed_float16")
    }
    assert kinds == {
        "float32": keras.optimizers.Adam,
        "mixed_bfloat16": keras.optimizers.Adam,
        "mixed_float16": keras.optimizers.LossScaleOptimizer,
    }
