"""The ranking of the candidates, as JSON for programs and as Markdown for Kubeflow."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.pages.formatting import DASH, markdown_table, plain
from tilepipe.components.shared.storage.atomic import write_whole

_MOST_ROWS = 20  # in the summary


def parameter_names(outcomes: Sequence[Outcome]) -> list[str]:
    """List the parameters that the candidates have, in the order of the search space."""
    return list(
        dict.fromkeys(name for outcome in sorted(outcomes, key=lambda one: one.index) for name in outcome.parameters)
    )


def shown_value(value: Any) -> str:  # noqa: ANN401 - of any parameter
    """Format the value of a parameter briefly."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def value_text(outcome: Outcome, name: str) -> str:
    """Format the value that a candidate has for a parameter; `default` if the candidate does not set it."""
    return shown_value(outcome.parameters[name]) if name in outcome.parameters else "default"


def shown_metric(value: float) -> str:
    """Format the value of a metric; NaN gives a dash."""
    return DASH if math.isnan(value) else f"{value:.4f}"


def write_ranking(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write one JSON record per candidate, the best first."""
    records = [
        {
            "rank": rank,
            "candidate": outcome.name,
            "status": outcome.status,
            "reason": outcome.reason,
            outcome.metric: None if math.isnan(outcome.value) else outcome.value,
            "best_epoch": outcome.history.best_epoch if outcome.history else None,
            "epochs": len(outcome.history.epochs) if outcome.history else 0,
            "weights": outcome.weights,
            "seconds": round(outcome.seconds, 1),
            "mlflow_run_id": outcome.mlflow_run_id,
            "parameters": outcome.parameters,
        }
        for rank, outcome in enumerate(outcomes, start=1)
    ]
    write_whole(path, json.dumps(records, indent=2) + "\n")


def render_summary(outcomes: Sequence[Outcome]) -> str:
    """Render the first 20 of the ranked candidates as Markdown."""
    names, metric = parameter_names(outcomes), outcomes[0].metric
    rows = [
        [
            str(outcome.index),
            *(plain(shown_value(outcome.parameters[n])) if n in outcome.parameters else DASH for n in names),
            outcome.status,
            shown_metric(outcome.value),
        ]
        for outcome in outcomes[:_MOST_ROWS]
    ]
    head = ["candidate", *map(plain, names), "status", plain(metric)]
    lines = [f"Candidate {outcomes[0].index} is the best of {len(outcomes)} by {plain(metric)}.", ""]
    lines += markdown_table(head, rows, names=len(head) - 1)
    if len(outcomes) > _MOST_ROWS:
        lines += ["", f"{len(outcomes) - _MOST_ROWS} more are on the comparison page."]
    return "\n".join(lines) + "\n"
