"""Resolution of the addresses in a catalog, limited to allowed locations."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage


class HrefResolver:
    """Resolver that normalizes the addresses in a catalog and refuses those outside the allowed locations.

    A catalog is untrusted input: `file:///etc/passwd` or `../../secret` in it must not make a step read that file,
    nor `http://169.254.169.254/`, which only the step's own network can reach, nor a bucket that only the step's
    credentials can read. Therefore, in addition to the replacements given by the user:

    - a local address must be below the catalog's own folder;
    - an address on the web must have the catalog's own scheme, host and port; this may be a private host, since the
      user has chosen the catalog;
    - a catalog on the web must not refer to a bucket. A catalog that is local or in S3 may refer to any bucket: it was
      read with the same credentials, or written by somebody who has them.

    Args:
        root: normalized address of the catalog's folder or prefix.
        rewrite: prefix -> replacement; the longest matching prefix applies.
    """

    def __init__(self, root: str, rewrite: Mapping[str, str]) -> None:
        self._rewrite = sorted(rewrite.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        self._any_bucket = not storage.is_web(root)
        own = storage.origin(root) if storage.is_web(root) else root
        folders = [own, *(storage.normalize(replacement) for _, replacement in self._rewrite)]
        real = [os.path.realpath(folder) for folder in folders if not storage.is_remote(folder)]
        self._allowed = sorted({*folders, *real})

    def resolve(self, href: object, folder: str, where: str) -> str:
        """Resolve an address.

        Args:
            href: the address, as written in a link or an asset.
            folder: normalized address of the folder of the file that contains it; relative addresses refer to it.
            where: location of the address, for messages.

        Returns:
            A normalized address: a local path, `s3://` or the web.

        Raises:
            SourceError: if it is not an address, or is outside the allowed locations.
        """
        if not isinstance(href, str) or not href.strip():
            raise SourceError(
                f"An href must be a non-empty string. Received: href={href!r} in {where}. Correct the file."
            )
        try:
            uri = self._locate(href, folder)
        except SourceError as error:
            raise SourceError(f"{error} It is in {where}.") from None
        if not self._is_allowed(uri):
            raise SourceError(self._refusal(storage.shown(href), uri, where))
        return uri

    def _locate(self, href: str, folder: str) -> str:
        address = self._rewritten(href)
        relative_to_host = href.startswith("/") and storage.is_web(folder)
        if address is None and storage.scheme(href) == "" and (relative_to_host or not href.startswith("/")):
            joined = storage.join(folder, href)
            address = self._rewritten(joined) or joined
        uri = storage.normalize(href if address is None else address)
        return _decoded(uri) if "%" in uri and not storage.is_remote(uri) else uri

    def _rewritten(self, address: str) -> str | None:
        for prefix, replacement in self._rewrite:
            if address.startswith(prefix):
                return replacement + address[len(prefix) :]
        return None

    def _is_allowed(self, uri: str) -> bool:
        if self._any_bucket and uri.startswith("s3://"):
            return True
        bare = uri.partition("?")[0] if storage.is_web(uri) else uri
        return any(bare == folder or bare.startswith(folder.rstrip("/") + "/") for folder in self._allowed)

    def _refusal(self, href: str, uri: str, where: str) -> str:
        if storage.is_web(uri):
            rule, none = "An href on the web must be on the catalog's own host or below", "no host"
            allowed = [folder for folder in self._allowed if storage.is_web(folder)]
        elif storage.is_remote(uri):
            rule, none = "An href in a catalog on the web may refer to S3 only below", "no bucket"
            allowed = [folder for folder in self._allowed if folder.startswith("s3://")]
        else:
            rule, none = "A local href must be below the catalog's folder or", "no local folder"
            allowed = [folder for folder in self._allowed if not storage.is_remote(folder)]
        is_web = storage.is_web(uri)
        folder = (storage.origin(uri) if is_web else storage.parent(uri)).rstrip("/") + "/"
        return (
            f"{rule} a replacement of data_href_rewrite ({', '.join(allowed) or none}). "
            f"Received: href={href} in {where}, which is {storage.shown(uri)}. If this is intended, allow its "
            f"{'host' if is_web else 'folder, or the one above all tiles,'} with "
            f"{argument('href_rewrite', {folder: folder})}; or copy the data and give the folder of the copy."
        )


def _decoded(path: str) -> str:
    """Return the percent-decoded path if only that exists: an href is a URI, but many tools write plain paths."""
    decoded = storage.normalize(unquote(path)) if "%00" not in path else path
    return decoded if Path(decoded).exists() and not Path(path).exists() else path
