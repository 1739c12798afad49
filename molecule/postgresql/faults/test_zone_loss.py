# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone dies under load. Afterwards nothing that was acknowledged is missing, and a run changes nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, RunningLab
from tests.integration.postgresql_client import CLIENT_HOST, NAME, Cluster, Psql, Secret

SITE, VERIFY = ROOT / "playbooks/site.yml", ROOT / "playbooks/verify.yml"
SECONDS = 60
MEMBERS = ("data-a1", "data-b1", "data-c1")

# Writes a new id every 20 ms for SECONDS; prints `ok ID TIME` once its commit was acknowledged.
WRITER = """
import os, psycopg2, sys, time
connection, number, end = None, 0, time.time() + float(sys.argv[1])
while time.time() < end:
    number += 1
    try:
        if connection is None:
            connection = psycopg2.connect(host=sys.argv[2], port=5000, dbname="app", user="app_rw", connect_timeout=2,
                password=os.environ["PGPASSWORD"], sslmode="verify-full", sslrootcert="/etc/holdfast/ca.crt",
                tcp_user_timeout=3000)
            connection.autocommit = True
        connection.cursor().execute("INSERT INTO app.ledger VALUES (%s)", [number])
        print("ok", number, time.time(), flush=True)
    except psycopg2.Error:
        connection = None
    time.sleep(0.02)
"""


def leader(members: dict[str, dict[str, Any]]) -> str:
    return next(name for name, member in members.items() if member["Role"] == "Leader")


def eventually(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until check gives something true."""
    end = time.monotonic() + seconds
    while True:
        try:
            if result := check():
                return result
        except (StopIteration, AssertionError):
            pass
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(1)


def healthy(lab: RunningLab) -> bool:
    return lab.play(VERIFY).returncode == 0


def zone(lab: RunningLab, verb: str, name: str) -> None:
    subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "tests.lab", verb, name], cwd=ROOT, env=lab.environment(), check=True
    )


def figures(lab: RunningLab, tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run the site; the progress callback's figures of the services."""
    file = tmp_path / "figures.json"
    argv = [ROOT / ".venv/bin/ansible-playbook", "-i", lab.inventory, SITE, *options]
    run = subprocess.run(
        argv, cwd=ROOT, env=lab.environment(HOLDFAST_FIGURES=str(file)), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    return dict(json.loads(file.read_text(encoding="utf-8"))["services"])


def test_the_loss_of_the_leaders_zone_loses_no_acknowledged_commit(
    lab: RunningLab, cluster: Cluster, psql: Psql, secret: Secret, tmp_path: Path
) -> None:
    if leader(cluster()) == "data-c1":  # the client lives in zone c
        lab.ssh("data-a1", "sudo patronictl -c /etc/patroni/config.yml switchover --candidate data-a1 --force")
        eventually(lambda: leader(cluster()) == "data-a1", 60, "a planned switchover")
    assert psql("CREATE TABLE IF NOT EXISTS app.ledger (id int PRIMARY KEY); TRUNCATE app.ledger").stderr == ""
    dead = leader(cluster())
    failed_zone = dead.split("-")[1][0]

    command = f"PGPASSWORD=$(head -n 1) exec python3 -c '{WRITER}' {SECONDS} {NAME}"
    writer = subprocess.Popen(
        [*lab.lab.ssh_command(lab.address(CLIENT_HOST)), command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdin
    writer.stdin.write(secret("postgresql/app_rw") + "\n")
    writer.stdin.close()
    writer.stdin = None
    time.sleep(8)
    zone(lab, "zone-kill", failed_zone)
    try:
        lost = lab.play(VERIFY)
        assert lost.returncode != 0
        assert dead in lost.stdout, "verify names what is lost"
        out, _ = writer.communicate(timeout=SECONDS + 60)
        new = leader(cluster())
        assert new != dead
        written = [line.split() for line in out.splitlines() if line.startswith("ok ")]
        times = [float(line[2]) for line in written]
        gap = max(later - earlier for earlier, later in pairwise(times))
        present = {int(line) for line in psql("SELECT id FROM app.ledger").stdout.split()}
        lost_ids = {int(line[1]) for line in written} - present
        print(f"acknowledged {len(written)}, lost {len(lost_ids)}, longest write gap {gap:.1f} s, {dead} -> {new}")
        assert lost_ids == set()
        assert len(written) > 500, "the client got going again"
    finally:
        zone(lab, "zone-heal", failed_zone)
    eventually(lambda: healthy(lab), 120, "everything is back in sync after the zone was healed")

    assert leader(cluster()) == new
    assert {name: service["changed"] for name, service in figures(lab, tmp_path).items() if service["changed"]} == {}
    assert leader(cluster()) == new, "a run moves no leader"


def test_a_run_on_one_member_alone_changes_nothing_and_harms_nobody(
    lab: RunningLab, cluster: Cluster, tmp_path: Path
) -> None:
    before = cluster()
    result = figures(lab, tmp_path, "--limit", "data-b1")
    assert [service for service in result.values() if service["changed"]] == []
    assert {name: (member["Role"], member["TL"]) for name, member in cluster().items()} == {
        name: (member["Role"], member["TL"]) for name, member in before.items()
    }


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"postgresql_pool_mode": "statements"}, "postgresql_pool_mode"),
        ({"postgresql_hba": [{"type": "host", "sources": ["0.0.0.0/0"]}]}, "type host must be"),
        ({"postgresql_leader_port": 70000}, "haproxy"),
        ({"postgresql_parameters": {"work_mem": "{{ no_such_variable }}"}}, "no_such_variable"),
        ({"postgresql_retry_timeout": 30}, "ttl"),
        (
            {"postgresql_grants": [{"role": "nobody_declared_it", "database": "app", "privileges": ["CONNECT"]}]},
            "nobody_declared_it",
        ),
    ],
)
def test_a_mistake_leaves_the_running_cluster_alone(
    lab: RunningLab, cluster: Cluster, variables: dict[str, object], reason: str
) -> None:
    owned = "sudo sha256sum /etc/patroni/config.yml /etc/pgbouncer/* /etc/haproxy/haproxy.cfg"
    started = "sudo -u postgres psql -At -c 'SELECT pg_postmaster_start_time()'"
    before = (lab.ssh("data-b1", owned).stdout, lab.ssh("data-b1", started).stdout)
    result = lab.play(SITE, "--tags", "postgresql", "--extra-vars", json.dumps(variables))
    assert result.returncode != 0
    assert reason in result.stdout + result.stderr
    assert (lab.ssh("data-b1", owned).stdout, lab.ssh("data-b1", started).stdout) == before


