"""Log the progress of long tasks every few seconds, with rate and remaining time."""

import logging
import math
import time
from collections.abc import Callable


class Progress:
    """Counter of finished units that logs the progress.

    Args:
        logger: logger of the step.
        verb: the action, in the past tense, such as `packed`.
        total: total number of units, or None if unknown.
        unit: name of the counted units, in the plural, such as `tiles`.
        interval_seconds: shortest time between two lines. Defaults to 5.
        already: number of units finished earlier, not counted in the rate. Defaults to 0.
        seconds_left: returns the time left for the finished units and the rate, if these units are not all that is
            left to do. Defaults to that of the other units at this rate.
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
        seconds_left: Callable[[int, float], float] | None = None,
    ) -> None:
        self._logger, self._verb, self._total, self._unit = logger, verb, total, unit
        self._interval_seconds, self._seconds_left = interval_seconds, seconds_left
        self._started = self._last_line = time.monotonic()
        self.done = self._already = already
        self.left_out = 0

    def advance(self, units: int = 1, *, left_out: int = 0) -> None:
        """Count more finished units, some left out as unusable, and log a line if the interval has passed."""
        self.done += units
        self.left_out += left_out
        now = time.monotonic()
        if now - self._last_line >= self._interval_seconds:
            self._last_line = now
            self._logger.info("%s", self.line(now))

    def finish(self) -> None:
        """Log the final line, regardless of the interval."""
        self._logger.info("%s", self.line(time.monotonic()))

    def rate(self, now: float) -> float:
        """Return the units per second up to the monotonic time `now`, without those finished earlier."""
        return (self.done - self._already) / max(now - self._started, 1e-9)

    def line(self, now: float) -> str:
        """Return the progress at the monotonic time `now` as readable text."""
        rate = self.rate(now)
        used = self.done - self.left_out
        text = f"{self._verb} {used:,} {self._unit}"
        if self._total:
            percent = 100 * used / self._total
            if self.left_out:
                percent = math.floor(percent)  # 100 % means that nothing was left out
            text = f"{self._verb} {used:,} of {self._total:,} {self._unit} ({percent:.0f} %)"
        if self.left_out:
            text += f", {self.left_out:,} left out"
        text += f", {rate:,.0f} per second"
        if self._total and self.done < self._total and rate:
            left = self._seconds_left(self.done, rate) if self._seconds_left else (self._total - self.done) / rate
            text += f", {left:,.0f} s left"
        return text
