# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of PostgreSQL settings: when two spellings mean the same.

Sources: PostgreSQL manual, section "Parameter Names and Values"; `src/backend/utils/misc/guc.c` for the units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Union

#: Units are case sensitive.
_UNITS = {
    "number": {"": 1},
    "bytes": {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4},
    "microseconds": {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6},
}

_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}

#: What a value becomes before it is compared: a truth, a number, an amount of memory or time, or text.
Canonical = tuple[str, Union[bool, Fraction, str]]


def canonical(value: object) -> Canonical:
    """Return the comparable form of a setting's value.

    `on`, `true` and `yes` are one value, so are `256MB` and `262144kB`, `1min` and `60s`, `10` and `"10"`.
    A number without a unit equals only a number without one: which unit it would have is known to the server alone.
    """
    if isinstance(value, bool):
        return "bool", value
    text = str(value).strip()
    if text.lower() in _WORDS:
        return "bool", _WORDS[text.lower()]
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return "text", text
    number, unit = Fraction(match[1]), match[2]
    for kind, units in _UNITS.items():
        if unit in units:
            return kind, number * units[unit]
    return "text", text


def same(one: object, other: object) -> bool:
    """Tell whether two values of a setting mean the same."""
    return canonical(one) == canonical(other)


def number(value: object) -> Fraction | None:
    """Return the amount that a value stands for (bytes, microseconds or plain), None when it is no amount."""
    kind, amount = canonical(value)
    return Fraction(amount) if kind != "text" else None


def render(value: object) -> str:
    """Return the spelling that is stored: PostgreSQL's own for truths, the text as it is for the rest."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
