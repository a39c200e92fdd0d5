"""The credentials for a STAC API: from the environment alone, for its own host alone, and in no message."""

import base64
import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from tilepipe.components.shared.errors import ParameterError

TOKEN, USERNAME, PASSWORD = "TILEPIPE_STAC_TOKEN", "TILEPIPE_STAC_USERNAME", "TILEPIPE_STAC_PASSWORD"
"""The environment's variables with the credentials for the one API that a step reads."""

_MAX_MESSAGE = 300


@dataclass(frozen=True, repr=False)
class Credentials:
    """What a request proves itself with; shows itself in no message.

    Args:
        header: the value of `Authorization`; empty where there are no credentials.
        secrets: what no message may hold.
    """

    header: str = ""
    secrets: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, url: str) -> "Credentials":
        """Take the credentials that the environment holds.

        Args:
            url: the API that they are for, normalised.

        Returns:
            The credentials; empty ones where the environment has none.

        Raises:
            ParameterError: half of them are there, two kinds, or they would cross a network in the clear.
        """
        token, username, password = (os.environ.get(name, "").strip() for name in (TOKEN, USERNAME, PASSWORD))
        given = [name for name, value in zip((TOKEN, USERNAME, PASSWORD), (token, username, password)) if value]  # noqa: B905
        if not given:
            return cls()
        if given not in ([TOKEN], [USERNAME, PASSWORD]):
            raise ParameterError(
                f"A STAC API's credentials must be {TOKEN} alone, or {USERNAME} and {PASSWORD}. "
                f"Received: {' and '.join(given)}. Set or unset what does not belong."
            )
        if not (token or username + password).isprintable() or not token.isascii() or " " in token or ":" in username:
            raise ParameterError(
                "A token must be printable ASCII without blanks, and a user name must hold no colon. "
                f"Received: another value in {' and '.join(given)}, which is not shown here."
            )
        if url.startswith("http://") and not _is_loopback(urlsplit(url).hostname or ""):
            raise ParameterError(
                "Credentials go over https:// alone, and to this machine: anybody on the way reads http://. "
                f"Received: source={url} and {' and '.join(given)}. Use https://, or unset them."
            )
        if token:
            return cls(f"Bearer {token}", (token,))
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        return cls(f"Basic {encoded}", (encoded, password))

    def removed_from(self, text: str) -> str:
        """A text of somebody else's without the credentials, cut to what a message can bear."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = " ".join(text.split())
        return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
