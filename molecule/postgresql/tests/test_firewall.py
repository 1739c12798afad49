# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in where: real connection attempts from every host to every port of every other one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.conftest import RunningLab

DATA = ("data-a1", "data-b1", "data-c1")
ALL = (*DATA, "app-c1")

# Port, and who may reach it, on data hosts; written down here by hand, not computed by the code under test.
ON_DATA_HOSTS = {
    22: (),
    2379: DATA,
    2380: DATA,
    5432: DATA,
    6432: ALL,
    5000: ALL,
    5001: ALL,
    8008: DATA,
    9999: (),  # a listener of the test, which nobody declared
}
ON_APP_HOSTS = dict.fromkeys(ON_DATA_HOSTS, ())

# Opens all connections at once; prints [[address, port, outcome], ...]. A drop is silence, hence the timeout.
PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def attempt(target):
    try:
        socket.create_connection(target, 1.5).close()
        return "open"
    except TimeoutError:
        return "dropped"
    except ConnectionRefusedError:
        return "closed"
targets = [tuple(target) for target in json.loads(sys.argv[1])]
with ThreadPoolExecutor(64) as pool:
    print(json.dumps([[*target, outcome] for target, outcome in zip(targets, pool.map(attempt, targets))]))
"""
LISTENER = "systemd-run -q --unit=holdfast-listener python3 -m http.server 9999"


@pytest.fixture(scope="module")
def listeners(lab: RunningLab) -> Iterator[None]:
    """Something that listens on a port which no service declares, on every host."""
    for host in ALL:
        lab.ssh(host, f"sudo {LISTENER}")
    for host in ALL:
        lab.ssh(host, "for i in $(seq 50); do ss -Hltn sport = :9999 | grep -q . && exit; sleep 0.1; done; exit 1")
    yield
    for host in ALL:
        lab.ssh(host, "sudo systemctl stop holdfast-listener")


@pytest.mark.parametrize("source", ALL)
def test_declared_flows_pass_and_all_others_are_dropped(lab: RunningLab, listeners: None, source: str) -> None:
    wanted = {
        (lab.address(host), port): "open" if source in allowed else "dropped"
        for host in ALL
        if host != source
        for port, allowed in (ON_DATA_HOSTS if host in DATA else ON_APP_HOSTS).items()
    }
    answer = lab.ssh(source, f"python3 -c '{PROBE}' '{json.dumps(list(wanted))}'").stdout
    seen = {(address, port): outcome for address, port, outcome in json.loads(answer)}
    assert seen == wanted


def test_the_controller_gets_in_by_ssh_and_nowhere_else(lab: RunningLab) -> None:
    import socket

    with pytest.raises(OSError, match="timed out"):
        socket.create_connection((lab.address("data-a1"), 5432), 1.5)
    assert lab.ssh("data-a1", "hostname").stdout.strip() == "data-a1"
