"""The tiles of a split, kept where they fit, in an order that can be taken up again at any batch."""

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
from tilepipe.components.train.input.shuffle_order import Order, Window

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

    Names and sizes of all shards are checked at once. A split that is kept is read here, and its checksums verified; of
    a streamed one each shard's checksum is verified whenever it is read.

    Args:
        where: the split's artifacts, or addresses of such folders, local or `s3://...`; one a part that was packed.
        split: which one.
        manifest: what the shards hold.
        batch_size: tiles a batch.
        seed: of the order, 32 bits.
        options: where the tiles are kept.
        memory_mebibytes: the most of this split that memory may hold.
        gpu: whether there is one GPU that small splits can be kept on.

    Returns:
        The tiles; to be closed, which ends all reading and removes what was downloaded into a temporary folder.

    Raises:
        ArtifactError: a shard is missing, truncated or damaged.
        SourceError: an address is wrong, or there is nothing.
        StorageError: a store cannot be reached.
        ParameterError: a split is to be kept where it does not fit, or the disk cache holds no two shards.
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
    """Tiles in batches, epoch after epoch; `open_tiles` makes them.

    The order is a function of the seed, the epoch and `order_identity`, whatever was read before: a training that is
    taken up again with the same of these goes on with the same batches. Both kept placements have the same order; a
    streamed one mixes a window at a time.

    Attributes:
        steps: full batches in an epoch.
        placement: "memory", "device" or "streamed".
        resident: with "device", the tiles' bytes (int64, `(tiles, words)`) and labels as tensors there; else None.
        order_identity: what the order depends on, besides the epoch, as a short text to be kept with a checkpoint.
    """

    def __init__(
        self,
        placement: Place,
        order: Order,
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
        """End all reading, and remove temporary files; batches that are being read are not to be asked for any more."""
        for stream in list(self._streams):
            stream.close()
        self._resources.close()

    def shuffled(self, epoch: int, first_step: int = 0) -> "tf.data.Dataset":
        """Full batches in the order of an epoch; the tiles left over are others in each epoch.

        Args:
            epoch: counted from 0.
            first_step: how many batches to leave out; what lies wholly before is not read.

        Returns:
            `images`, the manifest's dtype, `(batch_size, height, width, bands)`, and `labels`, int64, `(batch_size,)`;
            with the placement "device", what `fetch` takes.
        """
        return self._open(self._order.shuffled(epoch), first_step, self.steps * self._batch_size)

    def in_order(self) -> "tf.data.Dataset":
        """Every tile once, in the shards' order; as `shuffled`, but for the last batch, which may be smaller."""
        return self._open(self._order.in_order(), 0, self.tiles)

    def fetch(self, element: Any) -> tuple["tf.Tensor", "tf.Tensor"]:  # noqa: ANN401 - indices, or the tiles themselves
        """Make images and labels of an element of the data sets.

        Args:
            element: as it comes; with the placement "device" indices, int64, `(batch,)`, also within a `tf.function`.

        Returns:
            Images and labels; gathered on the device with that placement, else the element as it is.
        """
        if self.resident is None:
            images, labels = element
            return images, labels
        return self._gather(element)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise what went wrong while shards were read as itself, in place of the error that TensorFlow makes of it.

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
        """Batches of indices into the kept tiles; all are in one window."""
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
                # Not raised here: TensorFlow would log it with its traceback. It misses the batches that do not come
                # (`assert_cardinality`), and `explained` says why.
                self._error = error

        size = self._batch_size if is_full else None
        signature = (
            tf.TensorSpec((size, *self._manifest.tile_shape), tf.as_dtype(self._manifest.dtype)),
            tf.TensorSpec((size,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(generate, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(max(0, -(-(end - start) // self._batch_size))))

    def _batches(self, windows: list[Window], start: int, end: int) -> Generator[Arrays, None, None]:
        """Cut batches out of windows, also across their borders."""
        from tilepipe.components.train.input.shard_reader import ReadAhead

        if self._reader is None:
            raise ValueError("kept tiles are not streamed")
        with ReadAhead(self._reader, windows) as stream:
            self._streams.add(stream)
            batch, filled = self._empty(end - start), 0
            for window in windows:
                images, labels = stream.take()
                rows = window.rows()[max(0, start - window.start) : end - window.start]
                done = 0
                while done < len(rows):
                    chosen = rows[done : done + len(batch[1]) - filled]
                    until = filled + len(chosen)
                    # "clip" only since NumPy copies once more where it might have to complain
                    np.take(images, chosen, axis=0, out=batch[0][filled:until], mode="clip")
                    batch[1][filled:until] = labels[chosen]
                    start, done, filled = start + len(chosen), done + len(chosen), until
                    if filled == len(batch[1]):
                        yield batch
                        batch, filled = self._empty(end - start), 0
                del images, labels  # before the next window is waited for: two are in memory, not three

    def _empty(self, left: int) -> Arrays:
        size = min(self._batch_size, left)
        return np.empty((size, *self._manifest.tile_shape), self._manifest.dtype), np.empty(size, np.int64)


def _on_device(arrays: Arrays, device: str) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Copies of the arrays in a device's memory.

    The tiles are there as words of 64 bits: of what tiles are made of, TensorFlow gathers on a GPU only float32.
    """
    import tensorflow as tf

    images, labels = arrays
    tile = images.reshape(len(labels), int(np.prod(images.shape[1:]))).view(np.uint8)
    padded = np.pad(tile, ((0, 0), (0, -tile.shape[1] % 8))) if tile.shape[1] % 8 else tile
    with tf.device(device):
        return tf.identity(tf.convert_to_tensor(padded.view(np.int64))), tf.identity(tf.convert_to_tensor(labels))


def _in_memory(arrays: Arrays) -> tuple["tf.Tensor", "tf.Tensor"]:
    """The arrays as tensors; the tiles are not copied: for a while the split would be in memory twice."""
    import tensorflow as tf

    images, labels = arrays
    with tf.device("CPU"):
        pixels = tf.experimental.dlpack.from_dlpack(images.__dlpack__()) if len(labels) else tf.constant(images)
        return pixels, tf.constant(labels)
