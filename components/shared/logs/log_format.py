"""Log lines that text from outside cannot forge.

File names, tile ids and labels come from catalogs and buckets. Raw control characters in them could move a terminal's
cursor, set its title, or begin a line that looks like another log record.
"""

import logging
import re

from tilepipe.components.shared.logs.redaction import redacted

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escape_controls(text: str) -> str:
    r"""Escape control characters, line separators and bidirectional overrides, as `\x1b`; newlines and tabs stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class EscapingFormatter(logging.Formatter):
    """Format one record per line start: credentials and control characters are replaced, further lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; every line but the first begins with four spaces."""
        return escape_controls(redacted(super().format(record))).replace("\n", "\n    ")
