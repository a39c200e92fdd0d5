"""Merge the parts of all workers into one manifest and one quarantine table."""

import hashlib
import logging
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.pack.part_manifest import PackedShard, PartManifest, SharedLayout
from tilepipe.components.pack.shards.duplicates import find_duplicates
from tilepipe.components.pack.statistics.moments import Moments
from tilepipe.components.shared.contracts.artifact_metadata import write_uris
from tilepipe.components.shared.contracts.json_model import read_json
from tilepipe.components.shared.contracts.manifest import SPLITS, BandStatistics, Manifest, Split, SplitSummary
from tilepipe.components.shared.errors import ArtifactError, TileError
from tilepipe.components.shared.tiles.quarantine import (
    Rejection,
    count_by_reason,
    listed,
    read_quarantine,
    too_many,
    write_quarantine,
)

logger = logging.getLogger("tilepipe.merge")

_Shards = Mapping[Split, Sequence[PackedShard]]


@dataclass(frozen=True)
class MergeInputs:
    """Output files of all workers, in any order."""

    part_manifests: Sequence[Path]
    contents: Sequence[Path]
    quarantines: Sequence[Path]


def merge(inputs: MergeInputs, manifest_path: Path, quarantine_path: Path) -> Manifest:
    """Check the parts as a whole, and write the manifest and the quarantine table.

    No shard is read or copied. The outputs do not depend on the number of parts.

    Returns:
        The manifest, as written.

    Raises:
        ArtifactError: if a part is missing, damaged, or was packed from another tile table or with other parameters.
        TileError: if more tiles are unusable than may be left out, if a class or split has no tile left, or if two
            splits contain identical pixels.
    """
    parts = _read_parts(inputs.part_manifests)
    common = parts[0].common
    shards = {
        split: sorted((one for part in parts for one in part.splits[split]), key=lambda one: one.number)
        for split in SPLITS
    }
    if unverified := sum(part.unverified for part in parts):
        logger.warning("%s tiles have checksums of an unsupported kind and were not verified", f"{unverified:,}")
    rejected = read_quarantine(inputs.quarantines)
    if len(rejected) > common.allowed:
        raise too_many(common.allowed, common.total, rejected)
    counts = _tiles_per_class(common, shards)
    _check_nothing_is_emptied(common, counts, rejected)
    _check_duplicates(common, inputs.contents)
    left_out = count_by_reason(rejected)
    manifest = _manifest(common, shards, counts, left_out)
    if rejected:
        reasons = "; ".join(f"{reason} ({tiles:,})" for reason, tiles in left_out.items())
        logger.warning(
            "%s of %s tiles are unusable and were LEFT OUT (listed in the quarantine artifact): %s",
            f"{len(rejected):,}",
            f"{common.total:,}",
            reasons,
        )
    write_quarantine(rejected, quarantine_path)
    manifest.write(manifest_path)
    logger.info("%s", ", ".join(f"{manifest.splits[split].tiles:,} tiles in {split}" for split in SPLITS))
    return manifest


def manifest_metadata(manifest: Manifest, contents: Sequence[str]) -> dict[str, str | int]:
    """Return the metadata of the manifest's artifact, with the addresses of the tables of packed tiles."""
    tiles = sum(split.tiles for split in manifest.splits.values())
    return {"digest": manifest.digest, "tiles": tiles, "contents": write_uris(contents)}


def _read_parts(paths: Sequence[Path]) -> list[PartManifest]:
    read = (read_json(PartManifest, path, "A part manifest", "pack") for path in paths)
    parts = sorted(read, key=lambda part: part.part)
    numbers = [part.part for part in parts]
    if not parts or numbers != list(range(parts[0].common.parts)):
        wanted = parts[0].common.parts if parts else 1
        raise ArtifactError(
            f"There must be one of each of the {wanted} parts, 0 to {wanted - 1}. Received: parts {numbers}. "
            "Pass the outputs of all workers of one `pack` step."
        )
    for part in parts[1:]:
        if part.common != parts[0].common:
            ours, theirs = parts[0].common.model_dump(), part.common.model_dump()
            differ = [f"{key}={ours[key]!r} and {theirs[key]!r}" for key in ours if ours[key] != theirs[key]]
            raise ArtifactError(
                "All parts must be packed from the same tile table with the same parameters. Received: parts 0 and "
                f"{part.part} with {'; '.join(differ)}. Pass the outputs of all workers of one `pack` step; if they "
                "already are, source files changed while the parts were packed: run `pack` again."
            )
    return parts


