"""Selection of devices, precision and compiler for the training."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.optimization.optimizers import make_optimizer

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

logger = logging.getLogger("tilepipe.train")

_WARM_UP_STEPS, _TIMED_STEPS = 3, 10


@dataclass(frozen=True)
class Devices:
    """Devices to train on, and how they are used."""

    strategy: Any
    """TensorFlow's `tf.distribute.Strategy`."""
    name: str
    """Description of the devices."""
    gpus: int
    """Number of GPUs used."""
    precision: str = "float32"
    """Keras dtype policy."""
    xla: bool = False

    def feed(self, data: "tf.data.Dataset") -> Iterator[Any]:
        """Iterate over batches, split among the GPUs."""
        if self.gpus > 1:
            data = self.strategy.experimental_distribute_dataset(data)
        return iter(data)

    def on_each(self, work: Callable[[Any], None]) -> Callable[[Iterator[Any]], None]:
        """Compile a function of the iterator of `feed` that runs `work` on each device's part of the next batch."""
        import tensorflow as tf

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator] # TensorFlow has no types
        def step(elements: Any) -> None:  # noqa: ANN401
            self.strategy.run(work, args=(next(elements),))

        return step  # type: ignore[no-any-return]

    def agree(self, model: "keras.Model") -> None:
        """Copy the running statistics of the first device, which are saved, to all devices.

        Each device tracks the statistics of its own part of the batches; training does not use them.
        """
        if self.gpus > 1:
            for variable in model.non_trainable_variables:
                variable.assign(variable.numpy())

    def optimizer(self, config: TrainConfig, rate: Any) -> "keras.Optimizer":  # noqa: ANN401 - a number or a schedule
        """Create the optimizer for a learning rate, with loss scaling if the precision is mixed_float16."""
        import keras

        replicas = self.strategy.num_replicas_in_sync
        optimizer = make_optimizer(config.optimizer, rate, config.options, replicas=replicas)
        return keras.optimizers.LossScaleOptimizer(optimizer) if self.precision == "mixed_float16" else optimizer

    def facts(self) -> dict[str, Any]:
        """Return the facts for a checkpoint: a resumed training keeps its precision and compiler."""
        return {"precision": self.precision, "xla": self.xla}

    def as_chosen(self, facts: Mapping[str, Any]) -> "Devices":
        """Return the same devices with the precision and compiler of `facts`."""
        return replace(self, precision=str(facts["precision"]), xla=bool(facts["xla"]))


