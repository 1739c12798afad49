# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Newer packages, rebuilt from those that are installed, reach every member, also when the controller is killed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.chaos.ledger import Ledger, writing
from tests.chaos.services.postgresql import PostgreSQL
from tests.integration import newer_packages
from tests.integration.conftest import ROOT, RunningLab
from tests.integration.postgresql_client import Cluster

UPGRADE, SITE = ROOT / "playbooks/upgrade.yml", ROOT / "playbooks/site.yml"
MEMBERS = ("data-a1", "data-b1", "data-c1")
PACKAGES = ("patroni", "postgresql-17")


def versions(lab: RunningLab) -> dict[str, set[str]]:
    """Versions of each package over the members."""
    found = newer_packages.versions(lab, MEMBERS, PACKAGES)
    return {name: {versions[name] for versions in found.values()} for name in PACKAGES}


def records(lab: RunningLab) -> list[dict[str, Any]]:
    lines = (lab.lab.home / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["operation"] == "upgrade"]


@pytest.fixture(scope="module", autouse=True)
def _no_leftovers(lab: RunningLab) -> Iterator[None]:
    yield
    newer_packages.withdraw(lab, MEMBERS)


def refused(lab: RunningLab, reason: str, **variables: object) -> None:
    """Try; it is refused for the reason, and every package stays as it is."""
    before = versions(lab)
    done = lab.play(UPGRADE, "--tags", "postgresql", "--extra-vars", json.dumps(variables))
    assert done.returncode != 0
    assert reason in " ".join(done.stdout.split())
    assert versions(lab) == before


def test_without_a_copy_to_go_back_to_nothing_changes(lab: RunningLab) -> None:
    refused(lab, "an upgrade wants a copy to go back to: the newest copy of all stores is", postgresql_backup_every=-24)


def test_another_major_version_is_refused_before_anything_changes(lab: RunningLab) -> None:
    refused(lab, "postgresql_version is 16, and the cluster runs 17", postgresql_version=16)
    done = lab.play(SITE, "--tags", "postgresql", "--extra-vars", "postgresql_version=16")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    for host in MEMBERS:
        assert re.search(rf"failed {host} Install the packages", said), said
    assert "postgresql_version is 16, and /var/lib/postgresql/17/holdfast/PG_VERSION says 17" in said
    assert "Set postgresql_version: 17" in said


@pytest.mark.full
def test_an_open_transaction_stops_it_before_anything_changes(lab: RunningLab) -> None:
    newer_packages.offer(lab, MEMBERS, PACKAGES, "1")
    sleep = "psql -d postgres -c 'BEGIN' -c 'SELECT 1' -c 'SELECT pg_sleep(60)' >/dev/null"
    lab.ssh("data-c1", f'sudo -u postgres setsid -f sh -c "{sleep}" </dev/null >/dev/null 2>&1; sleep 3')
    refused(lab, "a transaction has been open for", postgresql_upgrade_longest_transaction=1)


@pytest.mark.full
def test_a_prepared_transaction_stops_it(lab: RunningLab) -> None:
    service = PostgreSQL(lab)
    more = json.dumps({"postgresql_parameters": {"max_prepared_transactions": 5}})
    done = lab.play(SITE, "--tags", "postgresql", "--extra-vars", more)
    assert done.returncode == 0, done.stdout
    leader = service.leader()
    service.sql(leader, "BEGIN; CREATE TABLE forgotten (); PREPARE TRANSACTION 'forgotten'; SELECT pg_sleep(3)")
    try:
        refused(lab, "a transaction has been open for", postgresql_upgrade_longest_transaction=1)
    finally:
        service.sql(leader, "ROLLBACK PREPARED 'forgotten'")
        done = lab.play(SITE, "--tags", "postgresql")
    assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_replicas_first_the_leader_last_and_no_commit_is_lost(
    lab: RunningLab, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    service = PostgreSQL(lab)
    leader, run = service.leader(), f"{time.time_ns():x}"
    host = service.clients[0]
    with writing(Ledger(lab, host, service.rate), service.client, service.prepare(host, run), "upgrade") as entries:
        begin = time.monotonic()
        done = lab.play(UPGRADE, "--tags", "postgresql")
        seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stdout
    assert all(len(found) == 1 and found.pop().endswith("+lab1") for found in versions(lab).values())
    members = cluster()
    assert members[leader]["Role"] != "Leader"
    assert {member["State"] for name, member in members.items() if member["Role"] != "Leader"} == {"streaming"}
    record = records(lab)[-1]
    assert (record["outcome"], record["figures"]["members"], record["figures"]["switchovers"]) == ("succeeded", 3, 1)
    written = {entry.number for entry in entries if entry.outcome == "acknowledged"}
    times = sorted(entry.ended for entry in entries if entry.outcome == "acknowledged")
    gap = max(later - earlier for earlier, later in pairwise(times))
    with capsys.disabled():
        print(f"\nupgraded in {seconds:.0f} s: {len(written)} acknowledged, longest write gap {gap:.1f} s")
    assert all(written <= set(numbers) for numbers in service.present(run).values())
    assert gap < 10
    again = lab.play(UPGRADE, "--tags", "postgresql")
    assert again.returncode == 0, again.stdout
    assert "nothing is newer: no member was touched" in again.stdout
    assert records(lab)[-1]["figures"]["members"] == 0


@pytest.mark.full
def test_a_killed_upgrade_goes_on_where_it_was(lab: RunningLab, cluster: Cluster) -> None:
    newer_packages.offer(lab, MEMBERS, PACKAGES, "2")
    lab.killed(
        UPGRADE, "--tags", "postgresql",
        when=lambda _: any(version.endswith("+lab2") for version in versions(lab)["patroni"]),
    )  # fmt: skip
    done = lab.play(UPGRADE, "--tags", "postgresql")
    assert done.returncode == 0, done.stdout
    assert all(len(found) == 1 and found.pop().endswith("+lab2") for found in versions(lab).values())
    outcomes = [record["outcome"] for record in records(lab)[-3:]]
    assert outcomes == ["started", "started", "succeeded"]
    shown = lab.play(ROOT / "playbooks/evidence.yml")
    assert shown.returncode == 0, shown.stdout
    assert "no outcome: killed or still running" in shown.stdout
    assert len(cluster()) == len(MEMBERS)
