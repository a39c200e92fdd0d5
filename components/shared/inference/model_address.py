"""Find the bundle of a model by its address: a file, a STAC item, or a version in the model registry."""

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError
from tilepipe.components.shared.registry.registered_version import RegisteredVersion, fetch_bundle, find_version
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.item_hrefs import (
    ITEM_SUFFIXES,
    LARGEST_ITEM_BYTES,
    is_item,
    may_refer,
    resolve_href,
)
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_ADDRESSES = (
    "a bundle of export (.tar.gz) or its STAC item, as a path, s3:// or https://; or models:/name@alias or "
    "models:/name/version in the model registry"
)
"""Accepted addresses of a model, for descriptions of parameters."""
REGISTRY = "models:/"
BUNDLE_SUFFIX = ".tar.gz"
LARGEST_BUNDLE_BYTES = 4 * 2**30
"""Largest bundle that is fetched, in bytes."""

_VERSION = re.compile(r"models:/(?P<name>[^/@:]+)(@[^/@:]+|/[1-9][0-9]*)")
_SHA256_MULTIHASH = "1220"


@dataclass(frozen=True)
class ModelFile:
    """A bundle on the local disk."""

    path: Path
    address: str
    """Address that was given, without user and query of a web address."""
    sha256: str = ""
    """Digest that the bundle must have, in hexadecimal; empty if nothing states it."""
    name: str = ""
    """Name in the registry; empty for a model from elsewhere."""
    version: str = ""
    """Version in the registry; empty for a model from elsewhere."""
    run_id: str = ""
    """MLflow run of the training, for a model in the registry."""


def check_address(parameter: str, address: str) -> str:
    """Check that a parameter has the form of a model's address, without looking for the model.

    Returns:
        The address, normalized; one in the registry is returned as it is.

    Raises:
        ParameterError: It has none of the forms.
    """
    rule = (
        f"`{parameter}` must be the address of a model: a bundle ({BUNDLE_SUFFIX}) or its STAC item (.json), as a "
        f"path, s3:// or https://, or {REGISTRY}name@alias or {REGISTRY}name/version in the model registry."
    )
    if address.startswith("models:"):
        if not _VERSION.fullmatch(address):
            raise ParameterError(f"{rule} Received: {address!r}. {_example(parameter, address.partition(':')[2])}")
        return address
    try:
        uri = storage.normalize(address)
    except SourceError as error:
        raise ParameterError(f"{rule} Received: {storage.shown(address)!r}. {error}") from None
    if not storage.path_of(uri).lower().endswith((BUNDLE_SUFFIX, *ITEM_SUFFIXES)):
        hint = f" {_example(parameter, address)}" if re.fullmatch(r"[\w@-]+", address) else ""
        raise ParameterError(f"{rule} Received: {storage.shown(address)!r}.{hint}")
    return uri


def _checked(address: str, field: ValidationInfo) -> str:
    return check_address(str(field.field_name), address)


ModelAddress = Annotated[str, AfterValidator(_checked)]
"""Normalized address of a model, as `resolve` takes it."""


def _example(parameter: str, address: str) -> str:
    name = re.split("[/@:]", address.strip("/"))[0] or "NAME"
    return f"Give for example {parameter}={REGISTRY}{name}@champion."


def resolve(address: str, folder: Path) -> ModelFile:
    """Find the bundle of a model, and fetch it if it is not on the local disk.

    Args:
        address: As returned by `check_address`.
        folder: Existing folder for the file, if it has to be fetched.

    Returns:
        The bundle, whose digest is not yet checked.

    Raises:
        ArtifactError: The item has no bundle, or the registered bundle was changed.
        SourceError: Nothing exists at the address, the file is too large, the item leads out of its own place, or the
            version in the registry is not one of tilepipe's.
        StorageError: The disk, the store or the web server cannot be read.
        TrackingError: The registry cannot be reached.
    """
    if address.startswith(REGISTRY):
        client = tracking.client()
        return replace(fetch_registered(client, find_version(client, address), folder), address=address)
    if is_item(address):
        bundle, sha256 = _bundle_of_item(address)
        return ModelFile(_fetch(bundle, folder), storage.shown(address), sha256)
    return ModelFile(_fetch(address, folder), storage.shown(address))


def fetch_registered(client: "MlflowClient", version: RegisteredVersion, folder: Path) -> ModelFile:
    """Fetch the bundle of a registered version to an existing folder; the errors are those of `fetch_bundle`."""
    path, sha256 = fetch_bundle(client, version, folder), version.tags[BUNDLE_SHA256]
    return ModelFile(path, version.address, sha256, version.name, str(version.version), version.run_id)


def _fetch(uri: str, folder: Path) -> Path:
    with storage.staged(uri, largest_bytes=LARGEST_BUNDLE_BYTES) as path:
        return path if not storage.is_remote(uri) else Path(shutil.move(path, folder / "model.tar.gz"))


def _bundle_of_item(uri: str) -> tuple[str, str]:
    """Return the address of the bundle of an item, and its SHA-256 in hexadecimal or an empty string."""
    with storage.staged(uri, largest_bytes=LARGEST_ITEM_BYTES) as path:
        content = path.read_bytes()
    try:
        item = json.loads(content)
        assets = item["assets"].values()
        bundles = [asset for asset in assets if _href(asset).lower().endswith(BUNDLE_SUFFIX)]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"The item of a model must be a STAC item with assets. Received: {storage.shown(uri)}, which reads as: "
            f"{type(error).__name__}: {error}."
        ) from None
    if len(bundles) != 1:
        received = ", ".join(sorted(map(str, item["assets"]))) or "no asset"
        raise ArtifactError(
            f"The item of a model must have one asset that is a bundle ({BUNDLE_SUFFIX}): an ONNX file alone does not "
            f"hold its classes. Received: {storage.shown(uri)} with {len(bundles)} of them; its assets are: "
            f"{received}. Give the address of the bundle itself."
        )
    checksum = str(bundles[0].get("file:checksum", "")).lower()
    sha256 = checksum.removeprefix(_SHA256_MULTIHASH) if checksum.startswith(_SHA256_MULTIHASH) else ""
    bundle = resolve_href(bundles[0]["href"], uri)
    if not may_refer(uri, bundle):
        raise SourceError(
            "The bundle of an item must be on the item's own host, in a bucket if the item is in one, or below the "
            f"folder of a local item. Received: {storage.shown(bundle)}, from {storage.shown(uri)}. Give the address "
            "of the bundle itself."
        )
    return bundle, sha256


def _href(asset: Any) -> str:  # noqa: ANN401 - any JSON
    return storage.path_of(str(asset["href"]))
