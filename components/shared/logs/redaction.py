"""Remove credentials from text that leaves the process: log lines, tracebacks, error messages.

Messages of tilepipe hold none; those of libraries repeat what they were given: MLflow the user and password of its
address, HTTP clients the signature of a presigned one.
"""

import os
import re

_SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|API_KEY|CREDENTIAL", re.IGNORECASE)
_NOT_SECRET = re.compile(r"(_FILE|_PATH|_DIR|_URI|_URL)S?$", re.IGNORECASE)
_SHORTEST_SECRET = 8
"""Shorter values are more likely a setting, such as `false`; to replace them would garble messages."""

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#@'\"]+@")
_QUERY = re.compile(
    r"([?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig|token|access_token"
    r"|api[_-]?key|subscription-key|password)=)[^&\s'\"<>]+",
    re.IGNORECASE,
)
MARK = "***"


def redacted(text: str) -> str:
    """Replace credentials by `***`: users in addresses, signatures in queries, and secrets of the environment.

    Returns:
        The text without the value of any environment variable whose name says that it is secret.
    """
    for secret in _secrets():
        if secret in text:
            text = text.replace(secret, MARK)
    return _QUERY.sub(rf"\g<1>{MARK}", _USER.sub(rf"\g<1>{MARK}@", text))


def _secrets() -> list[str]:
    """Return the secrets in the environment, longest first; a variable may list several, such as `host=token`."""
    found: set[str] = set()
    for name in list(os.environ):  # `items` would fail if a thread, such as MLflow's telemetry, removed one meanwhile
        value = os.environ.get(name, "")
        if _SECRET_NAMES.search(name) and not _NOT_SECRET.search(name):
            found.add(value.strip())
            found.update(part.partition("=")[2] or part for part in re.split(r"[\s,;]+", value))
    return sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)
