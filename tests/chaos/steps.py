"""The steps under test, each in a process of its own that is forked from one with the libraries already imported."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.chaos import later_steps

LIMIT_SECONDS = float(os.environ.get("CHAOS_LIMIT_SECONDS", "300"))
"""A step that has not ended after this time hangs."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.chaos.preload"])
_LIBFAKETIME = "*/faketime/libfaketimeMT.so.1"
"""Library of Debian's package libfaketime, below /usr/lib."""


@dataclass(frozen=True)
class Run:
    """One run of a step.

    Args:
        step: a key of `OUTPUTS`.
        folder: folder of all outputs of all steps.
        settings: parameters of the step.
        environment: environment variables.
        inputs: folder with the outputs of earlier steps. Defaults to `folder`.
        clock: file with the offset of the step's clock, such as `+20m`, which may change while the step runs. Defaults
            to None, the clock of the machine.
    """

    step: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Path | None = None
    clock: Path | None = None
    file_bytes: int = 0
    """Limit on the size of a written file (RLIMIT_FSIZE); 0 is none."""


@dataclass(frozen=True)
class Ended:
    """End of a run."""

    code: int | None
    """Exit code, negative for a signal; None if it hung and was killed."""
    log: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        """The error lines of the log."""
        return [line for line in self.log.splitlines() if " ERROR tilepipe." in line]

    @property
    def is_one_clear_error(self) -> bool:
        """True if the step ended with exit code 2, one message, and no traceback."""
        return self.code == 2 and len(self.errors) == 1 and "Traceback" not in self.log


def start(run: Run) -> tuple[Any, Path]:
    """Start a run; returns its process and the path of its log."""
    run.folder.mkdir(parents=True, exist_ok=True)
    log = run.folder.parent / f"{run.folder.name}-{run.step}-{time.monotonic_ns()}.log"
    process: Any
    if run.clock is None:
        process = _CONTEXT.Process(target=_child, args=(run, str(log)), daemon=run.step != "tune")  # tune has children
        process.start()
    else:
        process = multiprocessing.get_context("spawn").Process(target=_child, args=(run, str(log)), daemon=True)
        with patch.dict(os.environ, _clock_variables(run.clock)):  # read when a program starts
            process.start()
    return process, log


def can_skew_clocks() -> bool:
    """Return whether the library that runs programs with another clock is installed."""
    return any(Path("/usr/lib").glob(_LIBFAKETIME))


def _clock_variables(file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob(_LIBFAKETIME))),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nothing changes that clock on a real machine either
    }


def wait(process: Any, log: Path, began: float, limit: float = LIMIT_SECONDS) -> Ended:
    """Wait for the end of a run; one that takes too long is killed."""
    process.join(limit)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join(30)
    text = log.read_text(errors="replace") if log.exists() else ""
    return Ended(code, text, time.monotonic() - began)


def execute(run: Run, disturb: Callable[[Any], None] | None = None) -> Ended:
    """Run a step to its end.

    Args:
        run: the run.
        disturb: function of the running process that injects a fault.
    """
    began = time.monotonic()
    process, log = start(run)
    if disturb:
        disturb(process)
    return wait(process, log, began)


def signal_after(seconds: float, number: int) -> Callable[[Any], None]:
    """Return a function that sends a signal to a process after a time, if it still runs."""

    def disturb(process: Any) -> None:
        process.join(seconds)
        if process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(process.pid, number)

    return disturb


def digests(folder: Path, step: str) -> dict[str, str]:
    """Return the SHA-256 of each output of a step that must not depend on faults; absent files are left out."""
    found: dict[str, str] = {}
    for pattern in OUTPUTS.get(step, ()):
        for path in sorted(folder.glob(pattern)):
            if step in later_steps.OUTPUTS and path.suffix != ".keras":
                found[str(path.relative_to(folder))] = hashlib.sha256(_stable(path)).hexdigest()
                continue
            content = path.read_bytes()
            if path.name == "history.json":
                content = json.dumps(_timeless(json.loads(content)), sort_keys=True).encode()
            if path.suffix == ".keras":
                content = _weights(path)
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


