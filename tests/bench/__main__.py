"""`make bench`: speed, memory and start-up, each against what a user would do instead or against the limit."""

import sys
import tempfile
from pathlib import Path

from tests.bench import pack, start, whole_run
from tests.measure import report

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        figures = [figure for part in (start, whole_run, pack) for figure in part.measure(scratch)]
    sys.exit(1 if report("bench", figures) else 0)
