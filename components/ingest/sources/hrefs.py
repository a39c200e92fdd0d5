"""Where an address in a catalog leads, and whether a catalog may lead there."""

import os
from collections.abc import Mapping

from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage


class HrefResolver:
    """Turns the addresses that a catalog states into normalised ones, and refuses those that lead out of it.

    A catalog is somebody else's file: `file:///etc/passwd` or `../../secret` in it must not make a step read that,
    nor must `http://169.254.169.254/`, which only the step's own network answers, nor a bucket that only our
    credentials open. So, beside replacements that the user chose:

    - a local address must stay below the catalog's own folder;
    - an address on the web must be of the catalog's own scheme, host and port; that this may be a private host is
      the user's word, who named the catalog;
    - a catalog on the web must not name a bucket at all. One that is local or in S3 may name any: it came with the
      same credentials, or from somebody who has them.

    Args:
        root: the catalog's folder or prefix, normalised.
        rewrite: prefixes of addresses, and what stands for them; the longest that fits counts.
    """

    def __init__(self, root: str, rewrite: Mapping[str, str]) -> None:
        self._rewrite = sorted(rewrite.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        self._any_bucket = not storage.is_web(root)
        own = storage.origin(root) if storage.is_web(root) else root
        folders = [own, *(storage.normalise(replacement) for _, replacement in self._rewrite)]
        real = [os.path.realpath(folder) for folder in folders if not storage.is_remote(folder)]
        self._allowed = sorted({*folders, *real})

    def resolve(self, href: object, folder: str, where: str) -> str:
        """Find out where an address leads.

        Args:
            href: the address, as it stands in a link or an asset.
            folder: what relative addresses are relative to, normalised: where the file that holds it lies.
            where: the place of the address, for the message.

        Returns:
            A normalised address: a local path, `s3://` or the web.

        Raises:
            SourceError: it is no address, or leads out of the catalog.
        """
        if not isinstance(href, str) or not href.strip():
            raise SourceError(f"An href must be a text that is not empty. Received: href={href!r} in {where}.")
        try:
            uri = self._locate(href, folder)
        except SourceError as error:
            raise SourceError(f"{error} It stands in {where}.") from None
        if not self._is_allowed(uri):
            raise SourceError(self._refusal(storage.shown(href), uri, where))
        return uri

    def _locate(self, href: str, folder: str) -> str:
        address = self._rewritten(href)
        relative_to_host = href.startswith("/") and storage.is_web(folder)
        if address is None and storage.scheme(href) == "" and (relative_to_host or not href.startswith("/")):
            joined = storage.join(folder, href)
            address = self._rewritten(joined) or joined
        return storage.normalise(href if address is None else address)

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
            rule, none = "An href on the web must be of the catalog's own host or", "no host"
            allowed = [folder for folder in self._allowed if storage.is_web(folder)]
        elif storage.is_remote(uri):
            rule, none = "An href in a catalog on the web may lead to S3 only below", "no bucket"
            allowed = [folder for folder in self._allowed if folder.startswith("s3://")]
        else:
            rule, none = "A local href must stay below the catalog's folder or", "no local folder"
            allowed = [folder for folder in self._allowed if not storage.is_remote(folder)]
        folder = storage.parent(uri).rstrip("/") + "/"
        return (
            f"{rule} a replacement of href_rewrite ({', '.join(allowed) or none}). "
            f"Received: href={href} in {where}, which is {storage.shown(uri)}. If it is right, allow its folder with "
            f'href_rewrite={{"{folder}": "{folder}"}}; or copy the data, and give the place of the copy there.'
        )
