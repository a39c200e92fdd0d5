"""Any number of shards of noise, and base models for them: speed does not depend on the content of the tiles."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from tests.support.packed import manifest_for
from tilepipe.components.prepare.config import PrepareConfig
from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.shared.contracts.manifest import Manifest, Shard, SplitSummary
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.train.config import TrainConfig
from tilepipe.components.train.input.augmentation import Augmenter
from tilepipe.components.train.input.batches import Batches
from tilepipe.components.train.input.tiles import Tiles, open_tiles
from tilepipe.components.train.optimization.class_weights import class_weights
from tilepipe.components.train.train import Inputs, Outputs, Trained, train

CLASSES = tuple(f"class {number}" for number in range(10))
SHARD_TILES = 50
_FOLDER = "train"
_DIGITAL_NUMBERS = 250  # fits all dtypes


@dataclass(frozen=True)
class Generated:
    """A packed data set without validation tiles, whose shards have equal sizes."""

    folder: Path
    manifest: Manifest

    @property
    def shards(self) -> Path:
        """Folders of the shards."""
        return self.folder / _FOLDER

    @property
    def manifest_path(self) -> Path:
        """Path of the manifest."""
        return self.folder / "manifest.json"

    def first(self, shards: int) -> "Generated":
        """Return a data set of the first shards."""
        summary = _summary(self.manifest.splits["train"].shards[:shards])
        folder = self.folder / f"first-{shards}"
        if not folder.exists():
            folder.mkdir()
            (folder / _FOLDER).symlink_to(self.shards, target_is_directory=True)
        manifest = self.manifest.model_copy(update={"splits": {**self.manifest.splits, "train": summary}})
        manifest.write(folder / "manifest.json")
        return Generated(folder, manifest)

    def base_model(self, architecture: str, **options) -> Path:
        """Build a base model for these tiles with `prepare`."""
        path = self.folder / f"{architecture}.keras"
        config = PrepareConfig.parse(architecture=architecture, options=options)
        prepare(config, self.manifest_path, path, path.with_suffix(".md"))
        return path

    def train(self, base_model: Path, **parameters) -> Trained:
        """Train on the tiles."""
        inputs = Inputs((self.shards,), (), self.manifest_path, base_model)
        outputs = Outputs(*(self.folder / "out" / file for file in ("model.keras", "history.json", "curves.html")))
        return train(TrainConfig.parse(**parameters), inputs, outputs)

    def opened(self, config: TrainConfig) -> Tiles:
        """Open the tiles as `train` does."""
        return open_tiles(
            [self.shards],
            "train",
            self.manifest,
            batch_size=config.batch_size,
            seed=config.seed,
            options=config.options,
            memory_mebibytes=config.memory_mebibytes,
        )

    @contextlib.contextmanager
    def batches(self, config: TrainConfig) -> Iterator[Batches]:
        """Build batches as `train` does."""
        with self.opened(config) as tiles:
            yield Batches(
                tiles,
                None,
                Augmenter(config.augmentation, config.options, self.manifest),
                batch_size=config.batch_size,
                seed=config.seed,
                class_weights=class_weights(config.options, self.manifest),
            )


def write_tiles(folder: Path, *, shape: tuple[int, int, int], dtype: str, shards: int) -> Generated:
    """Write shards of `SHARD_TILES` tiles, and their manifest.

    The manifest also lists test tiles, which training requires if there are no validation tiles.
    """
    rng = np.random.default_rng(0)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    noise = rng.integers(0, _DIGITAL_NUMBERS, 2 * int(np.prod(shape))).astype(dtype).view(np.uint8)
    (folder / _FOLDER).mkdir(parents=True)
    written = []
    for number in range(shards):
        path = folder / _FOLDER / f"train-{number:05d}-of-{shards:05d}.tfrecord"
        checksum = xxhash.xxh3_128()
        with path.open("wb") as file:
            for tile in range(SHARD_TILES):
                start = int(rng.integers(size // 8)) * 8
                for part in frame_example(noise[start : start + size], tile % len(CLASSES), f"{number}-{tile}"):
                    checksum.update(part)
                    file.write(part)
        shard = Shard(name=path.name, tiles=SHARD_TILES, bytes=path.stat().st_size, checksum=checksum.hexdigest())
        written.append(shard)
    none, test = _summary(()), SplitSummary(tiles=10, tiles_per_class=dict.fromkeys(CLASSES, 1), shards=())
    splits = {"train": _summary(written), "val": none, "test": test}
    manifest = manifest_for(shape, dtype, CLASSES, splits, [(125.0, 70.0)] * shape[2])
    manifest.write(folder / "manifest.json")
    return Generated(folder, manifest)


def _summary(shards) -> SplitSummary:
    tiles = SHARD_TILES * len(shards)
    return SplitSummary(
        tiles=tiles, tiles_per_class=dict.fromkeys(CLASSES, tiles // len(CLASSES)), shards=tuple(shards)
    )
