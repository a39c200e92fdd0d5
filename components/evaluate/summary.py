"""The summary: the figures in short, as Markdown, which Kubeflow shows with tables and without inline HTML."""

from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.shared.text import SPLIT_NAMES, percent, plain, tiles


def render_summary(evaluation: Evaluation) -> str:
    """Write the summary.

    Args:
        evaluation: what there is to say.

    Returns:
        Markdown with tables; names from outside are inert text in it.
    """
    scores, names = evaluation.headline, evaluation.manifest.class_names
    split = SPLIT_NAMES[evaluation.headline_split]
    lines = [
        f"# {plain(evaluation.manifest.name)}",
        "",
        f"Right on {scores.correct:,} of {tiles(scores.tiles)} of the {split} split: **{percent(scores.accuracy)}**.",
        *(["", evaluation.remark] if evaluation.remark else []),
        "",
        *_splits(evaluation),
        "",
        f"## Classes of the {split} split, weakest first",
        "",
        "| Class | Tiles | Precision | Recall | F1 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for i in evaluation.weakest_first():
        figures = " | ".join(percent(figure[i]) for figure in (scores.precision, scores.recall, scores.f1))
        lines.append(f"| {plain(names[i])} | {scores.support[i]:,} | {figures} |")
    if evaluation.confusions:
        lines += ["", "## Most frequent mistakes", "", "| True class | Taken for | Tiles | Of the class |"]
        lines.append("| --- | --- | ---: | ---: |")
        lines += [
            f"| {plain(names[one.label])} | {plain(names[one.predicted])} | {one.tiles:,} | {percent(one.share)} |"
            for one in evaluation.confusions
        ]
    return "\n".join(lines) + "\n"


def _splits(evaluation: Evaluation) -> list[str]:
    lines = [
        "| Split | Tiles | Accuracy | Balanced accuracy | Precision | Recall | F1 | Loss |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shares = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
    for split, scores in evaluation.scores.items():
        scalars = scores.scalars()
        figures = " | ".join(percent(scalars[name]) for name in shares)
        lines.append(f"| {SPLIT_NAMES[split]} | {scores.tiles:,} | {figures} | {scores.loss:.4f} |")
    return lines
