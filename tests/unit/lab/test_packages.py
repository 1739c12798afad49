# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import packages
from tests.lab.machine import LabError

DEB822 = """
Types: deb
# http://snapshot.example.org/archive/debian/20250520T000000Z
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

URIs: http://mirror.example.org/debian-security/
"""
ONE_LINE = """
deb [signed-by=/etc/x.gpg] https://vendor.example.org/apt stable main
deb https://mirror.example.org/debian bookworm main
"""


@pytest.mark.parametrize(
    ("sources", "mirrors"),
    [
        (DEB822, ("http://mirror.example.org/debian", "http://mirror.example.org/debian-security")),
        (ONE_LINE, ("https://mirror.example.org/debian", "https://mirror.example.org/debian-security")),
        (
            "deb http://a.example.org/debian x main\ndeb http://b.example.org/debian-security x-security main",
            ("http://a.example.org/debian", "http://b.example.org/debian-security"),
        ),
    ],
)
def test_hosts_use_the_mirrors_of_the_machine(sources: str, mirrors: tuple[str, str]) -> None:
    assert packages.mirrors(sources) == mirrors


@pytest.mark.parametrize(
    "sources", ["", "deb http://a.example.org/ubuntu noble main", "# deb http://old.example.org/debian x main"]
)
def test_a_machine_without_a_mirror_is_told_so(sources: str) -> None:
    with pytest.raises(LabError, match="names no Debian mirror"):
        packages.mirrors(sources)


def test_the_cache_goes_through_the_machines_own_proxy() -> None:
    proxy = "http://proxy.example.org:3128"
    assert f"Proxy: {proxy}" in packages.configuration("10.0.0.1", proxy, Path("/mirror"))
    assert "LocalDirs: mirror /mirror" in packages.configuration("10.0.0.1", proxy, Path("/mirror"))
    assert "Proxy:" not in packages.configuration("10.0.0.1", "", Path("/mirror"))
