# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.lab import hosts
from tests.lab.site import Host, Segment, Site

DATA, APP = (
    Segment("a", tier, IPv4Network(cidr)) for tier, cidr in [("data", "10.9.1.0/25"), ("app", "10.9.1.128/25")]
)
HOST = Host("db1", "a", IPv4Address("10.9.1.11"), DATA)
SITE = Site("s", "s.internal", IPv4Network("10.9.0.0/16"), (DATA, APP), (HOST,))


def test_a_host_is_in_the_network_of_its_zone_and_tier() -> None:
    config = hosts.container("x", HOST, SITE, "image", {"holdfast.lab": "x"})
    assert config["NetworkingConfig"]["EndpointsConfig"] == {"x-a-data": {"IPAMConfig": {"IPv4Address": "10.9.1.11"}}}
    assert config["Env"] == ["LAB_NETWORK=10.9.0.0/16", "LAB_ROUTER=10.9.1.126"]
    assert config["Labels"]["holdfast.lab"] == "x"
    assert "Privileged" not in config["HostConfig"]
    assert config["HostConfig"]["Mounts"][0]["VolumeOptions"]["Labels"] == {"holdfast.lab": "x"}


@pytest.mark.parametrize(
    ("files", "servers"),
    [
        (["nameserver 192.0.2.1\n# nameserver 192.0.2.9\nnameserver 192.0.2.2\n"], ["192.0.2.1", "192.0.2.2"]),
        (["nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n"], ["192.0.2.1"]),
        (["nameserver 127.0.0.53\nnameserver 192.0.2.1\n"], ["192.0.2.1"]),
        (["nameserver ::1\n"], []),
        ([], []),
    ],
)
def test_hosts_ask_name_servers_that_they_can_reach(files: list[str], servers: list[str]) -> None:
    assert hosts.name_servers(*files) == servers


def test_first_files_hold_the_hosts_own_key_and_keep_it_private() -> None:
    key = hosts.new_key()
    packed = hosts.first_files(HOST, SITE, "http://172.17.0.1:3143", "ssh-ed25519 AAAA\n", key)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        modes = {entry.name: (oct(entry.mode), entry.uid) for entry in archive}
        names = archive.extractfile("usr/lib/holdfast-lab/first/hosts")
        cache = archive.extractfile("usr/lib/holdfast-lab/packages-cache")
        assert names is not None
        assert cache is not None
        assert b"10.9.1.11 db1.s.internal db1" in names.read()
        assert cache.read() == b"172.17.0.1 3143\n"
    assert modes["etc/ssh/ssh_host_ed25519_key"] == ("0o600", 0)
    assert modes["home/deploy/.ssh/authorized_keys"] == ("0o600", 1000)
    assert hosts.new_key() != key
