# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself, for real: what `make` promises of hosts, zones and of what is left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.lab.lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]
FIRST, SECOND = Lab("lab-test"), Lab("lab-test-2")
HOSTS = ["app-c1", "backup-a1", "backup-b1", "data-a1", "data-b1", "data-c1", "spare-b1"]

RECEIVE = """
import socket, sys
server = socket.socket(type=socket.SOCK_DGRAM); server.bind(("", 9999)); server.settimeout(2)
try: print(server.recv(9).decode())
except TimeoutError: print("nothing")
"""
SEND = """
import socket, time
for _ in range(10):
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"hello", ("{to}", 9999)); time.sleep(0.1)
"""
STREAM_IN = """
import socket
server = socket.create_server(("", 9998)); peer, _ = server.accept()
while data := peer.recv(99): open("/tmp/stream", "ab").write(data)
"""
STREAM_OUT = """
import socket, time
peer = socket.create_connection(("data-b1", 9998), 5)
while True: peer.send(b"."); time.sleep(0.05)
"""


def make(*arguments: str, lab: Lab = FIRST, fails: bool = False) -> str:
    """Run make as a person would; returns all that it printed."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "HOLDFAST_LAB")
    }
    argv = ["make", *arguments, f"LAB={lab.name}"]
    result = subprocess.run(argv, cwd=CHECKOUT, env=environment, text=True, capture_output=True, check=False)
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stdout + result.stderr


def login(host: str, lab: Lab) -> list[str]:
    """The command line that logs in to a host."""
    return lab.ssh_command(lab.containers(docker.from_env())[host].labels["holdfast.address"])


def on(host: str, command: str, lab: Lab = FIRST) -> str:
    """Output of a command on a host."""
    result = subprocess.run([*login(host, lab), command], text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def background(host: str, program: str, lab: Lab = FIRST) -> subprocess.Popen[str]:
    """A Python program that runs on a host."""
    argv = [*login(host, lab), "python3", "-"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(program)
    process.stdin.close()
    return process


def passes(source: str, target: str) -> bool:
    """Whether a datagram gets from one host to another."""
    receiver = background(target, RECEIVE)
    time.sleep(0.5)
    background(source, SEND.format(to=target)).wait(20)
    assert receiver.stdout is not None
    return receiver.stdout.read().strip() == "hello"


def talk(source: str, target: str) -> bool:
    """Whether a host can open a connection to another."""
    probe = f"timeout 1 bash -c 'exec 3<> /dev/tcp/{target}/22' 2> /dev/null && echo open || echo closed"
    return on(source, probe) == "open"


def network_of(lab: Lab) -> str:
    return str(json.loads((lab.home / "lab.json").read_text())["network"])


@pytest.fixture(scope="module", autouse=True)
def labs() -> Iterator[None]:
    try:
        for lab in (FIRST, SECOND):
            make("lab", lab=lab)
        yield
    finally:
        for lab in (FIRST, SECOND):
            make("lab-down", lab=lab)


@pytest.fixture
def healed() -> Iterator[None]:
    yield
    make("zone-heal", "ZONE=b")


def test_an_unprivileged_user_with_sudo_gets_in_and_hosts_know_each_other() -> None:
    for host in HOSTS:
        answers = on(host, "hostname -f; id -un; sudo -n id -un; systemctl is-system-running --wait")
        assert answers.split() == [f"{host}.lab.internal", "deploy", "root", "running"]
    for other in HOSTS:
        assert talk("data-a1", other)
        assert talk("app-c1", f"{other}.lab.internal")


def test_a_host_begins_with_no_rules_and_full_package_lists() -> None:
    assert on("data-a1", "sudo nft list ruleset") == ""
    assert "Candidate: 17" in on("data-a1", "apt-cache policy postgresql-17")


def test_a_host_can_do_what_the_house_asks_of_one() -> None:
    overlay = """
        mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w
        mount -t overlay o -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc && echo staged > /etc/hostname
        cat /etc/hostname"""
    assert on("data-a1", f"sudo unshare -m sh -ec '{overlay}'; cat /etc/hostname").split() == ["staged", "data-a1"]
    on("data-a1", "sudo systemd-run --on-active=1 --timer-property=AccuracySec=100ms touch /tmp/fired")
    time.sleep(2)
    on("data-a1", "test -e /tmp/fired")
    assert on("data-a1", "sudo hostnamectl set-hostname other && cat /etc/hostname") == "other"
    on("data-a1", "sudo hostnamectl set-hostname data-a1 2> /dev/null")


def test_a_command_arrives_as_it_was_typed() -> None:
    typed = """echo "$HOME" 'a  b'; echo it\\'s $((6 * 7))"""
    assert make("ssh", "HOST=data-a1", f"CMD={typed}").split("\n")[:2] == ["/home/deploy a  b", "it's 42"]


def test_up_again_changes_nothing_at_once() -> None:
    before = {name: container.id for name, container in FIRST.containers(docker.from_env()).items()}
    begin = time.monotonic()
    make("lab")
    assert time.monotonic() - begin < 15
    assert {name: container.id for name, container in FIRST.containers(docker.from_env()).items()} == before


