"""Credentials planted in every place that a step takes them from, and looked for wherever a step writes."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingest.conftest import make_item
from tests.support.canaries import CANARY, planted
from tests.support.loopback_server import LoopbackServer, QuietFileHandler

ROOT = Path(__file__).parents[2]

STEP = """
import sys
from pathlib import Path
from tilepipe.components.shared.tracking import tracking
from tilepipe.components.shared.runtime.step import step
from tests.support.ingesting import ingest_into
what, source, out = sys.argv[1:]
with step("ingest"):
    if what == "ingest":
        ingest_into(Path(out), source=source, source_bands=("one",))
    elif what == "track":
        tracking.open_run("experiment", "run", {})
    else:
        import os
        raise RuntimeError(f"GET {os.environ['MLFLOW_TRACKING_URI']} signed {os.environ['AWS_SECRET_ACCESS_KEY']}")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of a web server with a catalog whose assets have signed addresses, and with a damaged one."""
    folder = tmp_path_factory.mktemp("site")
    items = [make_item(("Forest", "River")[number % 2], number) for number in range(12)]
    for number, item in enumerate(items):
        item["assets"]["image"]["href"] = f"{number}.tif"
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (folder / "damaged.json").write_text("{")
    with LoopbackServer(functools.partial(QuietFileHandler, directory=str(folder))) as server:
        yield server.url


@pytest.mark.parametrize(
    ("what", "source", "code"),
    [
        ("ingest", f"SITE/items.json?X-Amz-Signature={CANARY}", 0),
        ("ingest", f"SITE/damaged.json?X-Amz-Signature={CANARY}", 2),
        ("ingest", f"SITE/none.json?sig={CANARY}", 2),
        ("ingest", f"SITE/?token={CANARY}", 2),
        ("ingest", f"http://user:{CANARY}@127.0.0.1:9/items.json", 2),
        ("ingest", f"s3://user:{CANARY}@bucket/tiles", 2),
        ("track", "", 2),
        ("bug", "", 1),
    ],
)
def test_no_credential_leaves_a_step(site, tmp_path, what, source, code):
    note, out = tmp_path / "note", tmp_path / "out"
    note.touch()
    out.mkdir()
    environment = {
        **os.environ,
        **planted(),
        "MLFLOW_TRACKING_URI": f"http://user:{CANARY}@127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "TILEPIPE_TERMINATION_LOG": str(note),
    }
    command = [sys.executable, "-W", "ignore", "-c", STEP, what, source.replace("SITE", site), str(out)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    log = done.stdout + done.stderr
    assert done.returncode == code, log
    assert CANARY not in log
    assert ("ERROR" in log or "Traceback" in log) == bool(code)
    assert bool(note.read_text()) == bool(code)
    written = [note, *(path for path in out.rglob("*") if path.is_file())]
    assert [path.name for path in written if CANARY.encode() in path.read_bytes()] == []
