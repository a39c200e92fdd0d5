"""Break tilepipe on purpose and check that it holds: `make chaos`."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from fnmatch import fnmatch
from pathlib import Path

from tests.chaos import cuts, faults, outcomes, registry, servers  # noqa: F401 - they register their faults
from tests.chaos.ground import prepared
from tests.chaos.outcomes import Outcome

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "chaos.json"


def main() -> int:
    """Inject the selected faults; returns 1 if one had an outcome that must not occur."""
    times, seed = int(os.environ.get("CHAOS_TIMES", "3")), int(os.environ.get("CHAOS_SEED", "0"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    wanted = sys.argv[1:] or ["*"]
    selected = [name for name in faults.FAULTS if any(fnmatch(name, pattern) for pattern in wanted)]
    if not selected:
        print(f"no fault {' '.join(wanted)}; there are {' '.join(faults.FAULTS)}", file=sys.stderr)
        return 2
    revision = f"{_revision()} seed {seed}"
    found = outcomes.read(OUT, revision)
    waiting = [(name, number) for name in selected for number in range(times) if (name, number) not in found]
    if waiting:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            os.environ["TMPDIR"] = folder  # where killed processes leave their files
            with prepared(Path(folder)) as ground:
                for name, number in waiting:
                    found[name, number] = _inject(ground, name, number, seed)
                    outcomes.write(OUT, revision, found)
    shown = {key: outcome for key, outcome in found.items() if key[0] in selected and key[1] < times}
    print(outcomes.table(shown))
    return bool(outcomes.bad(shown))


def _inject(ground: object, name: str, number: int, seed: int) -> Outcome:
    draws = random.Random(zlib.crc32(f"{seed}:{name}:{number}".encode()))
    began = time.monotonic()
    try:
        outcome, detail, count = faults.FAULTS[name](ground, number, draws)
    except Exception:  # the fault itself is broken, which must not hide the other outcomes
        outcome, detail, count = outcomes.LOST, traceback.format_exc(limit=-3), 0
    seconds = time.monotonic() - began
    print(f"{name} {number}: {outcome} ({seconds:.0f} s) {detail[:600]}", flush=True)
    return Outcome(name, number, outcome, round(seconds, 1), detail, count)


def _revision() -> str:
    """Return the commit and a checksum of uncommitted changes: outcomes of other code are not resumed."""
    commands = (["git", "rev-parse", "--short", "HEAD"], ["git", "diff", "HEAD", "--", "components", "pipelines"])
    head, changes = (subprocess.run(each, cwd=ROOT, capture_output=True, check=False).stdout for each in commands)
    return f"{head.decode().strip()}+{zlib.crc32(changes):08x}"


if __name__ == "__main__":
    sys.exit(main())
