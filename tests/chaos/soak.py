"""Two processes that work for an hour while servers fail now and then, and what they hold meanwhile: `make soak`.

One trains without end, with checkpoints in MinIO and a record in MLflow. The other one ingests and packs over and over
in one process, as no pod does, so that a leak of each cycle adds up.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.ground import SETTINGS, Ground, prepared
from tests.chaos.servers import mlflow_address
from tests.chaos.steps import _CONTEXT, Run, _child, digests, execute
from tests.support.faulty_proxy import FaultyProxy

OUT = Path(__file__).resolve().parents[2] / "build" / "soak.json"
EVERY_SECONDS = 10
MOST_MORE = 2
"""Connections, threads or files by which the last quarter may exceed the second one: a request more is no leak."""
MOST_MEMORY = 1.05
"""Ratio of memory in the last quarter to that in the second one."""
ENDLESS = 1_000_000


@dataclass(frozen=True)
class Sample:
    """What a process holds at one time."""

    seconds: float
    done: int
    """Epochs or cycles so far."""
    connections: int
    threads: int
    files: int
    """Open file descriptors, those of connections among them."""
    mebibytes: float
    """Anonymous memory."""


def sample(process: int, seconds: float, done: int) -> Sample:
    """Read what a process holds from Linux' /proc."""
    root = Path("/proc") / str(process)
    links = []
    for entry in (root / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(entry.readlink()))
    status = dict(line.split(":", 1) for line in (root / "status").read_text().splitlines())
    memory = int(status["RssAnon"].split()[0]) / 1024
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(round(seconds, 1), done, sockets, int(status["Threads"]), len(links), round(memory, 1))


def leaks(samples: Sequence[Sample]) -> list[str]:
    """Compare the medians of the last quarter with those of the second: the first one fills caches and pools."""
    quarter = len(samples) // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for name in ("connections", "threads", "files", "mebibytes"):
        first, last = (statistics.median(getattr(one, name) for one in part) for part in (before, after))
        if last > (first * MOST_MEMORY if name == "mebibytes" else first + MOST_MORE):
            found.append(f"{name}: {first:g} before, {last:g} after")
    return found


def table(name: str, samples: Sequence[Sample], lines: int = 8) -> str:
    """Format some of the samples, spread over the time."""
    fields = ("minutes", "done", "connections", "threads", "files", "mebibytes")
    text = [f"{name:<10}" + "".join(f"{field:>13}" for field in fields)]
    for place in sorted({round(number * (len(samples) - 1) / (lines - 1)) for number in range(lines)}):
        one = samples[place]
        values = (f"{one.seconds / 60:.1f}", *(f"{getattr(one, field):g}" for field in fields[1:]))
        text.append(" " * 10 + "".join(f"{value:>13}" for value in values))
    return "\n".join(text)


def write(found: Mapping[str, Sequence[Sample]]) -> None:
    """Write the samples to build/soak.json."""
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({name: [asdict(one) for one in samples] for name, samples in found.items()}) + "\n")


def _pack_again_and_again(folder: Path, environment: Mapping[str, str], reference: Mapping[str, Any]) -> None:
    """Ingest and pack until terminated, and count the ends in `counts.json`."""
    from tests.chaos.steps import _STEPS
    from tilepipe.components.shared.errors import TilepipeError

    os.environ.update(environment)
    counts = {"same": 0, "error": 0, "wrong": 0}
    settings = {**SETTINGS, "pack": {"options": {"readers": 4, "cache": "s3://chaos/soak-cache"}}}
    while True:
        try:
            for step in ("ingest", "pack", "merge"):
                _STEPS[step](Run(step, folder, settings[step]), folder, folder)
            is_same = all(digests(folder, step) == reference[step] for step in ("ingest", "pack", "merge"))
            counts["same" if is_same else "wrong"] += 1
        except TilepipeError:
            counts["error"] += 1
        partial = folder / "counts.partial"
        partial.write_text(json.dumps(counts))
        partial.replace(folder / "counts.json")


def _training(ground: Ground, store: str, tracking: str) -> Run:
    """Return a training without end, whose epochs take about a second."""
    base, folder = ground.scratch("soak-base"), ground.scratch("soak-train")
    options = {"options": {"filters": [16, 32], "dropout": 0.0, "input_size_pixels": 64}}
    ended = execute(Run("prepare", base, {**SETTINGS["prepare"], **options}, inputs=ground.reference))
    if ended.code != 0:
        raise RuntimeError(f"prepare must succeed. Received: {ended.log[-2000:]}")
    for name in ("train", "val", "manifest.json"):
        (base / name).symlink_to(ground.reference / name)
    settings = {**SETTINGS["train"], "epochs": ENDLESS, "checkpoint_uri": "s3://chaos/soak", "experiment": "soak"}
    environment = {**ground.environment(store), "MLFLOW_TRACKING_URI": tracking}
    return Run("train", folder, settings, environment, inputs=base)


def _epochs(log: Path) -> int:
    text = log.read_text(errors="replace") if log.exists() else ""
    return text.count("val_loss")


def soak(ground: Ground, seconds: float) -> dict[str, list[Sample]]:
    """Run both processes for a time and sample them.

    Raises:
        RuntimeError: a process ended, or packed something else.
    """
    limits = {"share": 0.02, "seed": 7}
    found: dict[str, list[Sample]] = {"train": [], "pack": []}
    with (
        FaultyProxy(ground.server.endpoint, "reset", **limits) as store,
        FaultyProxy(ground.server.endpoint, "slowdown", **limits) as other,
        FaultyProxy(mlflow_address(ground), "reset", **limits) as tracking,
    ):
        folder, log = ground.scratch("soak-pack"), ground.folder / "soak-train.log"
        arguments = (folder, ground.environment(other.address), ground.digests)
        processes = {
            "train": _CONTEXT.Process(
                target=_child, args=(_training(ground, store.address, tracking.address), str(log)), daemon=True
            ),
            "pack": _CONTEXT.Process(target=_pack_again_and_again, args=arguments, daemon=True),
        }
        for process in processes.values():
            process.start()
        began, counts = time.monotonic(), {"same": 0, "error": 0, "wrong": 0}
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(min(EVERY_SECONDS, seconds / 40))
            if (folder / "counts.json").exists():
                counts = json.loads((folder / "counts.json").read_text())
            if counts["wrong"] or not all(process.is_alive() for process in processes.values()):
                raise RuntimeError(f"both must work to the end. Received: {counts}, {log.read_text()[-2000:]}")
            done = {"train": _epochs(log), "pack": sum(counts.values())}
            for name, process in processes.items():
                found[name].append(sample(process.pid, passed, done[name]))
            write(found)
        for process in processes.values():
            process.terminate()
            process.join(30)
            process.kill()
        faults = sum(proxy.counts["faults"] for proxy in (store, other, tracking))
        print(f"{faults} faults; packed {counts['same']} times the same, {counts['error']} clear errors", flush=True)
    return found


def main() -> int:
    """Soak for SOAK_SECONDS; returns 1 if something leaks."""
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, prepared(Path(folder)) as ground:
        found = soak(ground, seconds)
    leaking = {name: leaks(samples) for name, samples in found.items()}
    for name, samples in found.items():
        print(table(name, samples), *(f"leak: {each}" for each in leaking[name]), sep="\n")
    return int(any(leaking.values()))


if __name__ == "__main__":
    sys.exit(main())
