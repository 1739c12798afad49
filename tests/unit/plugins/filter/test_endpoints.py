# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of hosts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.endpoints import FilterModule, endpoints


@pytest.mark.parametrize(
    ("addresses", "urls"),
    [
        ([], []),
        (["10.0.1.11"], ["https://10.0.1.11:2379"]),
        (["10.0.2.11", "10.0.1.11"], ["https://10.0.2.11:2379", "https://10.0.1.11:2379"]),
        (["fd00::11"], ["https://[fd00::11]:2379"]),
        (["FD00:0::0011"], ["https://[fd00::11]:2379"]),
    ],
)
def test_endpoints(addresses: list[str], urls: list[str]) -> None:
    assert endpoints([{"name": "a1", "address": address} for address in addresses], 2379) == urls


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ({"name": "a1"}, "{'name': 'a1'}"),
        *[
            ({"address": address}, "'address'")
            for address in ("db1", "", None, "10.0.1.0/24", "10.0.1.256", 5, True, ["10.0.1.11"])
        ],
        ("a1", "'a1'"),
        (None, "None"),
    ],
)
def test_a_host_without_an_address(host: Any, told: str) -> None:
    with pytest.raises(AnsibleFilterError, match="has no address; expected a host with `address`") as caught:
        endpoints([{"address": "10.0.1.11"}, host], 2379)
    assert told in str(caught.value)


def test_ansible_finds_it() -> None:
    assert FilterModule().filters() == {"endpoints": endpoints}
