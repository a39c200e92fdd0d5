"""What the pod asked for, held against what TensorFlow sees, and how the hardware is used."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.config import TrainConfig

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

logger = logging.getLogger("tilepipe.train")

_WARM_UP_STEPS, _TIMED_STEPS = 3, 10


@dataclass(frozen=True)
class Devices:
    """What computes, and how."""

    strategy: Any
    """TensorFlow's `tf.distribute.Strategy`."""
    name: str
    """In words."""
    gpus: int
    """How many GPUs are used."""
    precision: str = "float32"
    """Keras' name of the dtype policy."""
    xla: bool = False

    def feed(self, data: "tf.data.Dataset") -> Iterator[Any]:
        """Iterate over batches, a part of each for each GPU."""
        if self.gpus > 1:
            data = self.strategy.experimental_distribute_dataset(data)
        return iter(data)

    def on_each(self, work: Callable[[Any], None]) -> Callable[[Iterator[Any]], None]:
        """A compiled function of what `feed` gives: each device does the work on its part of the next batch."""
        import tensorflow as tf

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator] # TensorFlow has no types
        def step(elements: Any) -> None:  # noqa: ANN401
            self.strategy.run(work, args=(next(elements),))

        return step  # type: ignore[no-any-return]

    def agree(self, model: "keras.Model") -> None:
        """Give all devices the running statistics of the first one, which are what is saved.

        Each follows those of its own share of the batches, by its batch normalizations; training uses none of them.
        """
        if self.gpus > 1:
            for variable in model.non_trainable_variables:
                variable.assign(variable.numpy())

    def scaled(self, optimizer: "keras.Optimizer") -> "keras.Optimizer":
        """An optimizer that keeps small gradients in half precision from becoming zeros."""
        import keras

        if self.precision != "mixed_float16":
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint holds of it: a training goes on in the precision that it began with."""
        return {"precision": self.precision, "xla": self.xla}

    def as_chosen(self, facts: Mapping[str, Any]) -> "Devices":
        """The same devices, used as `facts` says."""
        return replace(self, precision=str(facts["precision"]), xla=bool(facts["xla"]))


def set_up_devices(config: TrainConfig) -> Devices:
    """Choose the devices to train on, before TensorFlow has touched any.

    Args:
        config: how many GPUs were asked for.

    Returns:
        The devices; how they are used is for `choose_use` to say.

    Raises:
        ParameterError: GPUs were asked for and TensorFlow sees none, or the batch does not divide among them.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not config.gpus:
        # A node's container runtime may show its GPUs to every pod. One that was not asked for is somebody else's.
        if gpus:
            tf.config.set_visible_devices([], "GPU")
        return Devices(tf.distribute.get_strategy(), "CPU", 0)
    if not gpus:
        if config.options.require_gpu:
            raise ParameterError(
                "TensorFlow must see the GPU that the pod asked for. "
                f"Received: gpu_count={config.gpu_count!r} of {config.gpu_resource!r}, and TensorFlow "
                f"{tf.__version__}, built {'with' if tf.test.is_built_with_cuda() else 'without'} CUDA, sees none. "
                "Use an image with CUDA, check the node's driver, or give gpu_count='0'."
            )
        logger.warning("TensorFlow sees no GPU, and require_gpu is off: training on the CPU")
        return Devices(tf.distribute.get_strategy(), "CPU", 0)
    used = gpus[: config.gpus]
    if len(used) < config.gpus:
        logger.warning("the pod asked for %d GPUs, and TensorFlow sees %d", config.gpus, len(used))
    tf.config.set_visible_devices(used, "GPU")
    for gpu in used:
        tf.config.experimental.set_memory_growth(gpu, True)  # else TensorFlow takes all of the memory at once
    details = tf.config.experimental.get_device_details(used[0])
    name = str(details.get("device_name", used[0].name))
    return mirrored([f"GPU:{number}" for number in range(len(used))], name, config)


def mirrored(names: list[str], description: str, config: TrainConfig) -> Devices:
    """Use one device, or several that each take a part of every batch.

    Raises:
        ParameterError: the batch does not divide among them, or the tiles are to be kept on several.
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
            "Tiles can be kept on one GPU alone. Received: "
            f"placement='device' with {len(names)} GPUs. Use placement='memory', or 'auto'."
        )
    return Devices(tf.distribute.MirroredStrategy(names), f"{len(names)} x {description}", len(names))


def choose_use(devices: Devices, model: "keras.Model", manifest: Manifest, config: TrainConfig) -> Devices:
    """Say in what precision to compute and whether XLA compiles the step.

    On a CPU there is nothing to choose: EfficientNet-Lite0 at 96 pixels made 157 tiles a second in float32, 88 in
    mixed_bfloat16 and 15 with XLA, on two cores that have bfloat16 instructions. On a GPU the candidates are measured
    on a copy of the model.

    Args:
        devices: what computes.
        model: the model to be trained.
        manifest: shape and statistics of its tiles.
        config: what is asked for.

    Returns:
        The devices with `precision` and `xla` as asked for, or as measured; what fails here is left out.
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
            seconds[candidate] = _seconds_a_step(candidate, model, manifest, config)
        except tf.errors.OpError as error:  # such as more memory than there is, or what XLA cannot compile
            failure = error
            logger.warning("%s cannot be used here: %s", use, error.message[:300])
        else:
            logger.info("%s: %.0f tiles a second", use, config.batch_size / seconds[candidate])
    if not seconds:
        raise failure
    return min(seconds, key=seconds.__getitem__)


def set_precision(model: "keras.Model", precision: str) -> None:
    """Let a model's layers compute in another dtype; variables and the class probabilities stay float32.

    Args:
        model: layers that say float16 or bfloat16 themselves follow too.
        precision: Keras' name of a dtype policy.
    """
    import keras

    from tilepipe.components.train.loop.model_layers import layers_of

    policy = keras.DTypePolicy(precision)
    last = model.layers[-1]
    for layer in layers_of(model):
        # What standardises digital numbers would lose their last digits, the softmax its sum of 1.
        if layer is not last and not isinstance(layer, keras.layers.InputLayer | keras.layers.Normalization):
            layer.dtype_policy = policy


def _seconds_a_step(devices: Devices, model: "keras.Model", manifest: Manifest, config: TrainConfig) -> float:
    """Time training steps of a copy of the model, on tiles that are all alike."""
    import keras
    import numpy as np

    from tilepipe.components.train.loop.fused_norm import fused_normalization
    from tilepipe.components.train.optimization.losses import make_loss
    from tilepipe.components.train.optimization.optimizers import make_optimizer

    with devices.strategy.scope():
        copy = keras.models.clone_model(model)
        set_precision(copy, devices.precision)
        optimizer = devices.scaled(
            make_optimizer(
                config.optimizer, config.learning_rate, config.options, replicas=devices.strategy.num_replicas_in_sync
            )
        )
        copy.compile(optimizer, make_loss(config.options), metrics=[], jit_compile=devices.xla, auto_scale_loss=False)
    means = np.array([band.mean for band in manifest.statistics])
    tiles = config.batch_size // devices.strategy.num_replicas_in_sync  # Keras gives each device all of them
    images = np.broadcast_to(means, (tiles, *manifest.tile_shape)).astype(manifest.dtype)
    labels = np.eye(len(manifest.class_names), dtype=np.float32)[[0] * tiles]
    with fused_normalization(copy):
        for _ in range(_WARM_UP_STEPS):
            copy.train_on_batch(images, labels)
        started = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            copy.train_on_batch(images, labels)
    return (time.perf_counter() - started) / _TIMED_STEPS
