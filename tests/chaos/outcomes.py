"""Outcomes of injected faults, and the table of them."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.steps import Ended, digests

SAME, ERROR, WRONG, LOST, HANG = "same result", "one clear error", "wrong", "lost", "hang"
OUTCOMES = (SAME, ERROR, WRONG, LOST, HANG)
"""The last three must not occur: another result without an error; half-written outputs, a traceback or an error that
names no cause; no end within the time limit."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one injected fault."""

    fault: str
    number: int
    outcome: str
    seconds: float
    detail: str = ""
    faults: int = 1
    """Number of times the fault was injected."""


def judge(
    ended: Ended, folder: Path, step: str, reference: Mapping[str, str], *, was_killed: bool = False
) -> tuple[str, str]:
    """Judge the end of a step by its exit code, log and outputs.

    Args:
        ended: its end.
        folder: folder of its outputs.
        step: its name.
        reference: digests of the outputs of an undisturbed run.
        was_killed: True if the step was sent a signal: it then needs no error.

    Returns:
        One of `OUTCOMES`, and what is wrong.
    """
    found = digests(folder, step)
    half = sorted(name for name, digest in found.items() if reference.get(name) != digest)
    if ended.code is None:
        return HANG, ended.log[-300:]
    if ended.code == 0:
        missing = sorted(set(reference) - set(found))
        return (WRONG, f"another result: {half or missing}") if found != reference else (SAME, "")
    if half:
        return LOST, f"half-written: {half}"
    if was_killed:
        return SAME, ""
    if ended.is_one_clear_error:
        return ERROR, ended.errors[0].partition(": ")[2][:300]
    return LOST, f"exit code {ended.code} without one clear error: {ended.log[-600:]}"


def read(path: Path, revision: str) -> dict[tuple[str, int], Outcome]:
    """Read the outcomes of an interrupted run of the same code and seed; empty if there is none."""
    content = json.loads(path.read_text()) if path.exists() else {}
    if content.get("revision") != revision:
        return {}
    return {(entry["fault"], entry["number"]): Outcome(**entry) for entry in content["outcomes"]}


def write(path: Path, revision: str, outcomes: Mapping[tuple[str, int], Outcome]) -> None:
    """Write the outcomes, so that an interrupted run can be resumed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"revision": revision, "outcomes": [asdict(outcome) for outcome in outcomes.values()]}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def table(outcomes: Mapping[tuple[str, int], Outcome]) -> str:
    """Format the table: a line per fault, with the number of each outcome."""
    lines = [f"{'fault':<18}{'injected':>9}" + "".join(f"{name:>17}" for name in OUTCOMES) + f"{'seconds':>9}"]
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes.values()):
        of = [outcome for outcome in outcomes.values() if outcome.fault == fault]
        counts = Counter(outcome.outcome for outcome in of)
        lines.append(
            f"{fault:<18}{sum(outcome.faults for outcome in of):>9,}"
            + "".join(f"{counts[name]:>17,}" for name in OUTCOMES)
            + f"{sum(outcome.seconds for outcome in of):>9.0f}"
        )
    return "\n".join(lines)


def bad(outcomes: Mapping[tuple[str, int], Outcome]) -> list[Outcome]:
    """Return the outcomes that must not occur."""
    return [outcome for outcome in outcomes.values() if outcome.outcome in (WRONG, LOST, HANG)]
