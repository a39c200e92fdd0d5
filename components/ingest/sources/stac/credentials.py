"""Credentials for a STAC API: read from the environment, sent only to its own host, never shown in messages."""

import base64
import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from tilepipe.components.shared.errors import ParameterError

TOKEN, USERNAME, PASSWORD = "TILEPIPE_STAC_TOKEN", "TILEPIPE_STAC_USERNAME", "TILEPIPE_STAC_PASSWORD"
"""Environment variables with the credentials for the API that the step reads."""

_MAX_MESSAGE = 300


@dataclass(frozen=True, repr=False)
class Credentials:
    """Credentials of a request; not shown in messages.

    Args:
        header: value of `Authorization`; empty if there are no credentials.
        secrets: strings that messages must not contain.
    """

    header: str = ""
    secrets: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, url: str) -> "Credentials":
        """Read the credentials for an API from the environment; empty if it has none.

        Raises:
            ParameterError: if they are incomplete, of two kinds, or would be sent unencrypted.
        """
        token, username, password = (os.environ.get(name, "").strip() for name in (TOKEN, USERNAME, PASSWORD))
        given = [name for name, value in zip((TOKEN, USERNAME, PASSWORD), (token, username, password)) if value]  # noqa: B905
        if not given:
            return cls()
        if given not in ([TOKEN], [USERNAME, PASSWORD]):
            raise ParameterError(
                f"The credentials of a STAC API must be either {TOKEN}, or {USERNAME} and {PASSWORD}. "
                f"Received: {' and '.join(given)}. Set the missing variable, or unset the others."
            )
        if not (token or username + password).isprintable() or not token.isascii() or " " in token or ":" in username:
            raise ParameterError(
                "A token must be printable ASCII without spaces, and a user name must not contain a colon. "
                f"Received: an invalid value in {' and '.join(given)}, which is not shown here."
            )
        if url.startswith("http://") and not _is_loopback(urlsplit(url).hostname or ""):
            raise ParameterError(
                "Credentials must be sent over https:// (http:// only to localhost), because http:// is not encrypted. "
                f"Received: data_source={url} and {' and '.join(given)}. Use https://, or unset them."
            )
        if token:
            return cls(f"Bearer {token}", (token,))
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        return cls(f"Basic {encoded}", (encoded, password))

    def removed_from(self, text: str) -> str:
        """Remove the credentials from a text, and shorten it for a message."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = " ".join(text.split())
        return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
