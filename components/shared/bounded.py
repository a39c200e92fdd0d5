"""Many pieces of work in flight, in bounded memory, with the results in order."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    window: int | None = None,
    at_once: int = 1,
) -> Iterator[Result]:
    """Apply `work` to each item on threads and yield the results in the items' order.

    Unlike `Executor.map`, which takes all items at once, this never holds more than `window` results or open pieces of
    work (or `at_once`, if that is more): memory does not grow with the number of items.

    Args:
        work: called on the threads.
        items: consumed as there is room.
        threads: how many run at once.
        window: how many items may be in flight or waiting to be taken; unless given, four times what the threads take.
        at_once: how many items a thread takes at a time; to hand over each for itself costs more where `work` is short.

    Yields:
        One result an item; the first error that `work` raises ends it.
    """
    room = max(1, (window or 4 * threads * at_once) // at_once)
    waiting = iter(items)
    pending: deque[Future[list[Result]]] = deque()

    def work_on(some: Sequence[Item]) -> list[Result]:
        return [work(item) for item in some]

    with ThreadPoolExecutor(threads, thread_name_prefix="tilepipe") as pool:
        try:
            while some := list(itertools.islice(waiting, at_once)):
                if len(pending) >= room:
                    yield from pending.popleft().result()
                pending.append(pool.submit(work_on, some))
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