OUTPUTS = {
    "ingest": ("tiles.parquet", "label_map.json"),
    "pack": ("train/*", "val/*", "test/*", "part.json", "contents.parquet", "quarantine.parquet"),
    "merge": ("manifest.json", "all_quarantine.parquet"),
    "prepare": ("base.keras",),
    "train": ("model.keras", "history.json"),
    **later_steps.OUTPUTS,
}
CLOCK = ("seconds", "tiles_per_second")


def _stable(path: Path) -> bytes:
    try:
        return later_steps.stable(path)
    except Exception as error:
        return f"damaged: {error!r}".encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items() if name not in CLOCK and "time" not in name}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _weights(path: Path) -> bytes:
    """Return the values of the weights of a Keras file: its bytes hold the time of writing."""
    import io
    import zipfile

    import h5py

    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        values: list[bytes] = []
        file.visititems(
            lambda name, item: values.append(name.encode() + item[()].tobytes()) if hasattr(item, "shape") else None
        )
    return b"".join(values)


def _child(run: Run, log: str) -> None:
    """Run a step as its pod does, with its log in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(run.environment)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tempfile.tempdir = None  # TMPDIR may be another now
    if run.file_bytes:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (run.file_bytes, run.file_bytes))
    from tilepipe.components.shared.runtime.step import step

    try:
        with step(run.step):
            from tests.chaos import registry

            calls = later_steps.CALLS | registry.CALLS
            if run.step in calls:
                calls[run.step](run.settings, run.folder, run.inputs or run.folder)
            else:
                _STEPS[run.step](run, run.folder, run.inputs or run.folder)
    except SystemExit as error:
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)


def _ingest(run: Run, out: Path, _: Path) -> None:
    from tilepipe.components.ingest.config import IngestConfig
    from tilepipe.components.ingest.ingest import IngestOutputs, ingest
    from tilepipe.components.ingest.sources.stac import api

    api.PAGE_ITEMS = int(os.environ.get("CHAOS_PAGE_ITEMS", api.PAGE_ITEMS))  # pages of a small catalog
    names = ("tiles.parquet", "label_map.json", "report.html", "summary.md")
    ingest(IngestConfig.parse(**run.settings), IngestOutputs(*(out / name for name in names)))


def _pack(run: Run, out: Path, inputs: Path) -> None:
    from tilepipe.components.pack.config import PackConfig
    from tilepipe.components.pack.pack import PackOutputs, pack

    shards = {split: out / split for split in ("train", "val", "test")}
    files = (out / name for name in ("part.json", "contents.parquet", "quarantine.parquet"))
    pack(PackConfig.parse(**run.settings), inputs / "tiles.parquet", PackOutputs(shards, *files))


def _merge(_: Run, out: Path, inputs: Path) -> None:
    from tilepipe.components.pack.merge import MergeInputs, merge

    parts = ([inputs / name] for name in ("part.json", "contents.parquet", "quarantine.parquet"))
    merge(MergeInputs(*parts), out / "manifest.json", out / "all_quarantine.parquet")


def _prepare(run: Run, out: Path, inputs: Path) -> None:
    from tilepipe.components.prepare.config import PrepareConfig
    from tilepipe.components.prepare.prepare import prepare

    prepare(PrepareConfig.parse(**run.settings), inputs / "manifest.json", out / "base.keras", out / "base.md")


def _train(run: Run, out: Path, inputs: Path) -> None:
    from tilepipe.components.train.config import TrainConfig
    from tilepipe.components.train.train import Inputs, Outputs, train

    read = Inputs((inputs / "train",), (inputs / "val",), inputs / "manifest.json", inputs / "base.keras")
    train(
        TrainConfig.parse(**run.settings), read, Outputs(out / "model.keras", out / "history.json", out / "curves.html")
    )


_STEPS = {"ingest": _ingest, "pack": _pack, "merge": _merge, "prepare": _prepare, "train": _train}
