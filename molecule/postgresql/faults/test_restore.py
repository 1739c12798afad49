# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores to a time, a transaction and a restore point, judged by a ledger of ids with the times of their commits."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PROGRAMS, ROOT, RunningLab
from tests.integration.postgresql_client import Cluster, Psql
from tests.waiting import eventually

SITE, VERIFY, RESTORE, BACKUP = (ROOT / f"playbooks/{name}.yml" for name in ("site", "verify", "restore", "backup"))
MEMBERS = ("data-a1", "data-b1", "data-c1")
DATA = "/var/lib/postgresql/17/holdfast"
RECORD = "/var/lib/holdfast/postgresql-restore/operation.json"
SYNCHRONOUS = {"Sync Standby", "Quorum Standby"}
POINT = "the middle"
# A commit every 10 ms; its time is that of the clock just before the commit. After every fiftieth comes a pause: a time
# in it lies between two commits even when the machine keeps one of them waiting.
WRITE = """DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO app.kept (at) VALUES (clock_timestamp()); COMMIT;
PERFORM pg_sleep(CASE WHEN i % 50 = 0 THEN 0.4 ELSE 0.01 END); END LOOP; END $$"""


@dataclass(frozen=True)
class Ledger:
    """The times of commits by id, and a place among them: the last id before it, its transaction, its timeline."""

    times: dict[int, float]
    last: int
    xid: str
    timeline: int


def leader(members: dict[str, dict[str, Any]]) -> str:
    return next(name for name, member in members.items() if member["Role"] == "Leader")


def sql(lab: RunningLab, host: str, statement: str, socket: str = "/var/run/postgresql") -> str:
    """What a statement says on a host, as superuser."""
    return lab.run(
        host, f"cd /; runuser -u postgres -- psql -XAtqh {socket} -d app -c {shlex.quote(statement)}"
    ).strip()


def restore(lab: RunningLab, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the verb with its inputs."""
    given = {f"postgresql_restore_{name}": value for name, value in options.items()}
    return lab.play(RESTORE, "--tags", "postgresql", "--extra-vars", json.dumps(given))


def restored(lab: RunningLab, **options: Any) -> str:
    """Run the verb, which has to succeed; what it said."""
    done = restore(lab, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def whole(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Wait until every member is in service again, one of them synchronous."""

    def members() -> dict[str, dict[str, Any]]:
        found = cluster()
        states = {name: member["State"] for name, member in found.items() if member["Role"] != "Leader"}
        roles = {member["Role"] for member in found.values()}
        assert len(states) == len(MEMBERS) - 1, found
        assert set(states.values()) == {"streaming"}, found
        assert roles & SYNCHRONOUS, found
        return found

    return dict(eventually(members, 120, "every member is in service"))


@pytest.fixture(scope="module")
def ledger(lab: RunningLab) -> Ledger:
    """A backup, then ids before and after a place that is known as a time, a transaction and a restore point."""
    members = json.loads(lab.run("data-a1", "patronictl -c /etc/patroni/config.yml list -f json"))
    host = next(member["Member"] for member in members if member["Role"] == "Leader")
    sql(lab, host, "CREATE TABLE IF NOT EXISTS app.kept (id serial PRIMARY KEY, at timestamptz)")
    sql(lab, host, "ALTER TABLE app.kept OWNER TO app")
    assert lab.play(BACKUP, "--tags", "postgresql").returncode == 0
    sql(lab, host, "SELECT pg_sleep(1.1)")  # the time of a backup has whole seconds
    user, _ = lab.credential("postgresql/app_rw")
    sql(lab, host, f"ALTER ROLE {user} PASSWORD 'an old one'")  # what a backup or WAL resurrects
    sql(lab, host, WRITE)
    sql(lab, host, f"SELECT pg_create_restore_point('{POINT}')")
    xid = sql(lab, host, "INSERT INTO app.kept (at) VALUES (clock_timestamp()) RETURNING pg_current_xact_id()")
    last = int(sql(lab, host, "SELECT max(id) FROM app.kept"))
    timeline = int(sql(lab, host, "SELECT timeline_id FROM pg_control_checkpoint()"))
    sql(lab, host, WRITE)
    rows = sql(lab, host, "SELECT id || '|' || extract(epoch FROM at) FROM app.kept ORDER BY id").splitlines()
    times = {int(row.split("|")[0]): float(row.split("|")[1]) for row in rows}
    return Ledger(times, last, xid, timeline)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"time": "yesterday"}, "is no time", marks=pytest.mark.full),
        pytest.param({"time": "2026-11-21 14:03:00"}, "has no time zone", marks=pytest.mark.full),
        ({"time": "2099-01-01 00:00:00+00:00"}, "in the future"),
        ({"time": "2020-01-01 00:00:00+00:00"}, "no backup ends before"),
    ],
)
def test_a_time_that_can_not_be_reached_is_refused_before_anything_changes(
    lab: RunningLab, cluster: Cluster, options: dict[str, str], reason: str
) -> None:
    before = cluster()
    refused = restore(lab, **options)
    assert refused.returncode != 0
    assert reason in refused.stdout
    assert {name: (m["Role"], m["TL"]) for name, m in cluster().items()} == {
        name: (m["Role"], m["TL"]) for name, m in before.items()
    }