def _tiles_per_class(common: SharedLayout, shards: _Shards) -> dict[Split, dict[str, int]]:
    found: dict[Split, dict[str, int]] = {}
    for split in SPLITS:
        counted: Counter[str] = Counter()
        for one in shards[split]:
            counted.update(one.tiles_per_class)
        found[split] = {name: counted[name] for name in common.class_names}
    return found


def _check_nothing_is_emptied(
    common: SharedLayout, counts: Mapping[Split, Mapping[str, int]], rejected: Sequence[Rejection]
) -> None:
    emptied = [split for split in SPLITS if common.planned[split] and not any(counts[split].values())]
    untrained = [name for name in common.class_names if not counts["train"][name]]
    if emptied or untrained:
        what = f"the split {emptied[0]}" if emptied else f"the class {', '.join(untrained)} in train"
        raise TileError(
            f"Each split, and each class in train, must keep at least one tile. Received: no usable tile in {what}."
            + listed(rejected)
        )


def _check_duplicates(common: SharedLayout, contents: Sequence[Path]) -> None:
    found = find_duplicates(contents)
    if not found.tiles:
        return
    examples = "".join(f"\n  {example}" for example in found.examples) + (
        "\n  ..." if found.images > len(found.examples) else ""
    )
    said = f"{found.tiles:,} tiles, {found.images:,} different images:{examples}"
    if common.allow_duplicates:
        logger.warning("identical pixels are in more than one split, as allow_duplicates permits: %s", said)
        return
    raise TileError(
        "Identical pixels must not be in two splits, since the model would be evaluated on tiles that it was trained "
        f"on. Received: {said}\nRemove all but one of each from the source{_condition(found.copies)}. To log a warning "
        "instead, as for the splits of a published benchmark, set\npack_options='{\"allow_duplicates\": true}'"
    )


def _condition(copies: Sequence[str]) -> str:
    """Phrase the parameter that leaves out tiles; empty for none."""
    if not copies:
        return ""
    listed_ids = ", ".join("'" + tile_id.replace("'", "''") + "'" for tile_id in copies)
    text = f"tile_id NOT IN ({listed_ids})"
    # Double quotes where the shell changes nothing between them, since ids are in single quotes.
    word = shlex.quote(text) if set(text) & set('"$`!\\') else f'"{text}"'
    return f", or leave them out with\ndata_where={word}\nwith which each image is one tile"


def _manifest(
    common: SharedLayout, shards: _Shards, counts: Mapping[Split, dict[str, int]], left_out: dict[str, int]
) -> Manifest:
    checksums = "".join(one.shard.checksum for split in SPLITS for one in shards[split])
    return Manifest(
        **{name: value for name, value in common if name in Manifest.model_fields},
        digest=hashlib.sha256(checksums.encode()).hexdigest(),
        left_out=left_out,
        splits={
            split: SplitSummary(
                tiles=sum(counts[split].values()),
                tiles_per_class=counts[split],
                shards=tuple(one.shard for one in shards[split]),
            )
            for split in SPLITS
        },
        statistics=_statistics(common.bands, shards["train"]),
    )


def _statistics(bands: Sequence[str], shards: Sequence[PackedShard]) -> tuple[BandStatistics, ...]:
    moments: Moments | None = None
    for one in shards:
        if one.moments is not None:
            these = Moments.from_json(one.moments)
            moments = these if moments is None else moments.merged(these)
    if moments is None:
        raise ArtifactError("Training shards must have statistics. Received: none. Run `pack` again.")
    statistics = tuple(
        BandStatistics(band=band, mean=mean, std=std, minimum=minimum, maximum=maximum)
        for band, mean, std, minimum, maximum in zip(
            bands,
            moments.mean.tolist(),
            moments.std.tolist(),
            moments.minimum.tolist(),
            moments.maximum.tolist(),
            strict=True,
        )
    )
    if constant := [each.band for each in statistics if each.std == 0]:
        logger.warning("bands with the same value in every pixel of train: %s", ", ".join(constant))
    return statistics
