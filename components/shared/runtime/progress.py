"""Log the progress of long tasks every few seconds, with rate and remaining time."""

import logging
import time


class Progress:
    """Counter of finished units that logs the progress.

    Args:
        logger: logger of the step.
        verb: the action, in the past tense, such as `packed`.
        total: total number of units, or None if unknown.
        unit: name of the counted units, in the plural, such as `tiles`.
        interval_seconds: shortest time between two lines. Defaults to 5.
        already: number of units finished earlier, not counted in the rate. Defaults to 0.
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
        """Count more finished units, and log a line if the interval has passed."""
        self.done += units
        now = time.monotonic()
        if now - self._last_line >= self._interval_seconds:
            self._last_line = now
            self._logger.info("%s", self.line(now))

    def finish(self) -> None:
        """Log the final line, regardless of the interval."""
        self._logger.info("%s", self.line(time.monotonic()))

    def line(self, now: float) -> str:
        """Return the progress at the monotonic time `now` as readable text."""
        rate = (self.done - self._already) / max(now - self._started, 1e-9)
        parts = f"{self._verb} {self.done:,} {self._unit}, {rate:,.0f} per second"
        if self._total:
            left_seconds = (self._total - self.done) / rate if rate else float("inf")
            percent = 100 * self.done / self._total
            parts = (
                f"{self._verb} {self.done:,} of {self._total:,} {self._unit} ({percent:.0f} %), {rate:,.0f} per second"
            )
            if self.done < self._total and left_seconds < float("inf"):
                parts += f", {left_seconds:.0f} s left"
        return parts
