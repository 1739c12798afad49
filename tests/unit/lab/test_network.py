# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from ipaddress import IPv4Network as Net

import pytest

from tests.lab import network

B = "{ 10.77.2.0/25, 10.77.2.128/25 }"
ZONES = {"a": [Net("10.77.1.0/24")], "b": [Net("10.77.2.0/25"), Net("10.77.2.128/25")]}


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "10.77.0.0/16"),
        (["172.17.0.0/16", "192.0.2.0/24"], "10.77.0.0/16"),
        (["10.77.3.0/24"], "10.78.0.0/16"),
        (["10.77.0.0/16", "10.78.0.0/16", "10.79.255.255/32"], "10.80.0.0/16"),
        (["10.64.0.0/10", "10.128.0.0/9"], "10.0.0.0/16"),
    ],
)
def test_a_lab_takes_the_first_free_range(taken: list[str], chosen: str) -> None:
    assert network.choose(Net("10.77.0.0/16"), map(Net, taken)) == Net(chosen)


def test_no_range_is_left() -> None:
    with pytest.raises(LookupError, match="overlaps"):
        network.choose(Net("10.77.0.0/16"), [Net("10.0.0.0/8")])


def test_ends_of_a_zone_network_are_the_labs_own() -> None:
    assert str(network.gateway(Net("10.77.2.128/25"))) == "10.77.2.129"
    assert str(network.router(Net("10.77.2.128/25"))) == "10.77.2.254"


@pytest.mark.parametrize(
    ("cuts", "rules"),
    [
        ({}, []),
        ({"a": "in"}, ['ip saddr != { 10.77.1.0/24 } ip daddr { 10.77.1.0/24 } drop comment "a in"']),
        ({"a": "out"}, ['ip saddr { 10.77.1.0/24 } ip daddr != { 10.77.1.0/24 } drop comment "a out"']),
        (
            {"b": "both"},
            [
                f'ip saddr != {B} ip daddr {B} drop comment "b in"',
                f'ip saddr {B} ip daddr != {B} drop comment "b out"',
            ],
        ),
    ],
)
def test_rules_of_a_cut(cuts: dict[str, str], rules: list[str]) -> None:
    lines = [line.strip() for line in network.cut_rules(cuts, ZONES).splitlines()]
    assert [line for line in lines if "drop" in line] == rules
    assert lines[:2] == ["table ip lab", "delete table ip lab"], "the rules replace all that were there"


@pytest.mark.parametrize("cuts", [{}, {"a": "in"}, {"a": "both", "b": "out"}])
def test_cuts_are_read_back_from_the_router(cuts: dict[str, str]) -> None:
    comments = [line.split('"')[1] for line in network.cut_rules(cuts, ZONES).splitlines() if "comment" in line]
    ruleset = {"nftables": [{"metainfo": {}}, {"table": {}}, *({"rule": {"comment": text}} for text in comments)]}
    assert network.read_cuts(json.dumps(ruleset)) == cuts


def test_traffic_between_zones_keeps_its_addresses() -> None:
    rules = network.masquerade("holdfast_x", Net("10.77.0.0/16"))
    shown = "table ip nat {\n\tchain POSTROUTING {\n\t}\n}\n" + rules.replace("    ", "\t").split("\n", 2)[2]
    assert network.masqueraded(shown) == {"holdfast_x": Net("10.77.0.0/16")}
    assert network.masqueraded("") == {}
    assert "ip saddr 10.77.0.0/16 ip daddr != 10.77.0.0/16 masquerade" in rules
