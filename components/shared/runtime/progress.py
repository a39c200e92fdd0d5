"""Progress of long work, as log lines: one every few seconds, with rate and time left."""

import logging
import time


class Progress:
    """Counts finished units and logs how far the work is.

    Args:
        logger: where the lines go, a step's logger.
        verb: what is being done, in the past tense, such as `packed`.
        total: how many units there are, or None where nobody knows.
        unit: what is counted, in the plural, such as `tiles`.
        interval_seconds: the shortest time between two lines.
        already: how many units were finished before, in no time of this work.
    """

    def __init__(
        self,
        logger: logging.Logger,
        verb: str,
        total: int | None,
        unit: str,
        *,
        interval_seconds: float = 5.0,
        already: int = 0,
    ) -> None:
        self._logger, self._verb, self._total, self._unit = logger, verb, total, unit
        self._interval_seconds = interval_seconds
        self._started = self._last_line = time.monotonic()
        self.done = self._already = already

    def advance(self, units: int = 1) -> None:
        """Count `units` more as finished, and log a line if the last one is old enough."""
        self.done += units
        now = time.monotonic()
        if now - self._last_line >= self._interval_seconds:
            self._last_line = now
            self._logger.info("%s", self.line(now))

    def finish(self) -> None:
        """Log the last line, whenever the one before was."""
        self._logger.info("%s", self.line(time.monotonic()))

    def line(self, now: float) -> str:
        """The state at the monotonic time `now`, as a person reads it."""
        rate = (self.done - self._already) / max(now - self._started, 1e-9)
        parts = f"{self._verb} {self.done:,} {self._unit}, {rate:,.0f} a second"
        if self._total:
            left_seconds = (self._total - self.done) / rate if rate else float("inf")
            percent = 100 * self.done / self._total
            parts = (
                f"{self._verb} {self.done:,} of {self._total:,} {self._unit} ({percent:.0f} %), {rate:,.0f} a second"
            )
            if self.done < self._total and left_seconds < float("inf"):
                parts += f", {left_seconds:.0f} s left"
        return parts
