"""`make bench`: speed, memory and start-up, each against what a user would do instead or against the limit."""

import sys
import tempfile
from pathlib import Path

from tests.bench import ingest, pack, reading, start, training, whole_run
from tests.measure import report

if __name__ == "__main__":
    figures = []
    for part in (start, whole_run, pack, reading, ingest, training):
        with tempfile.TemporaryDirectory() as folder:
            figures += part.measure(Path(folder))
    sys.exit(1 if report("bench", figures) else 0)
