"""What the pod asked for, held against what TensorFlow sees."""

import logging

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig

logger = logging.getLogger("tilepipe.train")


def set_up_devices(config: TrainConfig) -> str:
    """Choose the devices to train on, before TensorFlow has touched any.

    Args:
        config: how many GPUs were asked for.

    Returns:
        What the training runs on, in words.

    Raises:
        ParameterError: GPUs were asked for and TensorFlow sees none.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not config.gpus:
        # A node's container runtime may show its GPUs to every pod. One that was not asked for is somebody else's.
        if gpus:
            tf.config.set_visible_devices([], "GPU")
        return "CPU"
    if not gpus:
        raise ParameterError(
            "TensorFlow must see the GPU that the pod asked for. "
            f"Received: gpu_count={config.gpu_count!r} of {config.gpu_resource!r}, and TensorFlow "
            f"{tf.__version__}, built {'with' if tf.test.is_built_with_cuda() else 'without'} CUDA, sees none. "
            "Use an image with CUDA, check the node's driver, or give gpu_count='0'."
        )
    if len(gpus) > 1:
        logger.warning("TensorFlow sees %d GPUs; training uses the first.", len(gpus))
        tf.config.set_visible_devices(gpus[:1], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)  # else TensorFlow takes all of the memory at once
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", gpus[0].name))
