"""Figures of `make bench` and `make accuracy`, printed as a table and written to `build/<target>.json`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Figure:
    """One measured figure; its name starts with its step: `<step>.<figure>`."""

    name: str
    value: float
    unit: str
    goal: str = ""
    holds: bool = True


def report(target: str, figures: Sequence[Figure]) -> int:
    """Print the figures, write them to a file, and return the number of missed goals."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        verdict = "" if not figure.goal else f"goal {figure.goal}: {'holds' if figure.holds else 'MISSED'}"
        print(f"{figure.name:<{width}}  {figure.value:>12,.3f} {figure.unit:<14} {verdict}")
    out = ROOT / "build" / f"{target}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n", encoding="utf-8")
    print(f"written to {out.relative_to(ROOT)}", file=sys.stderr)
    return sum(not figure.holds for figure in figures)
