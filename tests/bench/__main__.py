"""`make bench`: speed, memory and start-up, each compared with an alternative for users or with a limit.

PARTS="pack training", or the same as arguments, measures only some parts.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench import (
    evaluation,
    export,
    frameworks,
    ingest,
    pack,
    reading,
    scenes,
    start,
    sweep,
    tile_predictions,
    training,
    whole_run,
)
from tests.support.measure import Figure, report

_PARTS = {
    part.__name__.rpartition(".")[2]: part
    for part in (
        start,
        whole_run,
        pack,
        reading,
        ingest,
        training,
        frameworks,
        evaluation,
        export,
        sweep,
        scenes,
        tile_predictions,
    )
}


def main(names: list[str]) -> int:
    """Measure some parts, or all; returns the exit code."""
    if unknown := set(names) - set(_PARTS):
        print(f"PARTS must be of {', '.join(_PARTS)}. Received: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    try:
        for name in names or _PARTS:
            with tempfile.TemporaryDirectory() as folder:
                figures += _PARTS[name].measure(Path(folder))
    finally:  # what was measured is reported, even if a later part fails
        if figures:
            missed = report("bench", figures)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