def test_a_time_is_reached_within_a_second_and_all_is_as_declared_again(
    lab: RunningLab, cluster: Cluster, psql: Psql, ledger: Ledger, tmp_path: Path
) -> None:
    ids = sorted(ledger.times)
    middle = (ledger.times[ids[-101]] + ledger.times[ids[-100]]) / 2
    asked = datetime.fromtimestamp(middle, UTC).isoformat(" ")

    begin = time.monotonic()
    done = lab.make("restore", "SERVICE=postgresql", f"TO={asked}")
    assert done.returncode == 0, done.stdout + done.stderr
    took = time.monotonic() - begin
    members = whole(cluster)

    there = {int(line) for line in sql(lab, leader(members), "SELECT id FROM app.kept").split()}
    assert there == {number for number in ids if ledger.times[number] <= middle}
    off = middle - max(ledger.times[number] for number in there)
    print(f"\nasked {asked}, newest row {off * 1000:.0f} ms before it, {took:.0f} s")
    assert off < 1
    written = psql("INSERT INTO app.kept (at) VALUES (now())")
    assert (written.returncode, written.stderr) == (0, ""), "today's password, a new write"
    assert lab.play(VERIFY, "--tags", "postgresql").returncode == 0
    figures = tmp_path / "figures.json"
    again = lab.play(SITE, "--tags", "postgresql", HOLDFAST_FIGURES=str(figures))
    assert again.returncode == 0, again.stdout
    services = json.loads(figures.read_text(encoding="utf-8"))["services"]
    assert {name: service["changed"] for name, service in services.items()} == dict.fromkeys(services, 0)


