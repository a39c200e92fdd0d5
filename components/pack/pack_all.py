"""Pack all tiles and merge the only part, for a pipeline with one worker."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.pack.config import PackAllConfig, PackConfig
from tilepipe.components.pack.merge import MergeInputs, merge
from tilepipe.components.pack.pack import PackOutputs, pack
from tilepipe.components.shared.contracts.manifest import Manifest, Split


@dataclass(frozen=True)
class PackAllOutputs:
    """Output paths of the step."""

    shards: Mapping[Split, Path]
    """One folder per split."""
    manifest: Path
    contents: Path
    quarantine: Path


def pack_all(config: PackAllConfig, tiles: Path, outputs: PackAllOutputs) -> Manifest:
    """Write the shards, the manifest and the quarantine table that `pack` and `merge` would write.

    Returns:
        The manifest, as written.

    Raises:
        TilepipeError: for the reasons of `pack` and `merge`; in the latter case the shards exist, but no manifest.
    """
    with tempfile.TemporaryDirectory() as folder:
        part_manifest, rejected = Path(folder, "part.json"), Path(folder, "quarantine.parquet")
        pack(PackConfig(**dict(config)), tiles, PackOutputs(outputs.shards, part_manifest, outputs.contents, rejected))
        return merge(MergeInputs([part_manifest], [outputs.contents], [rejected]), outputs.manifest, outputs.quarantine)
