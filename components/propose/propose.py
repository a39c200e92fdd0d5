"""Open the MLflow run of a sweep, and divide its candidates among the workers."""

import logging
from pathlib import Path

from tilepipe.components.propose.config import ProposeConfig, shown
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import SplitError
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.train.figures.epoch_figures import check_best_metric

logger = logging.getLogger("tilepipe.propose")


def propose(config: ProposeConfig, manifest_path: Path) -> list[str]:
    """List the candidates, and open the MLflow run in which the runs of the candidates will be nested.

    Returns:
        The items of KFP's loop: JSON of a `Share` for each worker.

    Raises:
        ArtifactError: the manifest is damaged.
        SplitError: there are no validation tiles.
        ParameterError: no candidate will have the metric.
        TrackingError: the tracking server cannot be reached.
    """
    manifest = read_manifest(manifest_path)
    val = manifest.splits["val"]
    if not val.tiles:
        raise SplitError(
            f"Candidates are ranked by validation tiles. Received: {manifest.name} without any. Give `ingest` other "
            "`split_fractions`, `split_files` or a `split_property`."
        )
    check_best_metric(config.tune_metric, manifest.class_names, val.tiles_per_class, "tune_metric")
    listed, shares = config.listed(), config.shares()
    for candidate in () if config.chooses_by_results else listed:
        logger.info("%s: %s", candidate.name, shown(candidate.parameters))
    name = f"{manifest.name} sweep {tracking.short_kfp_run_id()}".rstrip()
    run_id = tracking.open_run(config.experiment, name, {"tilepipe.sweep": "true"})
    tracking.log_params(
        run_id,
        {
            "tune_space": config.tune_space,
            "tune_search": config.tune_search,
            "tune_metric": config.tune_metric,
            "tune_options": config.tune_options.model_dump(),
            "tune_candidates": len(listed),
            "tune_workers": len(shares),
            **{f"base.{name}": value for name, value in config.base().items()},
        },
    )
    counts = (("candidate", len(listed)), ("worker", len(shares)))
    logger.info("%s", " for ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts))
    return shares
