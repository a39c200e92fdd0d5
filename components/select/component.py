"""KFP component of `select`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def select_candidate(
    outcomes: dsl.Input[list[dsl.Model]],
    manifest: dsl.Input[dsl.Artifact],
    winner: dsl.Output[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    history: dsl.Output[dsl.Dataset],
    ranking: dsl.Output[dsl.Dataset],
    comparison: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    experiment: str = "tilepipe",
) -> None:
    """Rank the candidates of all workers, and return the best one with a comparison.

    Args:
        outcomes: Outcomes of the workers' candidates, one folder per worker.
        manifest: Contents of the shards (JSON).
        winner: Outcome of the best candidate, with its parameters (JSON).
        model: Its model, with the weights of its best epoch (.keras).
        history: Figures of each of its epochs (JSON).
        ranking: All candidates, the best first (JSON).
        comparison: Table, learning curves and importance of the parameters (HTML).
        summary: The best candidates (Markdown).
        experiment: MLflow experiment.
    """
    from pathlib import Path

    from tilepipe.components.select.config import SelectConfig
    from tilepipe.components.select.select import Outputs, select
    from tilepipe.components.shared.runtime.step import step

    with step("select"):
        config = SelectConfig.from_arguments(locals())
        winner.uri, history.uri, ranking.uri = winner.uri + ".json", history.uri + ".json", ranking.uri + ".json"
        model.uri, comparison.uri = model.uri + ".keras", comparison.uri + ".html"
        files = Outputs(*(Path(a.path) for a in (winner, model, history, ranking, comparison, summary)))
        best = select(config, [Path(a.path) for a in outcomes], Path(manifest.path), files)
        model.metadata.update(candidate=best.name, **{best.metric: best.value})
