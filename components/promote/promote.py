"""Move the alias `champion` of a registered model, and keep the history of its moves."""

import logging
import shlex
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tilepipe.components.promote.author import author
from tilepipe.components.promote.claim import claimed
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.shared.errors import PromotionError, SourceError
from tilepipe.components.shared.inference.bundle_model import load_model
from tilepipe.components.shared.inference.model_address import fetch_registered
from tilepipe.components.shared.registry.client import registry_client
from tilepipe.components.shared.registry.promotions import Action, ChampionState, Promotion, promote_command, read_state
from tilepipe.components.shared.registry.registered_version import RegisteredVersion, find_version
from tilepipe.components.shared.registry.version_tags import (
    BUNDLE_SHA256,
    CHAMPION,
    GATE,
    GATE_CHAMPION,
    GATE_REASON,
    NO_CHAMPION,
)
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("tilepipe.promote")


def promote(config: PromoteConfig) -> Promotion | None:
    """Make a version the champion.

    Args:
        config: the version, and whether a person overrides the gate.

    Returns:
        The entry in the history; None if the version already is champion.

    Raises:
        PromotionError: the gate did not accept the version against the present champion, or another promotion is under
            way or took place meanwhile.
        ArtifactError: the bundle was changed, or cannot be loaded.
        SourceError: there is no such version, or it is not one of tilepipe's.
        TrackingError: the registry cannot be reached or denies access.
    """
    client = registry_client()
    version, state = find_version(client, config.address), read_state(client, config.name)
    if state.champion == version.version:
        logger.info("version %d of %s is already champion", version.version, version.name)
        return None
    if not config.override:
        check_verdict(version, state)
    check_bundle(client, version)
    with claimed(client, config.name, author()) as turn:
        _check_unchanged(state, read_state(client, config.name))
        version = find_version(client, f"{version.name}/{version.version}")
        if not config.override:
            check_verdict(version, state)
        accepted = f"accepted by the gate: {version.tags.get(GATE_REASON, '')}".rstrip(": ")
        entry = _entry("promote", state, version, config.reason.strip() or accepted)
        turn.check()
        _move(client, entry, version)
    return entry


def roll_back(name: str, reason: str = "") -> Promotion:
    """Make the champion before the present one champion again.

    Args:
        name: name of the registered model.
        reason: reason for the history. Defaults to the version that is left.

    Returns:
        The entry in the history.

    Raises:
        PromotionError: there is no earlier champion, the alias was moved without tilepipe, or another promotion is
            under way or took place meanwhile.
        ArtifactError: the bundle was changed, or cannot be loaded.
        SourceError: there is no such model.
        TrackingError: the registry cannot be reached or denies access.
    """
    client = registry_client()
    state = read_state(client, name)
    if state.remark and state.champion is not None:
        raise PromotionError(
            f"Only a champion that tilepipe promoted can be rolled back. Received: {state.remark} Name the version: "
            f"{promote_command(name)}."
        )
    version = _earlier_champion(client, state)
    check_bundle(client, version)
    with claimed(client, name, author()) as turn:
        _check_unchanged(state, read_state(client, name))
        left = state.promotions[-1].to_version
        entry = _entry("rollback", state, version, reason.strip() or f"rollback of version {left}")
        turn.check()
        _move(client, entry, version)
    return entry


