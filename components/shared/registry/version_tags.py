"""Names of the aliases and tags with which tilepipe marks model versions in MLflow's registry.

Aliases move; tags state facts of one version. A version without `BUNDLE_SHA256` is not one of tilepipe's.
"""

CHALLENGER = "challenger"
"""Alias of the newest version, set by `register`."""

CHAMPION = "champion"
"""Alias of the version in production, moved by `promote` only."""

BUNDLE_SHA256 = "tilepipe.bundle_sha256"
"""SHA-256 of the bundle, in hexadecimal."""

BUNDLE_URI = "tilepipe.bundle_uri"
"""Address of the bundle: `runs:/<run>/bundle/<digest>/model.tar.gz.bin`, which is an artifact of an MLflow run."""

DATASET_DIGEST = "tilepipe.dataset_digest"
"""Digest of the packed data that the model was trained on."""

PIPELINE_RUN = "tilepipe.run"
"""Id of the Kubeflow or local run."""

IMAGE = "tilepipe.image"
"""Container image of the step that registered the version."""

CODE_VERSION = "tilepipe.version"
"""Version of tilepipe that trained the model."""

TEST_SHARDS = "tilepipe.test_shards"
"""JSON list of the addresses of the folders with test shards, one per packed part."""

TRAINING_TILES = "tilepipe.training_tiles"
"""JSON list of the addresses of the tables of packed tiles, with their splits and pixel checksums, one per packed part;
absent if they are not known."""

FIGURE_PREFIX = "tilepipe.figure."
"""Start of the tags with a figure of the evaluation, such as `tilepipe.figure.test_accuracy`."""

GATE = "tilepipe.gate"
"""Verdict of the gate: `accepted`, `refused` or `undecided`."""

GATE_REASON = "tilepipe.gate_reason"
"""Reason of the verdict."""

GATE_CHAMPION = "tilepipe.gate_champion"
"""Number of the version that was champion when the gate compared, or `NO_CHAMPION`."""

NO_CHAMPION = "none"
"""Value of `GATE_CHAMPION` if there was no champion."""

BUNDLE_FOLDER = "bundle"
"""Folder of the bundle among the artifacts of the MLflow run."""

BUNDLE_FILE = "model.tar.gz"
"""File name of the bundle."""

BUNDLE_ARTIFACT = "model.tar.gz.bin"
"""File name of the bundle among the artifacts: MLflow stores `.gz` files in S3 with a content encoding, and a client of
its server gets them decompressed (MLflow 3.17)."""
