"""Tiles of a split, kept in memory if they fit, in an order that can be resumed at any batch."""

import contextlib
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from tilepipe.components.shared.contracts.manifest import Manifest, Split
from tilepipe.components.shared.storage import storage
from tilepipe.components.train.input.options import DataOptions
from tilepipe.components.train.input.placement import Place, cache_bytes, locate, plan
from tilepipe.components.train.input.shard_cache import open_cache
from tilepipe.components.train.input.shuffle_order import ShuffleOrder, Window

if TYPE_CHECKING:
    import tensorflow as tf

    from tilepipe.components.train.input.shard_reader import ReadAhead, ShardReader

Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def open_tiles(
    where: Sequence[Path] | Sequence[str],
    split: Split,
    manifest: Manifest,
    *,
    batch_size: int,
    seed: int,
    options: DataOptions,
    memory_mebibytes: int,
    gpu: bool = False,
) -> "Tiles":
    """Open a split for training or validation.

    Names and sizes of all shards are checked at once. A split that is kept in memory is read here and its checksums are
    verified; for a streamed split, the checksum of each shard is verified whenever it is read.

    Args:
        where: the split's artifacts, or the addresses of such folders, local or `s3://...`; one per packed part.
        split: the split.
        manifest: description of the shards.
        batch_size: tiles per batch.
        seed: seed of the order, 32 bits.
        options: the placement options.
        memory_mebibytes: memory available for this split.
        gpu: whether there is a GPU that small splits can be kept on. Defaults to False.

    Returns:
        The tiles. The caller must close them, which ends all reading and removes temporary downloads.

    Raises:
        ArtifactError: a shard is missing, truncated or damaged.
        SourceError: an address is invalid or does not exist.
        StorageError: a store cannot be reached.
        ParameterError: the placement does not fit, or the disk cache is smaller than two shards.
    """
    from tilepipe.components.train.input.shard_reader import ShardReader

    summary = manifest.splits[split]
    uris = locate(where, summary)
    order, place = plan(summary, manifest, seed, options, memory_mebibytes, gpu=gpu)
    with contextlib.ExitStack() as stack:
        cache = None
        if any(map(storage.is_remote, uris)):
            cache = stack.enter_context(open_cache(options.shard_cache_folder, cache_bytes(options, summary)))
        reader = ShardReader(uris, summary.shards, manifest, cache)
        if place == "streamed":
            return Tiles(place, order, batch_size, manifest, reader=reader, resources=stack.pop_all())
        arrays = reader.read(range(len(uris)), threading.Event())
    kept = _in_memory(arrays) if place == "memory" else _on_device(arrays, "GPU" if gpu else "CPU")
    return Tiles(place, order, batch_size, manifest, kept=kept)


