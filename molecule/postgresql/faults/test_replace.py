# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host dies for good; an empty one with another name takes its place, and later gives it back. Nothing is lost."""

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

from tests.integration.conftest import ROOT, RunningLab
from tests.integration.postgresql_client import Cluster, Psql

REMOVE, SITE, VERIFY = (ROOT / f"playbooks/{name}.yml" for name in ("remove", "site", "verify"))
GONE, NEW = "data-b1", "spare-b1"
DATA = "/var/lib/etcd/holdfast /var/lib/postgresql/17/holdfast"


def play(lab: RunningLab, inventory: Path, playbook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    print(f"{playbook.name} {' '.join(options)}", flush=True)
    return subprocess.run(
        [ROOT / ".venv/bin/ansible-playbook", "-i", inventory, playbook, *options],
        cwd=ROOT,
        env=lab.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


def last_record(lab: RunningLab) -> dict[str, Any]:
    lines = (lab.lab.home / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(lines[-1]))


@pytest.fixture(scope="module")
def replaced(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory as a person changes it: data-b1 is gone, the spare has its services and stands first."""
    inventory = tmp_path_factory.mktemp("inventory") / "replaced"
    shutil.copytree(lab.inventory, inventory)
    file = inventory / "site.yml"
    site = yaml.safe_load(file.read_text(encoding="utf-8"))
    site["pools"]["data"]["generate"]["zones"].remove("b")
    spare = site["pools"].pop("spare") | {"services": site["pools"]["data"]["services"]}
    site["pools"] = {"spare": spare, **site["pools"]}
    file.write_text(f"---\n{yaml.safe_dump(site, sort_keys=False)}", encoding="utf-8")
    return inventory


@pytest.fixture(scope="module")
def dead(lab: RunningLab) -> Iterator[str]:
    lab.stop(GONE)
    yield GONE
    lab.start(GONE)


def test_a_dead_host_is_removed(lab: RunningLab, dead: str, cluster: Cluster, psql: Psql) -> None:
    assert psql("CREATE TABLE IF NOT EXISTS app.kept (id int PRIMARY KEY); TRUNCATE app.kept").returncode == 0
    assert psql("INSERT INTO app.kept SELECT generate_series(1, 1000)").returncode == 0
    begin = time.monotonic()
    done = play(lab, lab.inventory, REMOVE, "--tags", "never", "-e", f"remove_host={dead}")
    assert done.returncode == 0, done.stdout
    print(f"removed after {time.monotonic() - begin:.0f} s")
    assert set(cluster()) == {"data-a1", "data-c1"}
    record = last_record(lab)
    assert (record["operation"], record["outcome"]) == ("remove", "succeeded")
    assert dead in record["unreachable"]
    again = play(lab, lab.inventory, REMOVE, "--tags", "never", "-e", f"remove_host={dead}")
    assert again.returncode == 0, again.stdout


def test_an_empty_host_takes_its_place(
    lab: RunningLab, replaced: Path, dead: str, cluster: Cluster, psql: Psql
) -> None:
    begin = time.monotonic()
    done = play(lab, replaced, SITE)
    assert done.returncode == 0, done.stdout
    print(f"replaced after {time.monotonic() - begin:.0f} s")
    members = cluster()
    assert set(members) == {"data-a1", "data-c1", NEW}
    assert members[NEW]["State"] == "streaming", "the run waits until the new member streams"
    verified = play(lab, replaced, VERIFY, "--tags", "etcd,postgresql")
    assert verified.returncode == 0, verified.stdout
    assert psql("SELECT count(*) FROM app.kept").stdout.strip() == "1000"
    assert psql("INSERT INTO app.kept VALUES (1001)").returncode == 0


def test_the_leader_leaves_alive_and_a_wiped_host_comes_back(
    lab: RunningLab, replaced: Path, cluster: Cluster, psql: Psql
) -> None:
    lab.start(GONE)
    lab.ssh(GONE, f"sudo systemctl stop patroni etcd; sudo rm -rf {DATA}")
    leader = next(name for name, member in cluster().items() if member["Role"] == "Leader")
    if leader != NEW:
        lab.ssh(
            leader, f"sudo patronictl -c /etc/patroni/config.yml switchover --leader {leader} --candidate {NEW} --force"
        )
    done = play(lab, replaced, REMOVE, "--tags", "never", "-e", f"remove_host={NEW}")
    assert done.returncode == 0, done.stdout
    assert set(cluster()) == {"data-a1", "data-c1"}
    assert psql("INSERT INTO app.kept VALUES (1002)").returncode == 0
    done = play(lab, lab.inventory, SITE)
    assert done.returncode == 0, done.stdout
    members = cluster()
    assert set(members) == {"data-a1", GONE, "data-c1"}
    assert members[GONE]["State"] == "streaming"
    assert psql("SELECT count(*) FROM app.kept").stdout.strip() == "1002"
    verified = lab.play(VERIFY)
    assert verified.returncode == 0, verified.stdout


def test_no_member_leaves_while_another_one_is_down(lab: RunningLab, cluster: Cluster) -> None:
    lab.ssh("data-c1", "sudo systemctl stop patroni")
    try:
        done = lab.play(REMOVE, "--tags", "postgresql", "-e", "remove_host=data-a1")
        assert done.returncode != 0
        assert "may not stop now" in done.stdout
        assert "data-a1" in cluster()
        record = last_record(lab)
        assert (record["outcome"], "may not stop now" in record["reason"]) == ("failed", True)
    finally:
        lab.ssh("data-c1", "sudo systemctl start patroni")
