import errno
import os

import pytest

from tilepipe.components.shared.errors import full_disk


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x"), "/data/x"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "[Errno 122] Disk quota exceeded"),
        (RuntimeError("file x; No space left on device\nmore"), "file x; No space left on device"),
    ],
)
def test_a_full_disk(error, shown):
    assert str(full_disk(error)) == (f"The disk is full: {shown}. Free space there, or give the step a larger volume.")


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), ValueError("x"), FileNotFoundError()])
def test_another_problem(error):
    assert full_disk(error) is None
