# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of time as people write them: 90d, 12h, 30m, 45s."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Read a positive whole number with one unit: s, m, h, d or w.

    Raises ValueError that says what would be right.
    """
    match = re.fullmatch(r"([1-9][0-9]*)([smhdw])", text)
    if match is None:
        raise ValueError(f"'{text}' is not a span of time; write a number and one of s, m, h, d, w, such as 90d")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ValueError(f"'{text}' is too long a span of time") from error


def format_duration(span: timedelta) -> str:
    """Write a span in the largest unit that gives a whole number: 90 days are 90d, not 2160h."""
    seconds = int(span.total_seconds())
    for unit, name in (("d", "days"), ("h", "hours"), ("m", "minutes")):
        size = int(timedelta(**{name: 1}).total_seconds())
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
