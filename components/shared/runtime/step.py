"""Context in which every step runs: logging, one clear error message, the exit code, and a record of the failure."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from tilepipe.components.shared.errors import TilepipeError, full_disk
from tilepipe.components.shared.logs.log_format import LOG_FORMAT, EscapingFormatter
from tilepipe.components.shared.logs.redaction import redacted
from tilepipe.components.shared.tracking import tracking

USER_ERROR_EXIT_CODE = 2
"""Exit code after an error that the user can correct."""


@contextlib.contextmanager
def step(name: str) -> Iterator[logging.Logger]:
    """Run a step's body under the rules that all steps share.

    Log lines go to standard error as `<time> <level> tilepipe.<step>: <message>`: `kubectl logs`, Kubeflow's log tab
    and `tilepipe run` all show the same lines. A `TilepipeError` ends the process with exit code 2 and only its
    message; any other exception keeps its traceback. In both cases the reason is recorded in the MLflow run, if there
    is one, since KFP passes no error message to an exit handler.

    Raises:
        SystemExit: with code 2, after a `TilepipeError`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EscapingFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tilepipe").setLevel(logging.INFO)
    logger = logging.getLogger(f"tilepipe.{name}")
    sys.excepthook = _print_redacted
    tracking.take_settings()
    try:
        yield logger
    except TilepipeError as error:
        _stop(logger, name, error)
    except Exception as error:
        if full := full_disk(error):
            _stop(logger, name, full)
        tracking.record_failure(name, f"{type(error).__name__}: {error}")
        raise


def _print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without credentials, which messages of libraries may repeat."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _stop(logger: logging.Logger, name: str, error: TilepipeError) -> None:
    tracking.record_failure(name, str(error))
    logger.error("%s", error)
    raise SystemExit(USER_ERROR_EXIT_CODE) from None
