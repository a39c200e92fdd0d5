"""Validation of the query of a STAC API, before any request is sent."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

_BBOX_RULE = (
    "`query.bbox` must be west, south, east, north in degrees, or with heights west, south, lowest, east, north, "
    "highest; a box with west greater than east crosses the antimeridian."
)
_TIME_RULE = (
    "`query.datetime` must be an RFC 3339 time, a day, a month or a year, or an interval with at most one open end: "
    "2020-01-01/2020-12-31 or 2020-06-01T00:00:00Z/.."
)
_FILTER_RULE = "`query.filter` must be CQL2, as text such as class = 'Forest' or as a JSON object with op and args."
# The formats that pystac-client accepts (it completes days, months and years), with named groups.
_TIME = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d{2})(-(?P<day>\d{2})(?P<clock>[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[-+]\d{2}:\d{2})?)?)?)?"
)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


def check_bbox(bbox: tuple[float, ...]) -> tuple[float, ...]:
    """Validate a bounding box, empty for no restriction: https://www.rfc-editor.org/rfc/rfc7946#section-5.

    Raises:
        ValueError: if there are too many or too few, or they are out of range or order.
    """
    if not bbox:
        return bbox
    problem = ""
    if len(bbox) not in {4, 6}:
        problem = f"{len(bbox)} numbers"
    else:
        half = len(bbox) // 2
        west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
        if not all(-180 <= longitude <= 180 for longitude in (west, east)):
            problem = "a longitude beyond 180 degrees"
        elif not all(-90 <= latitude <= 90 for latitude in (south, north)):
            problem = "a latitude beyond 90 degrees"
        elif south > north:
            problem = f"south {south:g} is greater than north {north:g}"
        elif half == 3 and bbox[2] > bbox[5]:
            problem = f"lowest {bbox[2]:g} is greater than highest {bbox[5]:g}"
    if problem:
        raise ValueError(f"{_BBOX_RULE} Received: query.bbox={list(bbox)}: {problem}.")
    return bbox


def check_datetime(text: str) -> str:
    """Validate a time or an interval by the rules of STAC.

    Args:
        text: the time or interval; empty for no restriction.

    Returns:
        The text without surrounding whitespace.

    Raises:
        ValueError: if it is not a time, or ends before it starts.
    """
    text = text.strip()
    if not text:
        return text
    parts = [part.strip() for part in text.split("/")]
    times = [_earliest(part) for part in parts]
    if len(parts) > 2 or (None in times and len(parts) == 1) or all(time is None for time in times):
        raise ValueError(f"{_TIME_RULE} Received: query.datetime={text!r}.")
    if len(times) == 2 and times[0] and times[1] and times[0] > times[1]:
        raise ValueError(f"{_TIME_RULE} Received: query.datetime={text!r}, which ends before it starts.")
    return "/".join(parts)


def check_filter(condition: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Validate the basic syntax of a CQL2 filter; the server validates the rest.

    Args:
        condition: text, or a JSON object, which may also be given as text; empty for no filter.

    Returns:
        The text, or the object.

    Raises:
        ValueError: if it cannot be CQL2.
    """
    if isinstance(condition, str):
        condition = condition.strip()
        if not condition.startswith("{"):
            return _check_text(condition)
        try:
            stated: Mapping[str, Any] = json.loads(condition)
        except ValueError as error:
            raise ValueError(
                f"{_FILTER_RULE} Received: query.filter={condition!r}, which is not JSON: {error}."
            ) from None
    else:
        stated = condition
    if stated and not (isinstance(stated.get("op"), str) and isinstance(stated.get("args"), list)):
        raise ValueError(f"{_FILTER_RULE} Received: query.filter={dict(stated)}.")
    return dict(stated) if stated else ""


def _check_text(condition: str) -> str:
    bare = _QUOTED.sub("", condition)
    problem = "a quote is not closed" if "'" in bare or '"' in bare else ""
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth:
        problem = problem or "the parentheses do not match"
    if problem:
        raise ValueError(f"{_FILTER_RULE} Received: query.filter={condition!r}, where {problem}.")
    return condition


def _earliest(text: str) -> dt.datetime | None:
    """Return the start of a time, day, month or year; None for an open end."""
    if text in {"", ".."}:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a time")
        if match["clock"]:
            time = dt.datetime.fromisoformat(text.upper())
            return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        return dt.datetime(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1), tzinfo=dt.UTC)
    except ValueError:
        raise ValueError(f"{_TIME_RULE} Received: {text!r} in query.datetime.") from None
