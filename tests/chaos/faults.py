"""The faults: each is a function of the ground, its number and seeded draws that injects it once and judges the end."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.chaos.ground import SETTINGS, STEPS, Ground
from tests.chaos.outcomes import ERROR, HANG, LOST, SAME, WRONG, judge
from tests.chaos.steps import Ended, Run, can_skew_clocks, execute, signal_after, start, wait
from tests.support.faulty_proxy import FaultyProxy
from tests.support.minio_server import own_server
from tests.support.small_disk import mounted

Result = tuple[str, str, int]
"""Outcome, detail, and number of injected faults."""
Fault = Callable[[Ground, int, random.Random], Result]

_START_SECONDS = 8
"""Time in which a process that is not forked imports TensorFlow."""

KILLS = int(os.environ.get("CHAOS_KILLS", "5"))
"""Number of times that a step is killed before it may end; in three rounds, 34 give a hundred per step and signal."""

FAULTS: dict[str, Fault] = {}
"""Name -> fault; filled by the decorator `fault`."""


def fault(*names: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function, which takes the part of the name after the dot, under names such as `s3.reset`."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        for name in names:
            FAULTS[name] = lambda ground, number, draws, name=name: function(ground, number, draws, name)
        return function

    return register


def of_step(ground: Ground, step: str, out: Path, endpoint: str = "", **settings: object) -> Run:
    """Return the run of a step on the outputs of the undisturbed earlier steps."""
    given = {**SETTINGS.get(step, {}), **settings}
    return Run(step, out, given, ground.environment(endpoint), inputs=ground.reference)


def again(ground: Ground, run: Run, first: tuple[str, str]) -> tuple[str, str]:
    """Repeat a step undisturbed, which must give the undisturbed result; keeps a bad first outcome."""
    if first[0] in (WRONG, LOST, HANG):
        return first
    ended = execute(replace(run, environment=ground.environment(), file_bytes=0))
    outcome, detail = judge(ended, run.folder, run.step, ground.digests[run.step])
    return first if outcome == SAME else (WRONG, f"the rerun: {outcome}: {detail}")


@fault("s3.reset", "s3.slow", "s3.slowdown", "s3.error", "s3.truncate", "s3.flip")
def s3_answers(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """A share of MinIO's answers to ingest or pack is broken."""
    step = ("ingest", "pack")[number % 2]
    kind = name.partition(".")[2]
    share = draws.choice((0.05, 0.2, 0.5))
    with FaultyProxy(ground.server.endpoint, kind, share, draws.randrange(2**16), most=12) as proxy:
        run = of_step(ground, step, ground.scratch(f"{name}-{number}"), proxy.address)
        ended = execute(run)
        count = proxy.counts["faults"]
    return *again(ground, run, judge(ended, run.folder, step, ground.digests[step])), count


