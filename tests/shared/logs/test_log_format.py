import logging
import re
import subprocess
import sys

import pytest

from tilepipe.components.shared.logs.log_format import EscapingFormatter, escape_controls


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Forêt/tile 1.tif", "Forêt/tile 1.tif"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u2028b\u202ec", r"a\u2028b\u202ec"),
    ],
)
def test_controls_are_escaped(text, escaped):
    assert escape_controls(text) == escaped


def test_a_message_cannot_look_like_another_record():
    record = logging.LogRecord("tilepipe.pack", logging.ERROR, "", 0, "tile %s", ("x\n2026 INFO forged",), None)
    lines = EscapingFormatter("%(levelname)s %(message)s").format(record).split("\n")
    assert lines == ["ERROR tile x", "    2026 INFO forged"]


def test_a_step_logs_and_leaves_its_reason_escaped(tmp_path):
    note = tmp_path / "termination-log"
    note.touch()
    code = """
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.step import step
with step("ingest"):
    raise SourceError("A tile must be readable. Received: a\\x1b[2J\\r\\n2026-01-01 INFO tilepipe.ingest: forged")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TILEPIPE_TERMINATION_LOG": str(note), "PATH": ""},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert rb"\x1b[2J\r" in done.stderr
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]", done.stderr + note.read_bytes())
    assert [line for line in done.stderr.splitlines() if line.startswith(b"2026-01-01 INFO")] == []
