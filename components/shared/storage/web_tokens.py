"""Tokens for hosts on the web: read from the environment, each sent only to its own host, never shown in messages."""

import ipaddress
import os
from urllib.parse import urlsplit

from tilepipe.components.shared.errors import ParameterError

TOKENS = "TILEPIPE_WEB_TOKENS"
"""Environment variable with `host=token` for each host, separated by spaces."""


def authorization(url: str) -> dict[str, str]:
    """Return the header `Authorization` with the token of the address's host; {} for none.

    Args:
        url: normalized address of one request; after a redirect, that of the target.

    Raises:
        ParameterError: if the variable is malformed, or a token would be sent unencrypted.
    """
    given = os.environ.get(TOKENS, "").split()
    if not given:
        return {}
    tokens = dict(_pair(entry) for entry in given)
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    token = tokens.get(host) if parts.port in {None, 443} else tokens.get(f"{host}:{parts.port}")
    if token is None:
        return {}
    if parts.scheme != "https" and not _is_loopback(host):
        raise ParameterError(
            "A token must be sent over https:// (http:// only to localhost), because http:// is not encrypted. "
            f"Received: {TOKENS} with a token for {host}, and an http:// address of it. Use https://."
        )
    return {"Authorization": f"Bearer {token}"}


def without_tokens(text: str) -> str:
    """Remove the tokens from a text."""
    for entry in os.environ.get(TOKENS, "").split():
        token = entry.partition("=")[2]
        text = text.replace(token, "***") if token else text
    return text


def _pair(entry: str) -> tuple[str, str]:
    host, equals, token = entry.partition("=")
    if not (host and equals and token) or "/" in host or not (token.isascii() and token.isprintable()):
        raise ParameterError(
            f"{TOKENS} must be host=token, separated by spaces, such as data.example.org=abc. "
            "Received: an entry that is not, which is not shown here."
        )
    return host.lower(), token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