def test_the_clusters_configuration_is_reconciled_completely(lab: RunningLab, tmp_path: Path) -> None:
    edit = "edit-config --force -q -s ttl=45 -p work_mem=77MB -s master_start_timeout=99"
    lab.ssh("data-a1", f"sudo patronictl -c /etc/patroni/config.yml {edit}")
    checked = figures(lab, tmp_path, "--check", "--tags", "postgresql")
    done = figures(lab, tmp_path, "--tags", "postgresql")
    assert checked["postgresql"]["changed"] == done["postgresql"]["changed"] == 1
    shown = lab.ssh("data-a1", "sudo patronictl -c /etc/patroni/config.yml show-config").stdout
    assert "ttl: 20" in shown
    assert "work_mem" not in shown
    assert "master_start_timeout" not in shown
    assert "changed" in str(done)


def test_an_etcd_member_without_its_data_joins_again(lab: RunningLab, tmp_path: Path) -> None:
    lab.ssh("data-b1", "sudo systemctl stop etcd && sudo rm -rf /var/lib/etcd/holdfast")
    figures(lab, tmp_path, "--tags", "etcd")
    eventually(lambda: healthy(lab), 60, "three healthy members of etcd")


def test_a_setting_that_etcd_dies_of_stops_one_member_and_no_more(lab: RunningLab, tmp_path: Path) -> None:
    fatal = json.dumps({"etcd_auto_compaction_retention": "a while"})
    result = lab.play(SITE, "--tags", "etcd", "--extra-vars", fatal)
    assert result.returncode != 0
    assert result.stdout.count("another member is not ready") == 2
    running = [lab.ssh(host, "systemctl is-active etcd", check=False).stdout.strip() for host in MEMBERS]
    assert sorted(running) in (["activating", "active", "active"], ["active", "active", "failed"])
    figures(lab, tmp_path, "--tags", "etcd")
    eventually(lambda: healthy(lab), 60, "three healthy members of etcd")