class Tiles:
    """Batches of the tiles of a split; created by `open_tiles`.

    The order depends only on the seed, the epoch and `order_identity`, so a training that resumes with the same values
    continues with the same batches. The placements "memory" and "device" have the same order; "streamed" shuffles
    within windows.

    Attributes:
        steps: full batches per epoch.
        placement: "memory", "device" or "streamed".
        resident: for "device", the bytes of the tiles (int64, `(tiles, words)`) and labels as tensors there; else None.
        order_identity: digest of all that the order depends on besides the epoch, for the checkpoint.
    """

    def __init__(
        self,
        placement: Place,
        order: ShuffleOrder,
        batch_size: int,
        manifest: Manifest,
        *,
        kept: tuple["tf.Tensor", "tf.Tensor"] | None = None,
        reader: "ShardReader | None" = None,
        resources: contextlib.ExitStack | None = None,
    ) -> None:
        self.placement = placement
        self.tiles = sum(order.tiles_per_shard)
        self.steps = self.tiles // batch_size
        self.order_identity = order.identity
        self.resident = kept if placement == "device" else None
        self._order, self._batch_size, self._manifest = order, batch_size, manifest
        self._kept, self._reader = kept, reader
        self._resources = resources or contextlib.ExitStack()
        self._streams: weakref.WeakSet[ReadAhead] = weakref.WeakSet()
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all reading, and remove temporary files; no batches may be requested afterwards."""
        for stream in list(self._streams):
            stream.close()
        self._resources.close()

    def shuffled(self, epoch: int, first_step: int = 0) -> "tf.data.Dataset":
        """Return full batches in the order of an epoch; an incomplete last batch is dropped.

        Args:
            epoch: counted from 0.
            first_step: number of batches to skip; windows before it are not read. Defaults to 0.

        Returns:
            `images`, the manifest's dtype, `(batch_size, height, width, bands)`, and `labels`, int64, `(batch_size,)`;
            for the placement "device", arguments of `fetch`.
        """
        return self._open(self._order.shuffled(epoch), first_step, self.steps * self._batch_size)

    def sequential(self) -> "tf.data.Dataset":
        """Return every tile once, in the order of the shards; as `shuffled`, but the last batch may be smaller."""
        return self._open(self._order.sequential(), 0, self.tiles)

    def fetch(self, element: Any) -> tuple["tf.Tensor", "tf.Tensor"]:  # noqa: ANN401 - indices, or the tiles themselves
        """Convert an element of the data sets to images and labels.

        Args:
            element: the element; for the placement "device" indices, int64, `(batch,)`, also within a `tf.function`.

        Returns:
            Images and labels; gathered on the device for that placement, otherwise the element itself.
        """
        if self.resident is None:
            images, labels = element
            return images, labels
        return self._gather(element)

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise errors of reading shards in place of the TensorFlow errors that they cause.

        Raises:
            ArtifactError: a shard is missing, truncated or damaged.
            StorageError: a store cannot be reached.
        """
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError:
            error, self._error = self._error, None
            if error is None:
                raise
            raise error from None

    def _open(self, windows: list[Window], first_step: int, end: int) -> "tf.data.Dataset":
        start, is_full = first_step * self._batch_size, end % self._batch_size == 0
        if self._kept is None:
            return self._stream(windows, start, end, is_full=is_full)
        indices = self._indices(windows, start, end, is_full=is_full)
        return indices if self.placement == "device" else indices.map(self._gather)

    def _indices(self, windows: list[Window], start: int, end: int, *, is_full: bool) -> "tf.data.Dataset":
        """Return batches of indices into the kept tiles, which form one window."""
        import tensorflow as tf

        size = self._batch_size
        with tf.device("CPU"):
            rows = tf.constant(windows[0].rows() if windows else np.empty(0, np.int64))

        def cut(first: "tf.Tensor") -> "tf.Tensor":
            indices = rows[first : tf.minimum(first + size, end)]
            return tf.ensure_shape(indices, (size,)) if is_full else indices

        return tf.data.Dataset.range(start, end, size).map(cut)

    def _gather(self, indices: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        import tensorflow as tf

        images, labels = self._kept or ((), ())
        images, labels = tf.gather(images, indices), tf.gather(labels, indices)
        if self.resident is not None:
            values = tf.reshape(tf.bitcast(images, tf.as_dtype(self._manifest.dtype)), (tf.shape(images)[0], -1))
            images = tf.reshape(values[:, : int(np.prod(self._manifest.tile_shape))], (-1, *self._manifest.tile_shape))
        return images, labels

    def _stream(self, windows: list[Window], start: int, end: int, *, is_full: bool) -> "tf.data.Dataset":
        import tensorflow as tf

        wanted = [window for window in windows if max(window.start, start) < min(window.end, end)]

        def generate() -> Iterator[Arrays]:
            try:
                yield from self._batches(wanted, start, end)
            except Exception as error:
                # Not raised here, since TensorFlow would log it with its traceback. `assert_cardinality` fails on the
                # missing batches, and `translate_errors` raises the cause.
                self._error = error

        size = self._batch_size if is_full else None
        signature = (
            tf.TensorSpec((size, *self._manifest.tile_shape), tf.as_dtype(self._manifest.dtype)),
            tf.TensorSpec((size,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(generate, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(max(0, -(-(end - start) // self._batch_size))))

    def _batches(self, windows: list[Window], start: int, end: int) -> Generator[Arrays, None, None]:
        """Slice batches from windows, also across their borders."""
        from tilepipe.components.train.input.shard_reader import ReadAhead

        if self._reader is None:
            raise ValueError("kept tiles are not streamed")
        with contextlib.closing(ReadAhead(self._reader, windows)) as stream:
            self._streams.add(stream)
            batch, filled = self._empty(end - start), 0
            for window in windows:
                images, labels = stream.take()
                rows = window.rows()[max(0, start - window.start) : end - window.start]
                done = 0
                while done < len(rows):
                    chosen = rows[done : done + len(batch[1]) - filled]
                    until = filled + len(chosen)
                    # "clip" avoids the extra copy that NumPy makes where it may have to raise
                    np.take(images, chosen, axis=0, out=batch[0][filled:until], mode="clip")
                    batch[1][filled:until] = labels[chosen]
                    start, done, filled = start + len(chosen), done + len(chosen), until
                    if filled == len(batch[1]):
                        yield batch
                        batch, filled = self._empty(end - start), 0
                del images, labels  # before waiting for the next window: two are in memory, not three

    def _empty(self, left: int) -> Arrays:
        size = min(self._batch_size, left)
        return np.empty((size, *self._manifest.tile_shape), self._manifest.dtype), np.empty(size, np.int64)


def _on_device(arrays: Arrays, device: str) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Copy the arrays to the memory of a device.

    The tiles are stored as 64-bit words: of the dtypes of tiles, TensorFlow gathers only float32 on a GPU.
    """
    import tensorflow as tf

    images, labels = arrays
    tile = images.reshape(len(labels), int(np.prod(images.shape[1:]))).view(np.uint8)
    padded = np.pad(tile, ((0, 0), (0, -tile.shape[1] % 8))) if tile.shape[1] % 8 else tile
    with tf.device(device):
        return tf.identity(tf.convert_to_tensor(padded.view(np.int64))), tf.identity(tf.convert_to_tensor(labels))


def _in_memory(arrays: Arrays) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Convert the arrays to tensors, without a copy of the tiles, which would double the memory."""
    import tensorflow as tf

    images, labels = arrays
    with tf.device("CPU"):
        pixels = tf.experimental.dlpack.from_dlpack(images.__dlpack__()) if len(labels) else tf.constant(images)
        return pixels, tf.constant(labels)