@fault("s3.early", "s3.checkpoint")
def s3_writes(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """Writes of checkpoints fail: refused before their body is read, or by a mixture of resets."""
    kind = "early" if name == "s3.early" else draws.choice(("reset", "slowdown", "truncate", "error"))
    with FaultyProxy(ground.server.endpoint, kind, 0.5, draws.randrange(2**16), most=8) as proxy:
        place = f"s3://chaos/{name}-{number}-{draws.randrange(2**32)}"
        run = of_step(ground, "train", ground.scratch(f"{name}-{number}"), proxy.address, checkpoint_uri=place)
        ended = execute(run)
        count = proxy.counts["faults"]
    return *again(ground, run, judge(ended, run.folder, "train", ground.digests["train"])), count


@fault("s3.down", "s3.silence")
def s3_unreachable(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """MinIO does not answer from some request on, until the end of the step."""
    step = ("ingest", "pack")[number % 2]
    kind = "reset" if name == "s3.down" else "silence"
    with FaultyProxy(ground.server.endpoint, kind, 1.0, after=draws.randrange(6)) as proxy:
        run = of_step(ground, step, ground.scratch(f"{name}-{number}"), proxy.address)
        ended = execute(run)
    return *again(ground, run, judge(ended, run.folder, step, ground.digests[step])), 1


@fault("s3.restart")
def s3_restart(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """MinIO is killed while pack reads, and started again after up to 3 seconds."""
    folder = ground.scratch(f"{name}-{number}-server")
    with own_server(folder) as first:
        bucket = first.make_bucket("chaos")
        for item in (ground.folder / "minio" / "data" / "chaos" / "tiles").iterdir():
            shutil.copytree(item, folder / "data" / "chaos" / "tiles" / item.name)
        del bucket
    port = int(first.endpoint.rpartition(":")[2])
    run = of_step(ground, "pack", ground.scratch(f"{name}-{number}"), first.endpoint, options={"readers": 1})
    began = time.monotonic()
    with FaultyProxy(first.endpoint, "slow", 1.0, most=0) as proxy:
        run = replace(run, environment=ground.environment(proxy.address))
        with own_server(folder, port):
            process, log = start(run)
            process.join(draws.uniform(0, ground.seconds["pack"]))
        time.sleep(draws.uniform(0, 3))
        with own_server(folder, port):
            ended = wait(process, log, began)
    return *again(ground, run, judge(ended, run.folder, "pack", ground.digests["pack"])), 1


@fault(*(f"{step}.{how}" for step in STEPS for how in ("kill", "term")))
def killed(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """A step is killed CHAOS_KILLS times at random points, each time on what the former left, and then ends."""
    step, _, how = name.partition(".")
    out = ground.scratch(f"{name}-{number}")
    more = {"checkpoint_uri": str(out.parent / f"{out.name}-checkpoints")} if step in {"train", "tune"} else {}
    shutil.rmtree(more.get("checkpoint_uri", "/nonexistent"), ignore_errors=True)
    run = of_step(ground, step, out, **more)
    sent = signal.SIGKILL if how == "kill" else signal.SIGTERM
    for _ in range(KILLS):
        ended = execute(run, signal_after(draws.uniform(0.02, 1.0) * ground.seconds[step], sent))
        found = judge(ended, out, step, ground.digests[step], was_killed=True)
        if found[0] != SAME:
            return *found, 1
    return *again(ground, run, found), KILLS


@fault(*(f"{step}.disk" for step in STEPS))
def full_disk(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """The disk is full at a random byte: a small tmpfs, or a limit on the size of files without the right to mount."""
    step = name.partition(".")[0]
    needed = sum((ground.reference / path).stat().st_size for path in ground.digests[step])
    out = ground.scratch(f"{name}-{number}")
    kibibytes = max(4, int(needed * draws.uniform(0.05, 1.0)) // 1024)
    run = of_step(ground, step, out)
    with mounted(out, kibibytes, lazy=True) as is_mounted:
        ended = execute(run if is_mounted else replace(run, file_bytes=kibibytes * 1024))
        found = judge(ended, out, step, ground.digests[step])
    return *again(ground, run, found), 1


@fault(*(f"{step}.temporary" for step in STEPS))
def full_temporary_disk(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """The disk of temporary files is full at a random byte, and that of the outputs is not."""
    step = name.partition(".")[0]
    needed = sum((ground.reference / path).stat().st_size for path in ground.digests[step])
    out = ground.scratch(f"{name}-{number}")
    temporary = ground.scratch(f"{name}-{number}-temporary")
    kibibytes = max(4, int(needed * draws.uniform(0.05, 1.5)) // 1024)
    run = of_step(ground, step, out)
    with mounted(temporary, kibibytes, lazy=True) as is_mounted:
        if not is_mounted:
            return SAME, "not injected: a small disk can be mounted by root only", 0
        ended = execute(replace(run, environment={**run.environment, "TMPDIR": str(temporary)}))
    return *again(ground, run, judge(ended, out, step, ground.digests[step])), 1


@fault("clock.s3", "clock.jump")
def wrong_clock(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """The clock differs from MinIO's, which refuses signatures from 15 minutes on, or is set while a training runs."""
    if not can_skew_clocks():
        return SAME, "not injected: Debian's package libfaketime is not installed", 0
    jumps = name == "clock.jump"
    step = "train" if jumps else ("ingest", "pack")[number % 2]
    out = ground.scratch(f"{name}-{number}")
    clock = out.parent / f"{out.name}-clock"
    offset = draws.choice(("+5m", "-5m", "+40m", "-40m", "+400d", "-400d"))
    clock.write_text("+0" if jumps else offset)
    more = {"checkpoint_uri": str(ground.scratch(f"{name}-{number}-checkpoints"))} if jumps else {}
    run = replace(of_step(ground, step, out, **more), clock=clock)
    process, log = start(run)
    if jumps:
        process.join(draws.uniform(0.3, 1.2) * ground.seconds["train"] + _START_SECONDS)
        clock.write_text(offset)
    outcome, detail = judge(wait(process, log, time.monotonic()), out, step, ground.digests[step])
    if (outcome != SAME) and (jumps or offset in ("+5m", "-5m")):
        outcome = LOST
    return *again(ground, replace(run, clock=None), (outcome, f"{offset}: {detail}" if detail else "")), 1


@fault("cache.two")
def two_caches(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """Two packs fill one cache at once, one of them is killed in some cases, and a third reads it."""
    place = draws.choice((f"s3://chaos/cache-{number}", str(ground.scratch(f"{name}-{number}-cache"))))
    folders = [ground.scratch(f"{name}-{number}-{each}") for each in range(3)]
    options = {"readers": 4, "cache": place}
    runs = [of_step(ground, "pack", folder, options=options) for folder in folders]
    return _two(ground, runs, draws)


@fault("checkpoint.two")
def two_trainings(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """Two equal trainings write checkpoints to one place at once, one is killed in some cases, and a third resumes."""
    place = draws.choice((f"s3://chaos/two-{number}", str(ground.scratch(f"{name}-{number}-place"))))
    folders = [ground.scratch(f"{name}-{number}-{each}") for each in range(3)]
    return _two(ground, [of_step(ground, "train", folder, checkpoint_uri=place) for folder in folders], draws)


def _two(ground: Ground, runs: list[Run], draws: random.Random) -> Result:
    began, step = time.monotonic(), runs[0].step
    processes = [start(run) for run in runs[:2]]
    is_killed = draws.random() < 0.5
    if is_killed:
        signal_after(draws.uniform(0.1, 1.0) * ground.seconds[step], signal.SIGKILL)(processes[0][0])
    ends: list[Ended] = [wait(process, log, began) for process, log in processes]
    ends.append(execute(runs[2]))
    results = [
        judge(ended, run.folder, step, ground.digests[step], was_killed=is_killed and place == 0)
        for place, (ended, run) in enumerate(zip(ends, runs, strict=True))
    ]
    worst = max(results, key=lambda result: (SAME, ERROR, WRONG, LOST, HANG).index(result[0]))
    return *worst, 1


@fault("checkpoint.damage")
def damaged_checkpoint(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """The checkpoints of a killed training are cut short or changed, or one is removed, before it resumes."""
    out, place = ground.scratch(f"{name}-{number}"), ground.scratch(f"{name}-{number}-checkpoints")
    run = of_step(ground, "train", out, checkpoint_uri=str(place))
    execute(run, signal_after(draws.uniform(0.5, 1.0) * ground.seconds["train"], signal.SIGKILL))
    files = sorted(path for path in place.rglob("*") if path.is_file())
    for path in draws.sample(files, min(len(files), draws.randint(1, 2))):
        damage(path, draws)
    ended = execute(run)
    return *judge(ended, out, "train", ground.digests["train"]), len(files)


@fault("tiles.damage", "shards.damage", "manifest.damage", "base.damage")
def damaged_inputs(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """An artifact is cut short or changed between two steps."""
    step, patterns = {
        "tiles": ("pack", ("tiles.parquet",)),
        "shards": ("train", ("train/*", "val/*")),
        "manifest": ("train", ("manifest.json",)),
        "base": ("train", ("base.keras",)),
    }[name.partition(".")[0]]
    inputs, out = ground.scratch(f"{name}-{number}-inputs"), ground.scratch(f"{name}-{number}")
    shutil.copytree(ground.reference, inputs, dirs_exist_ok=True)
    path = draws.choice(sorted(path for pattern in patterns for path in inputs.glob(pattern)))
    # Manifests and tile tables have no checksum: in them, a flipped bit may be another valid number.
    damage(path, draws, cuts_only=path.suffix in {".json", ".parquet"})
    ended = execute(replace(of_step(ground, step, out), inputs=inputs))
    outcome, detail = judge(ended, out, step, ground.digests[step])
    return outcome, f"{path.name}: {detail}" if detail else "", 1


def damage(path: Path, draws: random.Random, *, cuts_only: bool = False) -> None:
    """Cut a file short, or flip one to three of its bits."""
    content = bytearray(path.read_bytes())
    if not content or cuts_only or draws.random() < 0.5:
        path.write_bytes(content[: draws.randrange(max(1, len(content)))])
        return
    for _ in range(draws.randint(1, 3)):
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
    path.write_bytes(content)
