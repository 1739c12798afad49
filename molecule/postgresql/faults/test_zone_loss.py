# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults under load lose nothing that was acknowledged; a run afterwards changes nothing; mistakes harm nobody."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.faults import Fault
from tests.chaos.harness import perform
from tests.chaos.report import table
from tests.chaos.services.postgresql import PostgreSQL
from tests.integration.conftest import ROOT, RunningLab
from tests.integration.postgresql_client import Cluster
from tests.runs import good
from tests.waiting import eventually

SITE, VERIFY = ROOT / "playbooks/site.yml", ROOT / "playbooks/verify.yml"
MEMBERS = ("data-a1", "data-b1", "data-c1")


def healthy(lab: RunningLab) -> bool:
    good(lab.play(VERIFY))
    return True


def figures(lab: RunningLab, tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run the site; the progress callback's figures of the services."""
    file = tmp_path / "figures.json"
    argv: list[str | Path] = [ROOT / ".venv/bin/ansible-playbook", "-i", lab.inventory, SITE, *options]
    run = subprocess.run(
        argv, cwd=ROOT, env=lab.environment(HOLDFAST_FIGURES=str(file)), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    return dict(json.loads(file.read_text(encoding="utf-8"))["services"])


@pytest.fixture(scope="module")
def service(lab: RunningLab) -> PostgreSQL:
    """It asks the inventory once for all tests."""
    return PostgreSQL(lab)


def round_of(
    service: PostgreSQL,
    fault: str,
    capsys: pytest.CaptureFixture[str],
    meanwhile: Callable[[Fault], None] | None = None,
) -> None:
    """A fault under load. Seconds are judged by `make chaos`: here they would be those of a busy machine."""
    result = perform(service, fault, Random(1), meanwhile)  # noqa: S311
    with capsys.disabled():
        print(f"\n{table([result])}")
    assert result.judgement is not None, result.reason
    assert (result.judgement.lost, result.judgement.nowhere) == ({}, {})
    assert result.judgement.in_sync is not None, result.reason


# `make test` goes through this one, and through zone-kill below.
@pytest.mark.parametrize(
    "fault",
    [
        "kill-postmaster",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in PostgreSQL.faults
            if name not in ("kill-postmaster", "zone-kill")
        ),
    ],
)
def test_a_fault_under_load_loses_no_acknowledged_commit(
    service: PostgreSQL, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    round_of(service, fault, capsys)


def test_a_lost_zone_loses_no_commit_verify_names_it_and_a_run_afterwards_changes_nothing(
    lab: RunningLab, service: PostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def verify(fault: Fault) -> None:
        seen["verify"] = lab.play(VERIFY)
        seen["dead"] = fault.victims[0]
        eventually(lambda: service.leader() != fault.victims[0], 90, "another leader")
        seen["leader"] = service.leader()

    round_of(service, "zone-kill", capsys, verify)
    assert seen["verify"].returncode != 0
    assert seen["dead"] in seen["verify"].stdout
    eventually(lambda: healthy(lab), 120, "everything is back in sync after the zone was healed")
    done = figures(lab, tmp_path)
    assert {name: item["changed"] for name, item in done.items() if item["changed"]} == {}
    assert service.leader() == seen["leader"], "neither the zone's return nor a run moves a leader"


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
        ({"postgresql_leader_port": 70000}, "haproxy"),
        ({"postgresql_retry_timeout": 30}, "ttl"),
        *(
            pytest.param(variables, reason, marks=pytest.mark.full)
            for variables, reason in (
                ({"postgresql_pool_mode": "statements"}, "postgresql_pool_mode"),
                ({"postgresql_hba": [{"type": "host", "sources": ["0.0.0.0/0"]}]}, "type host must be"),
                ({"postgresql_parameters": {"work_mem": "{{ no_such_variable }}"}}, "no_such_variable"),
                (
                    {
                        "postgresql_grants": [
                            {"role": "nobody_declared_it", "database": "app", "privileges": ["CONNECT"]}
                        ]
                    },
                    "nobody_declared_it",
                ),
            )
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
    assert "ttl: 12" in shown
    assert "work_mem" not in shown
    assert "master_start_timeout" not in shown
    assert "changed" in str(done)


@pytest.mark.full
def test_a_setting_can_change_while_an_etcd_member_is_down(lab: RunningLab, tmp_path: Path) -> None:
    lab.ssh("data-c1", "sudo systemctl stop etcd")
    try:
        for size in ("21", "20"):
            figures(lab, tmp_path, "--tags", "postgresql", "--extra-vars", f"postgresql_pool_size={size}")
            assert f"default_pool_size = {size}" in lab.ssh("data-b1", "sudo cat /etc/pgbouncer/pgbouncer.ini").stdout
    finally:
        lab.ssh("data-c1", "sudo systemctl start etcd")
    eventually(lambda: healthy(lab), 120, "three healthy members of etcd")


def test_an_etcd_member_without_its_data_joins_again(lab: RunningLab, tmp_path: Path) -> None:
    lab.ssh("data-b1", "sudo systemctl stop etcd && sudo rm -rf /var/lib/etcd/holdfast")
    figures(lab, tmp_path, "--tags", "etcd")
    eventually(lambda: healthy(lab), 120, "three healthy members of etcd")


@pytest.mark.full
def test_a_setting_that_etcd_dies_of_stops_one_member_and_no_more(lab: RunningLab, tmp_path: Path) -> None:
    fatal = json.dumps({"etcd_auto_compaction_retention": "a while"})
    result = lab.play(SITE, "--tags", "etcd", "--extra-vars", fatal)
    assert result.returncode != 0
    assert result.stdout.count("may not stop now: ") == 2
    running = [lab.ssh(host, "systemctl is-active etcd", check=False).stdout.strip() for host in MEMBERS]
    assert sorted(running) in (["activating", "active", "active"], ["active", "active", "failed"])
    figures(lab, tmp_path, "--tags", "etcd")
    eventually(lambda: healthy(lab), 120, "three healthy members of etcd")
