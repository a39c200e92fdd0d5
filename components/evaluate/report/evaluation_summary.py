"""Summary of an evaluation as Markdown. Kubeflow renders tables, but no inline HTML."""

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.shared.pages.formatting import SPLIT_NAMES, markdown_table, percent, plain, tiles


def render_summary(evaluation: Evaluation) -> str:
    """Write the summary as Markdown with tables; names from outside are escaped."""
    scores, names = evaluation.headline, evaluation.manifest.class_names
    figures = scores.figures
    split = SPLIT_NAMES[evaluation.headline_split]
    lines = [
        f"# {plain(evaluation.manifest.name)}",
        "",
        f"Right on {scores.correct:,} of {tiles(scores.tiles)} of the {split} split: "
        f"**{percent(scores.accuracy)}**{_interval(evaluation)}.",
        *(["", evaluation.remark] if evaluation.remark else []),
        *(["", plain(evaluation.left_out)] if evaluation.left_out else []),
        "",
        *_splits(evaluation),
        "",
        f"## Classes of the {split} split, weakest first",
        "",
        *markdown_table(
            ("Class", "Tiles", "Precision", "Recall", "F1"),
            [
                (
                    plain(names[i]),
                    f"{figures.support[i]:,}",
                    *(percent(figure[i]) for figure in (figures.precision, figures.recall, figures.f1)),
                )
                for i in evaluation.weakest_first()
            ],
        ),
    ]
    if evaluation.confusions:
        mistakes = [
            (plain(names[one.label]), plain(names[one.predicted]), f"{one.tiles:,}", percent(one.share))
            for one in evaluation.confusions
        ]
        lines += ["", "## Most frequent mistakes", ""]
        lines += markdown_table(("True class", "Taken for", "Tiles", "Of the class"), mistakes, names=2)
    return "\n".join(lines) + "\n"


def _interval(evaluation: Evaluation) -> str:
    interval = evaluation.headline.intervals.get("accuracy")
    if interval is None:
        return ""
    return f" ({percent(0.95, 0)} interval {percent(interval.low)} to {percent(interval.high)})"


def _splits(evaluation: Evaluation) -> list[str]:
    shares = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
    rows = []
    for split, scores in evaluation.scores.items():
        scalars = scores.scalars()
        figures = (percent(scalars[name]) for name in shares)
        rows.append((SPLIT_NAMES[split], f"{scores.tiles:,}", *figures, f"{scores.loss:.4f}"))
    titles = ("Split", "Tiles", "Accuracy", "Balanced accuracy", "Precision", "Recall", "F1", "Loss")
    return markdown_table(titles, rows)