def set_up_devices(config: TrainConfig) -> Devices:
    """Choose the devices to train on, before TensorFlow initializes any.

    Returns:
        The devices; `choose_use` sets precision and compiler.

    Raises:
        ParameterError: GPUs were requested and TensorFlow finds none, or the batch size is not a multiple of
            their number.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not config.gpus:
        # A container runtime may expose its GPUs to every pod; those not requested belong to other pods.
        if gpus:
            tf.config.set_visible_devices([], "GPU")
        return Devices(tf.distribute.get_strategy(), "CPU", 0)
    if not gpus:
        if config.options.require_gpu:
            raise ParameterError(
                "TensorFlow must find the GPU that the pod requests. "
                f"Received: gpu_count={config.gpu_count!r} of {config.gpu_resource!r}, and TensorFlow "
                f"{tf.__version__}, built {'with' if tf.test.is_built_with_cuda() else 'without'} CUDA, finds none. "
                "Use an image with CUDA, check the driver of the node, or set gpu_count='0'."
            )
        logger.warning("TensorFlow finds no GPU, and require_gpu is off: training on the CPU")
        return Devices(tf.distribute.get_strategy(), "CPU", 0)
    used = gpus[: config.gpus]
    if len(used) < config.gpus:
        logger.warning("the pod requests %d GPUs, but TensorFlow finds only %d", config.gpus, len(used))
    tf.config.set_visible_devices(used, "GPU")
    for gpu in used:
        tf.config.experimental.set_memory_growth(gpu, True)  # otherwise TensorFlow allocates all memory at once
    details = tf.config.experimental.get_device_details(used[0])
    name = str(details.get("device_name", used[0].name))
    return mirrored([f"GPU:{number}" for number in range(len(used))], name, config)


def mirrored(names: list[str], description: str, config: TrainConfig) -> Devices:
    """Use one device, or several that share each batch.

    Raises:
        ParameterError: the batch size is not a multiple of their number, or placement is "device" on several.
    """
    import tensorflow as tf

    if len(names) == 1:
        return Devices(tf.distribute.get_strategy(), description, 1)
    if config.batch_size % len(names):
        raise ParameterError(
            "`batch_size` must be a multiple of the number of GPUs, which share each batch. Received: "
            f"batch_size={config.batch_size} with {len(names)} GPUs. "
            f"Use batch_size={-(-config.batch_size // len(names)) * len(names)}."
        )
    if config.options.placement == "device":
        raise ParameterError(
            "`placement` must not be 'device' with several GPUs. Received: "
            f"placement='device' with {len(names)} GPUs. Use placement='memory', or 'auto'."
        )
    return Devices(tf.distribute.MirroredStrategy(names), f"{len(names)} x {description}", len(names))


def choose_use(devices: Devices, model: "keras.Model", manifest: Manifest, config: TrainConfig) -> Devices:
    """Choose the precision, and whether XLA compiles the step.

    On a CPU float32 without XLA is best: EfficientNet-Lite0 at 96 pixels trained on 157 tiles per second in float32, 88
    in mixed_bfloat16 and 15 with XLA, on two cores with bfloat16 instructions. On a GPU the candidates are timed on a
    copy of the model.

    Returns:
        The devices with `precision` and `xla` as requested, or as timed; candidates that fail are skipped.
    """
    import tensorflow as tf

    options = config.options
    on_gpu = devices.gpus > 0
    precisions = [options.precision]
    if options.precision == "auto":
        precisions = ["float32", "mixed_bfloat16", "mixed_float16"] if on_gpu else ["float32"]
    compilers = [options.xla == "on"]
    if options.xla == "auto":
        compilers = [False, True] if on_gpu else [False]
    candidates = [
        replace(devices, precision=precision, xla=xla) for precision, xla in itertools.product(precisions, compilers)
    ]
    if len(candidates) == 1:
        return candidates[0]
    seconds: dict[Devices, float] = {}
    failure: Exception = ValueError("no candidates")
    for candidate in candidates:
        use = f"{candidate.precision} {'with' if candidate.xla else 'without'} XLA"
        try:
            seconds[candidate] = _seconds_per_step(candidate, model, manifest, config)
        except tf.errors.OpError as error:  # such as too little memory, or operations that XLA cannot compile
            failure = error
            logger.warning("%s cannot be used: %s", use, error.message[:300])
        else:
            logger.info("%s: %.0f tiles per second", use, config.batch_size / seconds[candidate])
    if not seconds:
        raise failure
    return min(seconds, key=seconds.__getitem__)


def set_precision(model: "keras.Model", precision: str) -> None:
    """Set the dtype policy of the layers of a model; variables and class probabilities stay float32.

    Args:
        model: any model; layers with another dtype policy are changed too.
        precision: a Keras dtype policy.
    """
    import keras

    from tilepipe.components.shared.layers.model_layers import layers_of

    policy = keras.DTypePolicy(precision)
    last = model.layers[-1]
    for layer in layers_of(model):
        # In half precision, normalization would lose digits of its inputs, and the softmax would not sum to 1.
        if layer is not last and not isinstance(layer, keras.layers.InputLayer | keras.layers.Normalization):
            layer.dtype_policy = policy


def _seconds_per_step(devices: Devices, model: "keras.Model", manifest: Manifest, config: TrainConfig) -> float:
    """Time training steps of a copy of the model on identical tiles."""
    import keras
    import numpy as np

    from tilepipe.components.shared.layers.fused_norm import fused_normalization
    from tilepipe.components.train.optimization.losses import make_loss

    with devices.strategy.scope():
        copy = keras.models.clone_model(model)
        set_precision(copy, devices.precision)
        optimizer = devices.optimizer(config, config.learning_rate)
        copy.compile(optimizer, make_loss(config.options), metrics=[], jit_compile=devices.xla, auto_scale_loss=False)
    means = np.array([band.mean for band in manifest.statistics])
    tiles = config.batch_size // devices.strategy.num_replicas_in_sync  # Keras passes all of them to each device
    images = np.broadcast_to(means, (tiles, *manifest.tile_shape)).astype(manifest.dtype)
    labels = np.eye(len(manifest.class_names), dtype=np.float32)[[0] * tiles]
    with fused_normalization(copy):
        for _ in range(_WARM_UP_STEPS):
            copy.train_on_batch(images, labels)
        started = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            copy.train_on_batch(images, labels)
    return (time.perf_counter() - started) / _TIMED_STEPS
