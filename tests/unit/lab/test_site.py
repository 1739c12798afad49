# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import site
from tests.lab.machine import LabError


def test_the_default_lab_moves_to_another_range_and_keeps_its_hosts() -> None:
    here, there = site.load("lab"), site.load("lab", "10.99.0.0/16")
    assert [host.name for host in here.hosts] == [host.name for host in there.hosts]
    assert {segment.name for segment in there.segments} == {"a", "b", "c"}
    for host in there.hosts:
        assert str(host.address).startswith("10.99.")
        assert host.address in host.segment.subnet
        assert host.segment.zone == host.zone


def test_unknown_sites_are_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"SITE=nowhere is unknown.*known labs: .*lab"):
        site.load("nowhere")


def test_a_site_of_real_hosts_is_no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north/site.yml").write_text("""
plugin: holdfast.platform.site
name: north
domain: north.example.org
admin: [192.0.2.5]
zones: {a: {cidr: 192.0.2.0/24}}
pools: {app: {tier: app, hosts: [{name: app1, zone: a, address: 192.0.2.11}]}}
""")
    monkeypatch.setattr(site, "INVENTORIES", tmp_path)
    with pytest.raises(LabError, match=r"SITE=north is no lab .*known labs: none"):
        site.load("north")
