# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in turn over the zones."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.spread import spread


def hosts(*names: str) -> list[dict[str, Any]]:
    """Return hosts of names such as a1: zone a, address 10.0.0.1."""
    return [{"name": name, "zone": name[0], "address": f"10.0.0.{name[1:]}"} for name in names]


@pytest.mark.parametrize(
    ("given", "first", "order"),
    [
        ([], None, []),
        (["a1"], "b", ["a1"]),
        (["a1", "a2", "b1", "c1"], None, ["a1", "b1", "c1", "a2"]),
        (["a10", "a9", "b1"], None, ["a9", "b1", "a10"]),
        (["c1", "b1", "a1"], "b", ["b1", "a1", "c1"]),
        (["c2", "c1", "b1", "a1"], "c", ["c1", "a1", "b1", "c2"]),
        (["a1", "a2", "a3", "b1", "b2"], None, ["a1", "b1", "a2", "b2", "a3"]),
    ],
)
def test_spread(given: list[str], first: str | None, order: list[str]) -> None:
    assert [host["name"] for host in spread(hosts(*given), first)] == order


@pytest.mark.parametrize("host", [{"zone": "a"}, {"address": "10.0.0.1"}, {"zone": "a", "address": "x"}, "a1"])
def test_what_is_no_host(host: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="is not a host with `address` and `zone`"):
        spread([host])
