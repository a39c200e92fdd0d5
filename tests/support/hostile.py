"""Hostile input for property tests: damaged bytes, and JSON in which some values are replaced by bad ones."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from tilepipe.components.shared.errors import TilepipeError

VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 1e308, 0.5),
    *(float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "\n",
        "a" * 5000,
        "\ud800",
        "\0",
        "\x1b]0;title\x07",
        "\u202eabc",
        "\uff12\uff10",
        "-",
        "{}",
        "nan",
        "1e999",
    ),
    *("../../etc/passwd", "/etc/passwd", "//host/x", "file:///etc/passwd", "s3://b/../x", "http://[::1", "%2e%2e%2f"),
    *("=1+1", "<script>alert(1)</script>", "'; DROP TABLE found; --"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2020-13-01"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": {}}}, [[[[[[1]]]]]]),
)
"""Values that readers of JSON must refuse or survive, in any place."""

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from _places(value, (*place, key))


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document in which one to three values are replaced, removed, repeated or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            break
        *above, key = draw(st.sampled_from(places))
        there = document
        for step in above:
            there = there[step]
        edit = draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename or repeat")))
        if edit == "replace":
            there[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif edit == "remove":
            del there[key]
        elif isinstance(there, dict):
            there[draw(st.sampled_from(("x", "", "\ud800", "../x", "type", "\x1b[2J")))] = there.pop(key)
        else:
            there.append(there[key])
    return document


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a content with one to six bytes, numbers or pieces changed, cut off, repeated or removed."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        place = draw(st.integers(0, len(data) - 1))
        edit = draw(st.sampled_from(("byte", "bit", "number", "number", "cut", "repeat", "remove")))
        if edit == "byte":
            data[place] = draw(st.integers(0, 255))
        elif edit == "bit":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif edit == "number":
            size, order = draw(st.sampled_from((2, 4))), draw(st.sampled_from(("little", "big")))
            number = draw(st.sampled_from(_NUMBERS)) & (1 << 8 * size) - 1
            data[place : place + size] = number.to_bytes(size, order)
        elif edit == "cut":
            del data[place:]
        else:
            piece = data[place : place + draw(st.integers(1, 40))]
            data[place : place + len(piece)] = piece * 2 if edit == "repeat" else b""
    return bytes(data)


def check_refused_or_read(read: Callable[[], Any], *others: type[Exception]) -> Any:
    """Read hostile input, which must end in a result or one of tilepipe's errors with a short message.

    Args:
        read: function that reads it.
        *others: further errors that the function documents, for functions below a step.

    Returns:
        The result; None after an error.
    """
    try:
        return read()
    except TilepipeError as error:
        assert 10 < len(str(error)) < 20_000
    except others as error:
        assert str(error)
    return None
