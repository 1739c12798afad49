# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The zone of an address."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.zone import zone

ZONES = {"a": {"data": "10.0.1.0/25", "app": "10.0.1.128/25"}, "b": "10.0.2.0/24", "v6": "fd00::/64"}


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.0.1.11", "a"), ("10.0.1.200", "a"), ("10.0.2.0", "b"), ("10.0.2.255", "b"), ("fd00::5", "v6")],
)
def test_zone(address: str, name: str) -> None:
    assert zone(address, ZONES) == name


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.0.3.1", "10.0.3.1 is in none of the zones a, b, v6"),
        ("db1", "'db1' is not an address"),
        (None, "None is not an address"),
        ("10.0.1.0/24", "'10.0.1.0/24' is not an address"),
    ],
)
def test_no_zone(address: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        zone(address, ZONES)
