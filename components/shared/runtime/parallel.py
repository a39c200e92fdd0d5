"""Run work concurrently in bounded memory, with results in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, window: int | None = None
) -> Generator[Result, None, None]:
    """Apply `work` to each item on threads and yield the results in the items' order.

    Unlike `Executor.map`, which takes all items at once, this never holds more than `window` results or open pieces of
    work: memory does not grow with the number of items.

    Args:
        work: called on the threads.
        items: consumed as there is room.
        threads: how many run at once.
        window: how many items may be in flight or waiting to be taken; defaults to four per thread.

    Yields:
        One result per item; the first error that `work` raises ends it.
    """
    room = window or 4 * threads
    pending: deque[Future[Result]] = deque()
    has_failed = threading.Event()

    def run(item: Item) -> Result:
        if has_failed.is_set():  # an item before this one raises the error
            raise CancelledError
        try:
            return work(item)
        except BaseException:
            has_failed.set()
            raise

    with ThreadPoolExecutor(threads, thread_name_prefix="tilepipe") as pool:
        try:
            for item in items:
                if len(pending) >= room:
                    yield pending.popleft().result()
                pending.append(pool.submit(run, item))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
