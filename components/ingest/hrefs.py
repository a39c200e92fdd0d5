"""Where an address in a catalogue leads, and whether a catalogue may lead there."""

import os
from collections.abc import Mapping

from tilepipe.components.shared import storage
from tilepipe.components.shared.errors import SourceError


class HrefResolver:
    """Turns the addresses that a catalogue states into normalised ones, and refuses those that lead out of it.

    A catalogue is somebody else's file: `file:///etc/passwd` or `../../secret` in it must not make a step read that.
    So a local address must stay below the catalogue's own folder, or below a replacement that the user chose.

    Args:
        root: the catalogue's folder or prefix, normalised.
        rewrite: prefixes of addresses, and what stands for them; the longest that fits counts.
    """

    def __init__(self, root: str, rewrite: Mapping[str, str]) -> None:
        self._rewrite = sorted(rewrite.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        replacements = [storage.normalise(replacement) for _, replacement in self._rewrite]
        folders = [folder for folder in (root, *replacements) if not storage.is_remote(folder)]
        self._allowed = sorted({*folders, *(os.path.realpath(folder) for folder in folders)})

    def resolve(self, href: object, folder: str, where: str) -> str:
        """Find out where an address leads.

        Args:
            href: the address, as it stands in a link or an asset.
            folder: what relative addresses are relative to, normalised: where the file that holds it lies.
            where: the place of the address, for the message.

        Returns:
            A normalised local path or `s3://` address.

        Raises:
            SourceError: it is no address, on the web, or leads out of the catalogue.
        """
        if not isinstance(href, str) or not href.strip():
            raise SourceError(f"An href must be a text that is not empty. Received: href={href!r} in {where}.")
        try:
            uri = self._locate(href, folder)
        except SourceError as error:
            raise SourceError(f"{error} It stands in {where}.") from None
        if uri is None:
            prefix = href.rpartition("/")[0] + "/"
            raise SourceError(
                "An href must lead to a local file or to s3://: this version reads nothing from the web. "
                f'Received: href={href} in {where}. Copy the data, and give href_rewrite={{"{prefix}": '
                '"/where/it/is/"} with the longest prefix that all addresses share.'
            )
        if not storage.is_remote(uri) and not self._is_allowed(uri):
            allowed = ", ".join(self._allowed) or "no local folder"
            raise SourceError(
                f"A local href must stay below the catalogue's folder or a replacement of href_rewrite ({allowed}). "
                f"Received: href={href} in {where}, which is {uri}. If it is right, allow its folder with "
                f'href_rewrite={{"{os.path.dirname(uri)}/": "{os.path.dirname(uri)}/"}}.'  # noqa: PTH120
            )
        return uri

    def _locate(self, href: str, folder: str) -> str | None:
        """The normalised address, or None for one that is still on the web."""
        address = self._rewritten(href)
        if address is None and storage.scheme(href) == "" and not href.startswith("/"):
            joined = storage.join(folder, href)
            address = self._rewritten(joined) or joined
        address = href if address is None else address
        return None if storage.scheme(address) in {"http", "https"} else storage.normalise(address)

    def _rewritten(self, address: str) -> str | None:
        for prefix, replacement in self._rewrite:
            if address.startswith(prefix):
                return replacement + address[len(prefix) :]
        return None

    def _is_allowed(self, path: str) -> bool:
        return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in self._allowed)
