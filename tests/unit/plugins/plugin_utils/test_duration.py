# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
    ],
)
def test_both_ways(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span
    assert format_duration(span) == text


def test_the_largest_unit_is_written() -> None:
    assert parse_duration("2w") == timedelta(days=14)
    assert format_duration(timedelta(days=14)) == "14d"
    assert format_duration(timedelta(seconds=5400)) == "90m"


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "90 d", "90D", "1d2h", "9" * 20 + "d"])
def test_errors(text: str) -> None:
    with pytest.raises(ValueError, match="span of time"):
        parse_duration(text)
