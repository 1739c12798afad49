# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host dies for good and one with another name takes its place, in its zone and in another one. Nothing is lost.

The order of the tests is that of the story; a host's place in the site file changes with each chapter.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import PROGRAMS, ROOT, RunningLab
from tests.integration.postgresql_client import Cluster, Psql

REMOVE, SITE, VERIFY = (ROOT / f"playbooks/{name}.yml" for name in ("remove", "site", "verify"))
GONE, NEW = "data-b1", "spare-b1"
DATA = "/var/lib/etcd/holdfast /var/lib/postgresql/17/holdfast"


def run(lab: RunningLab, inventory: Path, playbook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook with another inventory than the lab's."""
    begin = time.monotonic()
    done = subprocess.run(
        [PROGRAMS / "ansible-playbook", "-i", inventory, playbook, *options],
        cwd=ROOT,
        env=lab.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    print(f"{inventory.name}: {playbook.name} {' '.join(options)}: {time.monotonic() - begin:.0f} s", flush=True)
    return done


def play(lab: RunningLab, inventory: Path, playbook: Path, *options: str) -> None:
    """The same; it has to succeed."""
    done = run(lab, inventory, playbook, *options)
    assert done.returncode == 0, done.stdout[-5000:]


def verify(lab: RunningLab, inventory: Path) -> None:
    """The services say that all is well, once a machine that has just done a lot has come to rest."""
    end = time.monotonic() + 120
    while (done := run(lab, inventory, VERIFY, "--tags", "etcd,postgresql")).returncode:
        assert time.monotonic() < end, done.stdout[-5000:]


def remove(lab: RunningLab, inventory: Path, host: str) -> None:
    """What `make remove HOST=...` runs."""
    play(lab, inventory, REMOVE, "--tags", "never", "--extra-vars", f"remove_host={host}")


def last_record(lab: RunningLab) -> dict[str, Any]:
    lines = (lab.lab.home / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(lines[-1]))


def voters(lab: RunningLab) -> set[str]:
    """Members of etcd that have a vote, as one of them tells."""
    pki = "/etc/holdfast/pki/etcd"
    files = f"--cacert {pki}/ca.crt --cert {pki}/etcd.crt --key {pki}/etcd.key"
    command = f"etcdctl --endpoints https://$(hostname):2379 {files} member list"
    lines = [line.split(", ") for line in lab.run("data-a1", command).splitlines()]
    return {line[2] for line in lines if line[1] == "started" and line[5] == "false"}


def changed(lab: RunningLab, inventory: Path, *data: str, b: str = "b") -> Path:
    """The inventory as a person changes it: other hosts in the pool `data`, and perhaps another name for zone b."""
    shutil.copytree(lab.inventory, inventory)
    file = inventory / "site.yml"
    site = yaml.safe_load(file.read_text(encoding="utf-8"))
    network = site["network"].split(".")[:2]  # a lab may have moved the site to another one
    site["zones"][b] = site["zones"].pop("b")
    pools = {"data": data, "backup": ("backup-a1", "backup-b1"), "app": ("app-c1",)}
    pools |= {} if NEW in data else {"spare": (NEW,)}
    site["pools"] = {name: dict(site["pools"][name]) for name in pools}
    for pool, hosts in pools.items():
        del site["pools"][pool]["generate"]
        site["pools"][pool]["hosts"] = [
            {
                "name": host,
                "zone": b if host[-2] == "b" else host[-2],
                "address": ".".join(network + lab.address(host).split(".")[2:]),
            }
            for host in hosts
        ]
    file.write_text(f"---\n{yaml.safe_dump(site, sort_keys=False)}", encoding="utf-8")
    return inventory


def in_sync(lab: RunningLab, cluster: Cluster, *members: str) -> None:
    """These are members and no others, and they are in sync."""
    found = cluster()
    assert set(found) == voters(lab) == set(members)
    assert {member["State"] for member in found.values() if member["Role"] != "Leader"} == {"streaming"}


def kept(psql: Psql, rows: int) -> None:
    """All rows are there and one more can be written."""
    assert psql("SELECT count(*) FROM app.kept").stdout.strip() == str(rows)
    assert psql(f"INSERT INTO app.kept VALUES ({rows + 1})").returncode == 0


@pytest.fixture(scope="module")
def replaced(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spare has the place of data-b1, in the same zone, and stands first."""
    return changed(lab, tmp_path_factory.mktemp("inventories") / "replaced", NEW, "data-c1", "data-a1")


@pytest.fixture(scope="module")
def moved(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """There is a zone d in place of zone b, and data-b1 in it."""
    return changed(lab, tmp_path_factory.mktemp("inventories") / "moved", "data-a1", "data-c1", GONE, b="d")


@pytest.fixture(scope="module")
def dead(lab: RunningLab) -> Iterator[str]:
    lab.stop(GONE)
    yield GONE
    lab.start(GONE)  # no matter when it runs


@pytest.mark.full
def test_no_member_leaves_while_another_one_is_down(lab: RunningLab, cluster: Cluster) -> None:
    lab.ssh("data-c1", "sudo systemctl stop patroni")
    try:
        done = lab.play(REMOVE, "--tags", "postgresql", "--extra-vars", "remove_host=data-a1")
        assert done.returncode != 0
        assert "may not stop now" in done.stdout
        assert "data-a1" in cluster()
        record = last_record(lab)
        assert (record["outcome"], "may not stop now" in record["reason"]) == ("failed", True)
    finally:
        lab.ssh("data-c1", "sudo systemctl start patroni")


def test_etcd_keeps_a_member_that_the_others_need(lab: RunningLab) -> None:
    lab.ssh("data-c1", "sudo systemctl stop etcd")
    try:
        done = lab.play(REMOVE, "--tags", "etcd", "--extra-vars", "remove_host=data-b1")
        assert done.returncode != 0
        assert "data-b1 stays: of the 2 members without it, data-c1 does not answer, and 2 have to" in done.stdout
    finally:
        lab.ssh("data-c1", "sudo systemctl start etcd")
    assert "data-b1" in voters(lab)


@pytest.mark.full
def test_a_name_that_nobody_knows(lab: RunningLab) -> None:
    done = lab.play(REMOVE, "--tags", "etcd", "--extra-vars", "remove_host=data-b2")
    assert done.returncode != 0
    assert "etcd_remove_member is data-b2, which neither the inventory nor the cluster knows" in done.stdout


@pytest.mark.full
def test_a_dead_host_is_removed(lab: RunningLab, dead: str, cluster: Cluster, psql: Psql) -> None:
    assert psql("CREATE TABLE IF NOT EXISTS app.kept (id int PRIMARY KEY); TRUNCATE app.kept").returncode == 0
    assert psql("INSERT INTO app.kept SELECT generate_series(1, 1000)").returncode == 0
    remove(lab, lab.inventory, dead)
    assert set(cluster()) == voters(lab) == {"data-a1", "data-c1"}
    record = last_record(lab)
    assert (record["operation"], record["outcome"]) == ("remove", "succeeded")
    assert dead in record["unreachable"]
    remove(lab, lab.inventory, dead)


@pytest.mark.full
def test_an_empty_host_takes_its_place(
    lab: RunningLab, replaced: Path, dead: str, cluster: Cluster, psql: Psql
) -> None:
    assert dead not in cluster()
    play(lab, replaced, SITE)
    in_sync(lab, cluster, "data-a1", "data-c1", NEW)
    verify(lab, replaced)
    kept(psql, 1000)


@pytest.mark.full
def test_the_leader_leaves_alive_and_a_wiped_host_joins_in_another_zone(
    lab: RunningLab, replaced: Path, moved: Path, cluster: Cluster, psql: Psql
) -> None:
    lab.start(GONE)
    lab.ssh(GONE, f"sudo systemctl stop patroni etcd; sudo rm -rf {DATA}")
    leader = next(name for name, member in cluster().items() if member["Role"] == "Leader")
    if leader != NEW:
        lab.ssh(
            leader, f"sudo patronictl -c /etc/patroni/config.yml switchover --leader {leader} --candidate {NEW} --force"
        )
    remove(lab, replaced, NEW)
    assert set(cluster()) == voters(lab) == {"data-a1", "data-c1"}
    play(lab, moved, SITE)
    in_sync(lab, cluster, "data-a1", "data-c1", GONE)
    verify(lab, moved)
    kept(psql, 1001)
    play(lab, lab.inventory, SITE)
    in_sync(lab, cluster, "data-a1", "data-c1", GONE)
    verify(lab, lab.inventory)
    kept(psql, 1002)
