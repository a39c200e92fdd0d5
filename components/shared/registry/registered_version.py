"""Find versions in MLflow's model registry and fetch their bundles."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError, StorageError
from tilepipe.components.shared.registry.version_tags import BUNDLE_FILE, BUNDLE_SHA256, BUNDLE_URI
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_ADDRESS = re.compile(r"(?:models:/)?(?P<name>[^/:@]+)(?:@(?P<alias>[^/:@]+)|/(?P<version>[1-9][0-9]*))")
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
"""MLflow's codes for a missing model or version, and for a missing alias."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of tilepipe's in MLflow's registry, as it was when it was read."""

    name: str
    version: int
    run_id: str
    """MLflow run of the training."""
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def address(self) -> str:
        """Address as MLflow writes it, such as `models:/forests/3`."""
        return f"models:/{self.name}/{self.version}"

    @classmethod
    def of(cls, found: "ModelVersion") -> Self:
        """Convert MLflow's description of a version.

        Raises:
            SourceError: The version is not one of tilepipe's.
        """
        if not is_tilepipes(found.tags):
            raise SourceError(
                f"A registered model must be one that `register` made. Received: models:/{found.name}/{found.version}, "
                f"which has no tag {BUNDLE_SHA256}. Use another name for tilepipe's models."
            )
        aliases = tuple(sorted(map(str, found.aliases)))
        return cls(str(found.name), int(found.version), str(found.run_id or ""), dict(found.tags), aliases)


def is_tilepipes(tags: Mapping[str, str]) -> bool:
    """Return whether the tags are those of a version that `register` made."""
    return BUNDLE_SHA256 in tags and BUNDLE_URI in tags


def find_version(client: "MlflowClient", address: str) -> RegisteredVersion:
    """Find a version by alias or number.

    Args:
        client: Client of the registry, such as `tracking.client()`.
        address: `name@alias` or `name/3`, with or without `models:/`.

    Raises:
        ParameterError: The address has another form.
        SourceError: There is no such model, alias or version, or it is not one of tilepipe's.
        TrackingError: The registry cannot be reached or denies access.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ParameterError(
            "A registered model is addressed as name@alias or name/version, such as forests@champion or forests/3. "
            f"Received: {address!r}."
        )
    name, alias, number = match.group("name", "alias", "version")
    if alias:
        found = _or_none(f"find {name}@{alias}", lambda: client.get_model_version_by_alias(name, alias))
    else:
        found = _read_number(client, name, number)
    if found is None:
        wanted = f"the alias {alias!r}" if alias else f"version {number}"
        raise SourceError(
            f"A model must be in the registry to be used. Received: {address}, but {name!r} does not exist or lacks "
            f"{wanted} {tracking.in_mlflow()}. `tilepipe models` lists the models."
        )
    return RegisteredVersion.of(found)


def fetch_bundle(client: "MlflowClient", version: RegisteredVersion, folder: Path) -> Path:
    """Fetch the bundle of a version and check its SHA-256.

    Args:
        client: Client of the registry.
        version: The version.
        folder: Local folder, which must exist; a bundle that is there is replaced.

    Returns:
        Path of the bundle, `<folder>/model.tar.gz`.

    Raises:
        SourceError: The bundle no longer exists.
        ArtifactError: The bundle is not the one that was registered.
        TrackingError: The artifacts cannot be read.
        StorageError: The bucket cannot be read.
    """
    uri, expected = version.tags[BUNDLE_URI], version.tags[BUNDLE_SHA256]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        fetched = _fetch(client, version, Path(partial))
        with fetched.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ArtifactError(
                f"The bundle of {version.address} must be the one that was registered, with the SHA-256 {expected}. "
                f"Received: {storage.shown(uri)} with {found}. It was changed since: do not use it, and train again."
            )
        return fetched.replace(folder / BUNDLE_FILE)


def _fetch(client: "MlflowClient", version: RegisteredVersion, folder: Path) -> Path:
    """Fetch the file that the tag names, from the artifacts of an MLflow run or from any other storage."""
    uri = version.tags[BUNDLE_URI]
    if not uri.startswith("runs:/"):
        copy = folder / BUNDLE_FILE
        with storage.staged(storage.normalize(uri)) as staged:
            try:
                copy.write_bytes(staged.read_bytes())
            except OSError as error:
                raise StorageError(f"A bundle must be readable. Received: {uri}: {error.strerror}.") from error
        return copy
    from mlflow.exceptions import MlflowException

    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    with tracking.reported(f"fetch the bundle of {version.address}"):
        try:
            return Path(client.download_artifacts(run_id, path, str(folder)))
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            raise SourceError(
                f"The bundle of {version.address} must exist. Received: {uri}, of which MLflow says: {error.message}. "
                "The run or its artifacts were deleted: use another version, or train again."
            ) from error


def exists(client: "MlflowClient", name: str, number: int) -> bool:
    """Return whether a version exists: one that was deleted keeps its aliases on MLflow before 3.17.

    Raises:
        TrackingError: The registry cannot be reached or denies access.
    """
    return _read_number(client, name, str(number)) is not None


def _read_number(client: "MlflowClient", name: str, number: str) -> "ModelVersion | None":
    return _or_none(f"find version {number} of {name}", lambda: client.get_model_version(name, number))


def _or_none(what: str, read: "Callable[[], ModelVersion]") -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    with tracking.reported(what):
        try:
            return read()
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            return None
