from types import SimpleNamespace

import pytest
import tensorflow as tf

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.devices import set_up_devices


@pytest.fixture
def machine(monkeypatch):
    """A machine with some GPUs; gives what TensorFlow was told of them."""

    def make(gpus):
        devices = [SimpleNamespace(name=f"/physical_device:GPU:{number}") for number in range(gpus)]
        told = {}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda chosen, kind: told.update(visible=len(chosen)))
        monkeypatch.setattr(
            tf.config.experimental, "set_memory_growth", lambda device, grows: told.update(grows=device.name)
        )
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "NVIDIA H100"})
        return told

    return make


def test_without_gpus_the_cpu_trains(machine):
    assert machine(0) == {}
    assert set_up_devices(TrainConfig.parse()) == "CPU"


def test_gpus_that_were_not_asked_for_are_left_alone(machine):
    told = machine(2)
    assert set_up_devices(TrainConfig.parse(gpu_count="0")) == "CPU"
    assert told == {"visible": 0}


def test_a_gpu_that_was_asked_for_must_be_there(machine):
    machine(0)
    with pytest.raises(ParameterError, match=r"gpu_count='1' of 'nvidia.com/gpu'.*sees none.*CUDA.*driver"):
        set_up_devices(TrainConfig.parse(gpu_count="1"))


def test_a_gpu_takes_memory_as_it_needs_it(machine):
    told = machine(1)
    assert set_up_devices(TrainConfig.parse(gpu_count="1")) == "NVIDIA H100"
    assert told == {"grows": "/physical_device:GPU:0"}


def test_of_several_gpus_the_first_trains(machine, caplog):
    told = machine(4)
    set_up_devices(TrainConfig.parse(gpu_count="4"))
    assert told == {"visible": 1, "grows": "/physical_device:GPU:0"}
    assert "sees 4 GPUs; training uses the first" in caplog.text