def start(lab: RunningLab, **options: Any) -> subprocess.Popen[str]:
    """Begin the verb."""
    return subprocess.Popen(
        [PROGRAMS / "ansible-playbook", "-i", lab.inventory, RESTORE, *asking(**options)],
        cwd=ROOT,
        env=lab.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def asking(**options: Any) -> list[str]:
    """The options of a run."""
    given = json.dumps({f"postgresql_restore_{name}": value for name, value in options.items()})
    return ["--tags", "postgresql", "--extra-vars", given]


def phase(lab: RunningLab) -> str:
    """How far the restore is that some member has a record of; empty when none has."""
    records = [lab.run(host, f"cat {RECORD} 2>/dev/null || true") for host in MEMBERS]
    return next((str(json.loads(record)["phase"]) for record in records if record), "")


def moment(ledger: Ledger) -> tuple[str, set[int]]:
    """A time in the ledger, and the ids that were there by then."""
    ids = sorted(ledger.times)
    middle = (ledger.times[ids[-51]] + ledger.times[ids[-50]]) / 2
    return datetime.fromtimestamp(middle, UTC).isoformat(" "), set(ids[:-50])


def kept(lab: RunningLab, cluster: Cluster) -> set[int]:
    return {int(line) for line in sql(lab, leader(whole(cluster)), "SELECT id FROM app.kept").split()}


@pytest.mark.full
def test_a_transaction_is_looked_at_given_up_looked_at_again_and_led_by(
    lab: RunningLab, cluster: Cluster, ledger: Ledger
) -> None:
    before = kept(lab, cluster)
    look = {"xid": ledger.xid, "timeline": ledger.timeline, "inspect": True}
    said = restored(lab, **look)
    host = next(name for name in MEMBERS if f"{name} stands at the target" in " ".join(said.split()))
    question = "SELECT max(id) FROM app.kept"
    assert int(sql(lab, host, question, "/run/holdfast-postgresql-restore")) == ledger.last
    assert leader(cluster()), "the cluster serves on while a person looks"
    other = restore(lab, name=POINT, timeline=ledger.timeline)
    assert other.returncode != 0
    assert "postgresql_restore_abandon" in other.stdout

    restored(lab, abandon=True)
    assert kept(lab, cluster) == before
    restored(lab, **look)
    restored(lab, **{**look, "inspect": False})
    assert max(kept(lab, cluster)) == ledger.last


@pytest.mark.full
@pytest.mark.parametrize("target", ["xid", "name"])
def test_a_place_before_a_transaction_is_met_exactly(
    lab: RunningLab, cluster: Cluster, ledger: Ledger, target: str
) -> None:
    place = {"xid": ledger.xid, "exclusive": True} if target == "xid" else {"name": POINT}
    restored(lab, **place, timeline=ledger.timeline)
    assert max(kept(lab, cluster)) == ledger.last - 1


@pytest.mark.full
def test_a_restore_point_that_nobody_made_is_named_and_given_up(lab: RunningLab, cluster: Cluster) -> None:
    before = kept(lab, cluster)
    refused = restore(lab, name="nobody made it")
    assert refused.returncode != 0
    assert "is nowhere in the WAL" in refused.stdout
    restored(lab, abandon=True)
    assert kept(lab, cluster) == before


@pytest.mark.full
def test_a_second_controller_is_refused(lab: RunningLab, cluster: Cluster, ledger: Ledger) -> None:
    asked, there = moment(ledger)
    first = start(lab, time=asked, timeline=ledger.timeline)
    eventually(lambda: phase(lab) != "", 120, "the restore has begun")
    second = restore(lab, time=asked, timeline=ledger.timeline)
    said, _ = first.communicate(timeout=900)
    assert second.returncode != 0
    assert "another controller is at work: " in second.stdout
    assert first.returncode == 0, said
    assert kept(lab, cluster) == there


@pytest.mark.full
@pytest.mark.parametrize("when", ["fetch", "reached"])
def test_a_killed_restore_is_run_again(lab: RunningLab, cluster: Cluster, ledger: Ledger, when: str) -> None:
    asked, there = moment(ledger)
    given = asking(time=asked, timeline=ledger.timeline)
    lab.killed(RESTORE, *given, when=lambda _: phase(lab) == when)
    assert phase(lab), "it was not over"
    again = restore(lab, time=asked, timeline=ledger.timeline)
    while again.returncode and "another controller is at work" in again.stdout:  # its last step is
        again = restore(lab, time=asked, timeline=ledger.timeline)
    assert again.returncode == 0, again.stdout
    assert kept(lab, cluster) == there


@pytest.mark.full
def test_a_cluster_that_is_lost_as_a_whole_comes_back(lab: RunningLab, cluster: Cluster) -> None:
    before = kept(lab, cluster)
    host = leader(cluster())
    sql(lab, host, "SELECT pg_logical_emit_message(true, 'test', 'a segment without a word is not ended')")
    segment = sql(lab, host, "SELECT pg_walfile_name(pg_switch_wal())")
    eventually(
        lambda: sql(lab, host, "SELECT last_archived_wal FROM pg_stat_archiver") >= segment, 120, "the WAL is archived"
    )
    for name in MEMBERS:
        lab.run(name, f"systemctl stop patroni && rm -rf {DATA}")
    lab.run(host, "patronictl -c /etc/patroni/config.yml remove lab", stdin="lab\nYes I am aware\n")
    restored(lab)
    assert kept(lab, cluster) == before
    assert lab.play(VERIFY, "--tags", "postgresql").returncode == 0
