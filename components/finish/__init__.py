"""Close the run's books, however it ended."""

from tilepipe.components.finish.component import finish_run

__all__ = ["finish_run"]