def test_two_at_once_do_not_disturb_each_other() -> None:
    environment = {**os.environ, "HOLDFAST_LAB": FIRST.name}
    argv = [str(CHECKOUT / ".venv/bin/python"), "-m", "tests.lab", "up"]
    runs = [subprocess.Popen(argv, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [run.wait(120) for run in runs] == [0, 0]


def test_labs_are_apart() -> None:
    assert network_of(FIRST) != network_of(SECOND)
    other = SECOND.containers(docker.from_env())["data-b1"].labels["holdfast.address"]
    assert not talk("data-a1", other)


def test_a_host_that_is_gone_is_made_again_and_trusted() -> None:
    docker.from_env().containers.get(f"{SECOND.name}-data-c1").remove(force=True)
    assert "creating data-c1" in make("lab", lab=SECOND)
    assert on("data-c1", "hostname", lab=SECOND) == "data-c1"


@pytest.mark.usefixtures("healed")
def test_a_cut_ends_what_was_connected_and_healing_resumes_it() -> None:
    on("data-b1", "rm -f /tmp/stream")
    server = background("data-b1", STREAM_IN)
    time.sleep(0.5)
    client = background("data-a1", STREAM_OUT)
    time.sleep(1)
    make("zone-cut", "ZONE=b")
    sizes = []
    for _ in range(2):
        sizes.append(int(on("data-b1", "stat -c %s /tmp/stream")))
        time.sleep(1)
    assert sizes[0] == sizes[1] > 0
    assert not talk("data-a1", "data-b1")
    assert not talk("data-b1", "data-c1")
    assert talk("data-a1", "data-c1")
    assert "zone cut off (both)" in make("lab-status")
    make("zone-heal", "ZONE=b")
    assert talk("data-a1", "data-b1")
    deadline = time.monotonic() + 30
    while int(on("data-b1", "stat -c %s /tmp/stream")) == sizes[0]:
        assert time.monotonic() < deadline
    for process in (client, server):
        process.kill()


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize(
    ("way", "enters", "leaves"), [("in", False, True), ("out", True, False), ("both", False, False)]
)
def test_a_zone_is_cut_one_way_or_both(way: str, enters: bool, leaves: bool) -> None:
    make("zone-cut", "ZONE=b", f"WAY={way}")
    assert passes("data-a1", "data-b1") is enters
    assert passes("data-b1", "data-a1") is leaves
    assert passes("data-a1", "data-c1")


@pytest.mark.usefixtures("healed")
def test_a_killed_zone_stays_down_until_it_is_healed() -> None:
    on("data-b1", "sudo touch /var/kept /etc/kept /run/lost")
    make("zone-kill", "ZONE=b")
    time.sleep(2)
    assert re.search(r"data-b1 .*exited", make("lab-status"))
    assert not talk("data-a1", "data-b1")
    begin = time.monotonic()
    make("zone-heal", "ZONE=b")
    assert time.monotonic() - begin < 30
    assert talk("data-a1", "data-b1")
    assert on("data-b1", "ls /var/kept /etc/kept /run/lost 2> /dev/null || true").split() == ["/etc/kept", "/var/kept"]


def test_a_reboot_looks_like_one_to_ansible() -> None:
    before = on("data-c1", "cat /proc/sys/kernel/random/boot_id")
    on("data-c1", "echo 192.0.2.9 elsewhere | sudo tee -a /etc/hosts")
    argv = [".venv/bin/ansible", "-i", "inventories/lab", "data-c1", "-b", "-m", "ansible.builtin.reboot"]
    environment = {**os.environ, "HOLDFAST_LAB": FIRST.name, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    subprocess.run(argv, cwd=CHECKOUT, env=environment, check=True, timeout=120, capture_output=True)
    assert on("data-c1", "cat /proc/sys/kernel/random/boot_id") != before
    assert "elsewhere" in on("data-c1", "cat /etc/hosts")
    assert talk("data-c1", "data-a1")


def test_packages_come_through_the_cache_and_without_it() -> None:
    ask = "/usr/lib/holdfast-lab/apt-proxy"
    log = Path("/var/cache/holdfast/packages/log/apt-cacher.log")
    assert on("app-c1", ask).startswith("http://")
    on("app-c1", "sudo apt-get update && sudo apt-get install -y tree")
    address = FIRST.containers(docker.from_env())["app-c1"].labels["holdfast.address"]
    deadline = time.monotonic() + 20
    while not re.search(rf"\|{re.escape(address)}\|.*/tree_", log.read_text()):
        assert time.monotonic() < deadline, "the cache has not seen the host"
        time.sleep(0.5)
    on("app-c1", "echo '172.17.0.1 9' | sudo tee /usr/lib/holdfast-lab/packages-cache")
    assert on("app-c1", ask) == "DIRECT"
    on("app-c1", "sudo apt-get update && sudo apt-get install -y jq")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lab", "SITE=nowhere"], r"SITE=nowhere is unknown.*known labs: .*lab"),
        (["zone-kill", "ZONE=x"], r"ZONE=x is not in lab 'lab-test'; known: a, b, c"),
        (["zone-cut"], r"ZONE=\? is not in lab"),
        (["zone-cut", "ZONE=a", "WAY=up"], r"WAY=up is unknown; known: in, out, both"),
        (["ssh", "HOST=nobody"], f"HOST=nobody is not in lab 'lab-test'; known: {', '.join(HOSTS)}"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(arguments: list[str], message: str) -> None:
    assert re.search(message, make(*arguments, fails=True))


def test_down_leaves_nothing_behind() -> None:
    network = network_of(SECOND)
    on("data-a1", "true", lab=SECOND)
    make("lab-down", lab=SECOND)
    client = docker.from_env()
    label = f"holdfast.lab={SECOND.name}"
    assert client.containers.list(all=True, filters={"label": label}) == []
    assert client.networks.list(filters={"label": label}) == []
    assert client.volumes.list(filters={"label": label}) == []
    assert not SECOND.home.exists()
    tables = subprocess.run(["nft", "list", "tables"], text=True, capture_output=True, check=True).stdout
    assert "holdfast_lab_test_2" not in tables
    assert "holdfast_lab_test" in tables
    connections = subprocess.run(["ss", "-Htn", "dst", network], text=True, capture_output=True, check=True).stdout
    assert connections == ""
