# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who founds a cluster."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.filter.founder import FilterModule


@pytest.mark.parametrize(
    ("standings", "host"),
    [
        ({"b": "unformed", "a": "unformed"}, "a"),
        ({"a": "unformed", "b": "founding"}, "b"),  # who was cut off goes on
        ({"a": "joinable", "b": "founding"}, "b"),  # its API answers already
        ({"a": "unformed", "b": "joinable"}, ""),  # one of them sees a cluster
        ({"a": "unformed", "b": "member"}, ""),
        ({"a": "member"}, ""),
        ({}, ""),
    ],
)
def test_founder(standings: dict[str, str], host: str) -> None:
    assert FilterModule().filters()["founder"](standings) == host
