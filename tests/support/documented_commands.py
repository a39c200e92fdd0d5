"""Commands in the Markdown pages, and the data that those of README.md name."""

import re
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.conftest import DATA, ROOT
from tests.support.bundles import write_model_bundle
from tests.support.packed import CLASSES, manifest_for, shard_of
from tests.support.registry import register_version
from tests.support.scenes import write_scene
from tilepipe.components.shared.contracts.manifest import Manifest, Shard, SplitSummary
from tilepipe.components.shared.records.example import frame_example
from tilepipe.components.shared.registry.version_tags import DATASET_DIGEST, TEST_SHARDS
from tilepipe.pipelines.cli.sample.sample import write_sample
from tilepipe.pipelines.cli.sample.spectra import BANDS

TILES_PER_CLASS = 10
BANDS_OF_FOLDER = ("B04", "B03", "B02", "B08")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines(page: Path) -> list[str]:
    """Return the commands in the shell blocks of a page, each on one line."""
    return [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def write_data(home: Path) -> None:
    """Write the tiles, tables and scenes that README.md names, small and synthetic, into a folder."""
    write_sample(home / "stac", tiles_per_class=TILES_PER_CLASS)
    found = sorted((home / "stac" / "synthetic-tiles").rglob("*.tif"))
    places = [BANDS.index(band) for band in BANDS_OF_FOLDER]
    (home / "plankton").mkdir()
    (home / "plate1").mkdir()
    rows, wells = ["file,taxon,sample"], ["compound,FileName_OrigDNA,FileName_OrigER"]
    for number, path in enumerate(found):
        pixels = _last_axis(tifffile.imread(path))
        tile = home / "tiles" / path.parent.name / path.name
        tile.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(tile, pixels[..., places], photometric="minisblack", planarconfig="contig")
        picture = (pixels[: 40 + number % 24, : 30 + number % 30, places[0]] / 16).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(home / "plankton" / f"{number}.png")
        rows.append(f"{number}.png,{path.parent.name},sample-{number % 7}")
        names = [f"{number}_{channel}.png" for channel in ("DNA", "ER")]
        for name, band in zip(names, (0, 1), strict=True):
            Image.fromarray(pixels[..., band]).save(home / "plate1" / name)
        wells.append(",".join([path.parent.name, *names]))
    (home / "plate1" / "load_data.csv").write_text("\n".join(wells) + "\n", encoding="utf-8")
    (home / "plankton" / "images.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with zipfile.ZipFile(home / "tiles.zip", "w") as archive:
        for path in sorted((home / "tiles").rglob("*.tif")):
            archive.write(path, path.relative_to(home))
    if (DATA / "droughtwatch").is_dir():
        (home / "droughtwatch").symlink_to((DATA / "droughtwatch").resolve())
    write_scene(home / "scene.tif", np.moveaxis(_last_axis(tifffile.imread(found[0])), -1, 0), bands=BANDS)


def _last_axis(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.shape[-1] == len(BANDS) else np.moveaxis(pixels, 0, -1)


def write_weights(path: Path) -> None:
    """Write random weights of EfficientNet-Lite0 as `tilepipe weights` writes the published ones."""
    from tilepipe.components.prepare.networks.efficientnet_lite import efficientnet_lite0

    network = efficientnet_lite0((32, 32, 3))
    path.parent.mkdir()
    np.savez(path, **{f"{layer.name}/{v.name}": np.array(v) for layer in network.layers for v in layer.weights})


def register_models(home: Path, client) -> None:
    """Register two versions of `forests` for the tiles of the sample, of which the first was champion once."""
    pixels = np.stack([tifffile.imread(path) for path in sorted((home / "stac").rglob("*_1.tif"))])
    values = _last_axis(pixels[0])[None] if len(pixels) == 1 else np.stack([_last_axis(tile) for tile in pixels])
    statistics = [(float(values[..., band].mean()), float(values[..., band].std())) for band in range(len(BANDS))]
    manifest = manifest_for((64, 64, len(BANDS)), "uint16", CLASSES, statistics=statistics)
    named = [one.model_copy(update={"band": band}) for one, band in zip(manifest.statistics, BANDS, strict=True)]
    shard, tiles = _test_shard(home / "packed" / "test", (64, 64, len(BANDS)))
    test = SplitSummary(tiles=tiles, tiles_per_class=dict.fromkeys(CLASSES, tiles // len(CLASSES)), shards=(shard,))
    changes = {"bands": BANDS, "statistics": tuple(named), "splits": {**manifest.splits, "test": test}}
    manifest = Manifest.model_validate(manifest.model_copy(update=changes).model_dump())
    tags = {TEST_SHARDS: f'["{home / "packed" / "test"}"]', DATASET_DIGEST: manifest.digest}
    for _ in range(2):
        register_version(
            client, home / "models", manifest=manifest, tags=tags, manifest_json=manifest.model_dump_json().encode()
        )
    write_model_bundle(home / "model.tar.gz", manifest)


def _test_shard(folder: Path, shape: tuple[int, ...]) -> tuple[Shard, int]:
    """Write test tiles whose brightness is that of their class."""
    folder.mkdir(parents=True)
    content, tiles = b"", 30
    for number in range(tiles):
        label = number % len(CLASSES)
        pixels = np.full(shape, 60 + 60 * label, np.uint16)
        pixels[0, 0, 0] = number  # no two tiles are equal
        example = frame_example(pixels.reshape(-1).view(np.uint8), label, f"test/{number:03d}")
        content += b"".join(bytes(part) for part in example)
    (folder / "test.tfrecord").write_bytes(content)
    return shard_of("test.tfrecord", content, tiles), tiles


README = ROOT / "README.md"
