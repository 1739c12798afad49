# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the values of settings."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _guc


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (True, "on", True),
        ("TRUE", "yes", True),
        (False, "off", True),
        (True, "off", False),
        (10, "10", True),
        (10, "10.0", True),
        ("0.50", 0.5, True),
        (10, 11, False),
        (1, True, False),
        ("256MB", "262144kB", True),
        ("256 MB", "256MB", True),
        ("1GB", "1024MB", True),
        ("1MB", "1Mb", False),
        ("1MB", 1, False),
        ("1min", "60s", True),
        ("1d", "24h", True),
        ("1000us", "1ms", True),
        ("60s", "60MB", False),
        ("replica", "replica", True),
        ("replica", "logical", False),
        (" replica ", "replica", True),
        ("", "", True),
        ("1,2", "1, 2", False),
        ("-1", -1, True),
    ],
)
def test_same(one: object, other: object, same: bool) -> None:
    assert _guc.same(one, other) is same
    assert _guc.same(other, one) is same


@pytest.mark.parametrize(
    ("value", "amount"),
    [("1kB", 1024), ("1ms", 1000), (7, 7), ("1.5", Fraction(3, 2)), (True, 1), ("off", 0), ("replica", None)],
)
def test_number(value: object, amount: int | Fraction | None) -> None:
    assert _guc.number(value) == amount


@pytest.mark.parametrize(("value", "text"), [(True, "on"), (False, "off"), (5, "5"), ("1min", "1min")])
def test_render(value: object, text: str) -> None:
    assert _guc.render(value) == text
