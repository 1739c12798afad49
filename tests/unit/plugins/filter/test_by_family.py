# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources by family of addresses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.by_family import FilterModule, by_family


@pytest.mark.parametrize(
    ("sources", "families"),
    [
        ([], {}),
        (["10.0.1.11"], {"ip": ["10.0.1.11"]}),
        (["fd00::/64", "::1"], {"ip6": ["fd00::/64", "::1"]}),
        (
            ["10.0.2.0/24", "fd00::/64", "10.0.1.11", "0.0.0.0/0"],
            {"ip": ["10.0.2.0/24", "10.0.1.11", "0.0.0.0/0"], "ip6": ["fd00::/64"]},
        ),
    ],
)
def test_by_family(sources: list[str], families: dict[str, list[str]]) -> None:
    assert by_family(sources) == families


@pytest.mark.parametrize("source", ["db1", "", "10.0.1.0/33", "10.1", None, 5, ["10.0.1.11"]])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        by_family(["10.0.1.11", source])
    assert f"by_family: {source!r} is neither an address nor a network" in str(caught.value)


def test_ansible_finds_it() -> None:
    assert FilterModule().filters() == {"by_family": by_family}
