"""Files that are cut short at every length, or whose bits are flipped: each must be refused, or read as it was."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.chaos.faults import Result, fault
from tests.chaos.ground import Ground
from tests.chaos.outcomes import ERROR, LOST, SAME, WRONG
from tilepipe.components.shared.errors import TilepipeError

MOST = 1000
"""Number of lengths or bits per file; small files are cut at every length."""
MOST_FLIPS_OF_MODELS = 200
"""Number of bits of a model, which Keras builds each time before it reads the weights."""


def _files(ground: Ground) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """Return the content and the reader of each kind of file."""
    import numpy as np

    from tilepipe.components.pack.packing_order import open_plan
    from tilepipe.components.shared.contracts.bundle import read_bundle, write_bundle
    from tilepipe.components.shared.contracts.manifest import read_manifest
    from tilepipe.components.shared.contracts.shard_tiles import read_tiles
    from tilepipe.components.train.checkpoints import file as checkpoint

    manifest = read_manifest(ground.reference / "manifest.json")
    shard = manifest.splits["val"].shards[0]
    state = checkpoint.owned(checkpoint.State({"kernel": np.arange(200, dtype="f4")}, {}, {"step": 1}))
    encoded = checkpoint.encode("key", state.arrays, state.facts)
    write_bundle({"model.keras": bytes(range(256)) * 8, "mlm.json": b"{}"}, ground.folder / "bundle.tar.gz")

    def tiles(path: Path) -> object:
        return [(tile.tile_id, tile.label, tile.image.tobytes()) for tile in read_tiles(path, shard, manifest)]

    def rows(path: Path) -> object:
        with open_plan(path, seed=0) as plan:
            return [*plan.tiles("train"), *plan.tiles("val"), *plan.tiles("test")]

    def arrays(path: Path) -> object:
        found, facts = checkpoint.decode(path.read_bytes(), encoded.digest, "key")
        return {name: array.tobytes() for name, array in found.items()}, facts

    def weights(path: Path) -> object:
        from tilepipe.components.shared.contracts.model_file import load_model

        return [array.tobytes() for array in load_model(path, manifest).get_weights()]

    return {
        "model": ((ground.reference / "model.keras").read_bytes(), weights),
        "shard": ((ground.reference / "val" / shard.name).read_bytes(), tiles),
        "manifest": ((ground.reference / "manifest.json").read_bytes(), read_manifest),
        "table": ((ground.reference / "tiles.parquet").read_bytes(), rows),
        "bundle": ((ground.folder / "bundle.tar.gz").read_bytes(), read_bundle),
        "checkpoint": (b"".join(bytes(part) for part in encoded.parts), arrays),
    }


@fault("shard.cut", "manifest.cut", "table.cut", "bundle.cut", "checkpoint.cut", "model.cut")
def cut(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """A file ends early, at every length if it is small."""
    content, read = _files(ground)[name.partition(".")[0]]
    lengths = range(len(content)) if len(content) <= MOST else sorted(draws.sample(range(len(content)), MOST))
    return _check(ground, content, read, [content[:length] for length in lengths])


@fault("shard.flip", "bundle.flip", "checkpoint.flip", "model.flip")
def flip(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """One bit of a file with checksums is flipped."""
    content, read = _files(ground)[name.partition(".")[0]]
    changed = []
    most = MOST_FLIPS_OF_MODELS if name == "model.flip" else MOST
    for place in draws.choices(range(len(content)), k=min(most, 2 * len(content))):
        data = bytearray(content)
        data[place] ^= 1 << draws.randrange(8)
        changed.append(bytes(data))
    return _check(ground, content, read, changed)


def _check(ground: Ground, content: bytes, read: Callable[[Path], object], damaged: list[bytes]) -> Result:
    path = ground.folder / "damaged.keras"  # Keras goes by the name, the others by the content
    path.write_bytes(content)
    expected, refused = read(path), 0
    for data in damaged:
        path.write_bytes(data)
        try:
            found = read(path)
        except TilepipeError:
            refused += 1
        except Exception as error:
            return LOST, f"{type(error).__name__}: {error}", len(damaged)
        else:
            if found != expected:
                return WRONG, f"{len(data)} of {len(content)} bytes read as something else", len(damaged)
    return ERROR if refused else SAME, f"{refused} of {len(damaged)} refused", len(damaged)
