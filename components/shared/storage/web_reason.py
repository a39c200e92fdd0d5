"""The reason that a web server states for a refusal, such as an expired signature, without the signature."""

import html
import json
import re
from urllib.parse import parse_qsl, urlsplit

_FIELDS = ("Code", "Message", "AuthenticationErrorDetail")
"""Elements of the errors of Azure and S3, which are XML; others may repeat the signature."""
_JSON_FIELDS = ("code", "message", "detail", "error_description")
_MAX_LENGTH = 300
_SHORTEST_SECRET = 6
_PARAMETER = re.compile(r"(?i)\b(sig|signature|x-amz-[\w-]+|x-goog-[\w-]+|token|st|se|skoid)=[^\s&,;]+")


def server_reason(uri: str, body: bytes) -> str:
    """Return the reason in the body of a refusal.

    Args:
        uri: address of the request; no value of its query is shown.
        body: the first bytes of the body.

    Returns:
        One line; empty if the body states no reason in XML, JSON or plain text.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    if text.startswith("<"):
        found = [re.search(rf"<{name}>(.*?)(?:</{name}>|$)", text, re.DOTALL) for name in _FIELDS]
        parts = [html.unescape(match[1]) for match in found if match]
    elif text.startswith("{"):
        parts = _of_json(text)
    else:
        parts = [text]
    reason = " ".join(" ".join(parts).split())
    # Azure appends the id and the time of the request.
    reason = re.sub(r" ?RequestId:\S+ Time:\S+", "", reason)
    for _, value in parse_qsl(urlsplit(uri).query):
        if len(value) >= _SHORTEST_SECRET:
            reason = reason.replace(value, "***")
    reason = _PARAMETER.sub(r"\1=***", reason)
    reason = "".join(character for character in reason if character.isprintable())
    return (reason if len(reason) <= _MAX_LENGTH else reason[:_MAX_LENGTH] + "...").rstrip(".")


def _of_json(text: str) -> list[str]:
    try:
        stated = json.loads(text)
    except ValueError:
        return []
    inner = stated.get("error")
    holder = inner if isinstance(inner, dict) else stated
    values = [holder.get(name) for name in _JSON_FIELDS]
    values += [inner] if isinstance(inner, str) else []
    return [str(value) for value in values if isinstance(value, str | int)]