def check_verdict(version: RegisteredVersion, state: ChampionState) -> None:
    """Check that the gate accepted a version against the present champion, and that no rollback left the version.

    Raises:
        PromotionError: it did not, or the verdict is missing or of another champion, or a person went back from it.
    """
    verdict, against = version.tags.get(GATE, ""), version.tags.get(GATE_CHAMPION, "")
    present = NO_CHAMPION if state.champion is None else str(state.champion)
    rule = f"A version must be accepted by the gate to become champion of {version.name}."
    override = promote_command(version.name, version.version)
    remedy = (
        "Run the gate with the pipeline `promote`, such as `tilepipe run promote "
        f"model_name={shlex.quote(version.name)} model_version={version.version}`, or override it with a "
        f"reason: {override}."
    )
    if rollback := state.rollback_of(version.version):
        raise PromotionError(
            f"Only a person makes a version champion of {version.name} again after a rollback. Received: version "
            f"{version.version}, which {rollback.who} left at {rollback.at}: {rollback.why}. If that no longer holds: "
            f"{override}."
        )
    if not verdict:
        raise PromotionError(f"{rule} Received: version {version.version}, which it has not judged. {remedy}")
    if verdict != "accepted":
        reason = version.tags.get(GATE_REASON, "no reason is recorded")
        raise PromotionError(
            f"{rule} Received: version {version.version}, {verdict}: {reason} A person can override it: {override}."
        )
    if against != present:
        raise PromotionError(
            f"{rule} Received: version {version.version}, accepted against {_champion(against)}, while the present one "
            f"is {_champion(present)}. {remedy}"
        )


def check_bundle(client: "MlflowClient", version: RegisteredVersion) -> None:
    """Check that the bundle of a version is the registered one and can be loaded.

    Raises:
        ArtifactError: it is not.
        SourceError: it no longer exists.
    """
    with TemporaryDirectory(prefix="tilepipe-") as folder:
        load_model(fetch_registered(client, version, Path(folder)))


def _champion(version: str) -> str:
    return "no champion" if version == NO_CHAMPION else f"version {version}" if version else "an unknown champion"


def _earlier_champion(client: "MlflowClient", state: ChampionState) -> RegisteredVersion:
    """Return the latest earlier champion that still exists."""
    gone: list[str] = []
    for number in state.earlier_champions():
        try:
            found = find_version(client, f"{state.name}/{number}")
        except SourceError as error:
            logger.warning("version %d cannot be champion again: %s", number, error)
            gone.append(str(number))
        else:
            return found
    received = f"only deleted ones ({', '.join(gone)})" if gone else "none"
    raise PromotionError(
        f"A rollback needs an earlier champion of {state.name}. Received: {received}. Promote a version: "
        f"{promote_command(state.name, options='')}."
    )


def _check_unchanged(before: ChampionState, now: ChampionState) -> None:
    if (before.champion, before.sequence) == (now.champion, now.sequence):
        return
    if now.sequence > before.sequence:
        last = now.promotions[-1]
        how = f"{last.who} made version {last.to_version} champion at {last.at} ({last.action}: {last.why})"
    else:
        how = f"the alias was moved without tilepipe, from {_number(before.champion)} to {_number(now.champion)}"
    raise PromotionError(
        f"The champion of {now.name} must not change during a promotion. Received: {how}. Nothing was changed: look at "
        f"`tilepipe models {shlex.quote(now.name)}` and try again."
    )


def _number(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"


def _entry(action: Action, state: ChampionState, version: RegisteredVersion, why: str) -> Promotion:
    return Promotion(
        sequence=state.sequence + 1,
        action=action,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        who=author(),
        why=why[:4000],
        from_version=state.champion,
        to_version=version.version,
        verdict=version.tags.get(GATE, ""),
        bundle_sha256=version.tags[BUNDLE_SHA256],
    )


def _move(client: "MlflowClient", entry: Promotion, version: RegisteredVersion) -> None:
    """Write the entry, then move the alias: a crash between the two leaves a trace that `tilepipe models` shows."""
    with tracking.reported(f"promote version {version.version} of {version.name}"):
        client.set_registered_model_tag(version.name, entry.tag, entry.as_json())
        client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
    now = read_state(client, version.name)
    if now.champion != version.version:
        raise PromotionError(
            f"The alias {CHAMPION} of {version.name} must be version {version.version} after its promotion. Received: "
            f"{_number(now.champion)}: somebody moved it at the same moment without tilepipe. Look at `tilepipe models "
            f"{shlex.quote(version.name)}`."
        )
    logger.info("version %d of %s is champion: %s", version.version, version.name, entry.why)
