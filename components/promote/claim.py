"""Mutual exclusion of promotions of one registered model.

MLflow's registry has no compare-and-set: of two writers of an alias or a tag, the last one wins and neither notices. It
does give each tag of a model to whoever reads after it was written, so each promotion writes a tag of its own, its
claim, and then reads all claims of the model:

- If its own is the only one, it has the turn. Later claimants see this claim and do not get the turn.
- Otherwise the claim with the smallest token waits until the others are gone, and every other one is withdrawn.

Two promotions therefore never have the turn together, and of several that start together one always gets it. This holds
as long as a read sees every write that was answered before, as with one database behind the server, not with read
replicas that lag behind. It does not hold back people or programs that move the alias without a claim, such as MLflow's
web page. The claim of a process that died counts for `ABANDONED_SECONDS`. `Turn.check` stops a process that was
suspended for longer than `LONGEST_TURN_SECONDS` before it changes anything; clocks may differ by the time between the
two.
"""

import contextlib
import json
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.errors import PromotionError
from tilepipe.components.shared.registry.promotions import read_state
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

CLAIM = "tilepipe.claim."
"""Prefix of the tags of a registered model with the promotions under way, followed by a token."""

LONGEST_TURN_SECONDS = 120.0
ABANDONED_SECONDS = 600.0
WAIT_SECONDS = 60.0
"""Time after which a promotion that waits for another gives up."""

_INTERVAL_SECONDS = 0.2


@dataclass(frozen=True)
class Turn:
    """The right to move an alias."""

    name: str
    started: float
    """Seconds since 1970."""

    def check(self) -> None:
        """Check that the turn has not lasted so long that others may take it for abandoned.

        Raises:
            PromotionError: it has.
        """
        elapsed = time.time() - self.started
        if elapsed > LONGEST_TURN_SECONDS:
            raise PromotionError(
                f"A promotion must end within {LONGEST_TURN_SECONDS:.0f} seconds, after which another may begin. "
                f"Received: {elapsed:.0f} seconds, for {self.name}. Nothing was changed: try again."
            )


@contextlib.contextmanager
def claimed(client: "MlflowClient", name: str, who: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Turn]:
    """Wait for the turn to promote a version of a model.

    Args:
        client: client of the registry.
        name: name of the registered model, which must exist.
        who: author of the promotion, for the messages of others.
        wait_seconds: longest time to wait for another promotion. Defaults to 60.

    Yields:
        The turn, which ends with the context.

    Raises:
        PromotionError: another promotion has the turn, or gets it.
        TrackingError: the registry cannot be reached or denies access.
    """
    token = secrets.token_hex(8)
    tag = f"{CLAIM}{token}"
    claim = json.dumps({"who": who, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    started = time.time()  # unlike the monotonic clock, it runs on while a machine sleeps
    try:
        with tracking.reported(f"claim a promotion of {name}"):
            client.set_registered_model_tag(name, tag, claim)
        _wait(client, name, token, time.monotonic() + wait_seconds)
        yield Turn(name, started)
    finally:
        _withdraw(client, name, tag)


def _wait(client: "MlflowClient", name: str, token: str, deadline: float) -> None:
    while others := _others(client, name, token):
        smallest = min(others)
        if smallest < token or time.monotonic() >= deadline:
            other = others[smallest]
            raise PromotionError(
                f"Only one promotion of {name} can be under way. Received: that of {other.get('who', 'unknown')}, "
                f"begun at {other.get('at', 'an unknown time')}. Nothing was changed: look at `tilepipe models "
                f"{shlex.quote(name)}` and try again. If the other one was interrupted, it no longer counts after "
                f"{ABANDONED_SECONDS / 60:.0f} minutes."
            )
        time.sleep(_INTERVAL_SECONDS)


def _others(client: "MlflowClient", name: str, token: str) -> dict[str, dict[str, Any]]:
    """Read the claims of others by token, and remove those that were abandoned."""
    found = claims(read_state(client, name).tags)
    if found.pop(token, None) is None:
        raise PromotionError(
            f"A promotion of {name} must keep its claim until it ends. Received: a registry without it; somebody "
            "removed it, or reads do not see earlier writes. Nothing was changed: try again."
        )
    for other in [other for other, claim in found.items() if _is_abandoned(claim)]:
        del found[other]
        _withdraw(client, name, f"{CLAIM}{other}")
    return found


def claims(tags: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the claims among the tags of a registered model, by token."""
    return {tag.removeprefix(CLAIM): _read(value) for tag, value in tags.items() if tag.startswith(CLAIM)}


def _read(value: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        claim = json.loads(value)
        if isinstance(claim, dict):
            return claim
    return {}


def _is_abandoned(claim: Mapping[str, Any]) -> bool:
    try:
        began = datetime.fromisoformat(str(claim["at"]))
        return (datetime.now(UTC) - began).total_seconds() > ABANDONED_SECONDS
    except (KeyError, ValueError, TypeError):  # not written by tilepipe
        return True


def _withdraw(client: "MlflowClient", name: str, tag: str) -> None:
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException, OSError):  # it no longer counts after a while
        client.delete_registered_model_tag(name, tag)
