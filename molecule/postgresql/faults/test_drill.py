# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill passes with a sound backup, and says what is wrong with a damaged one."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from molecule.postgresql.tests.test_backup import as_postgres, leader, report
from tests.integration.conftest import ROOT, RunningLab

DRILL, BACKUP = ROOT / "playbooks/drill.yml", ROOT / "playbooks/backup.yml"
STORES = ("backup-a1", "backup-b1")
SPARE = "spare-b1"
REPOSITORY = "/srv/holdfast/backup/backup-postgresql/data"
PGBENCH = "/usr/lib/postgresql/17/bin/pgbench"
# What pgbench keeps true in every transaction (PostgreSQL, pgbench, section "What is the Transaction").
INVARIANTS = [
    {"database": "bench", "query": "SELECT count(*) FROM pgbench_accounts", "expect": "7000000"},
    {
        "database": "bench",
        "query": "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)",
        "expect": "True",
    },
]


def drill(lab: RunningLab, **variables: object) -> subprocess.CompletedProcess[str]:
    return lab.play(DRILL, "--tags", "postgresql", "--extra-vars", json.dumps(variables))


def said(run: subprocess.CompletedProcess[str]) -> str:
    """What a failed run said, on one line."""
    assert run.returncode != 0, run.stdout
    return " ".join(run.stdout.split())


def left(lab: RunningLab) -> str:
    """What a drill left on the spare."""
    places = "/var/lib/postgresql/17/drill /etc/pgbackrest/pgbackrest.conf /etc/pgbackrest/id_ed25519"
    units = "systemctl list-units --all --no-legend 'holdfast-postgresql-drill*'"
    return lab.run(SPARE, f"ls -d {places} 2>/dev/null; {units}", check=False)


def segment(lab: RunningLab) -> str:
    """Write a little, end the WAL segment, wait until the stores have it; its name."""
    host = leader(lab)
    sql = "SELECT pg_logical_emit_message(true, 'test', 'x'), pg_walfile_name(pg_switch_wal())"
    name = as_postgres(lab, host, f'psql -XAtq -F " " -c "{sql}"').split()[1]
    deadline = time.monotonic() + 90
    while any(store["archive"][0]["max"] < name for store in report(lab).values()):
        assert time.monotonic() < deadline, f"{name} is not archived"
        time.sleep(1)
    return name


@contextmanager
def away(lab: RunningLab, pattern: str) -> Iterator[None]:
    """Take a file out of every repository."""
    for store in STORES:
        lab.run(
            store, f"file=$(find {REPOSITORY} -name '{pattern}') && mv $file /var/tmp/ && echo $file > /var/tmp/from"
        )
    try:
        yield
    finally:
        for store in STORES:
            lab.run(store, "mv /var/tmp/$(basename $(cat /var/tmp/from)) $(cat /var/tmp/from)")


def test_a_sound_backup_passes_and_nothing_stays(lab: RunningLab) -> None:
    done = drill(lab)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"restore [\d.]+ s \| verify [\d.]+ s .* indexes are sound", " ".join(done.stdout.split()))
    assert left(lab) == ""


@pytest.mark.full
def test_a_database_of_a_gigabyte_with_what_has_to_be_true_in_it(lab: RunningLab) -> None:
    """Prints the figures: seconds are no promise of a machine that many share."""
    host = leader(lab)
    fill = f"cd / && createdb bench && {PGBENCH} -q -i -s 70 bench"
    lab.run(host, f"runuser -u postgres -- bash -c '{fill}'", timeout=600)
    try:
        assert lab.play(BACKUP, "--tags", "postgresql").returncode == 0
        as_postgres(lab, host, f"{PGBENCH} -n -c 4 -T 5 bench")  # WAL after the backup
        segment(lab)
        begin = time.monotonic()
        done = lab.make(
            "drill", "SERVICE=postgresql", f"ARGS=-e '{json.dumps({'postgresql_drill_queries': INVARIANTS})}'"
        )
        took = time.monotonic() - begin
        assert done.returncode == 0, done.stdout + done.stderr
        evidence = lab.make("evidence", "LAST=2").stdout
        assert "drill" in evidence
        assert "provision_seconds" in evidence
        assert left(lab) == ""
        line = next(line for line in done.stdout.splitlines() if "provision " in line)
        print(f"\n{took:.0f} s as typed: {line.strip()}")
    finally:
        as_postgres(lab, host, "dropdb --force bench")


@pytest.mark.full
def test_a_wrong_key_is_named(lab: RunningLab) -> None:
    reason = said(drill(lab, postgresql_backup_passphrase="not the passphrase of the repositories"))
    assert "no repository can be read" in reason
    assert left(lab) == ""


@pytest.mark.full
def test_an_answer_that_is_not_as_expected_is_named(lab: RunningLab) -> None:
    query = {"database": "app", "query": "SELECT 41", "expect": "42"}
    assert "SELECT 41: is 41, not 42" in said(drill(lab, postgresql_drill_queries=[query]))


@pytest.fixture(scope="module")
def copy(lab: RunningLab) -> str:
    """A new copy in each store; the first segment of the WAL of the newest one, which a drill takes."""
    assert lab.play(BACKUP, "--tags", "postgresql").returncode == 0
    newest = max((store["backups"][-1] for store in report(lab).values()), key=lambda one: one["timestamp"]["stop"])
    return str(newest["archive"]["start"])


@pytest.mark.full
@pytest.mark.usefixtures("copy")
def test_flipped_bytes_are_found(lab: RunningLab) -> None:
    newest = f"$(ls -d {REPOSITORY}/backup/lab/*F | tail -n 1)"
    bundle = f"$(find {newest} -type f -path '*/bundle/*' -size +64k | head -n 1)"
    try:
        for store in STORES:
            flip = "dd if=/dev/urandom of=$file bs=1 count=64 seek=40000 conv=notrunc status=none"
            lab.run(store, f"file={bundle}; cp -p $file /var/tmp/good && echo $file > /var/tmp/from && {flip}")
        reason = said(drill(lab))
        assert "can't restore" in reason
        assert re.search(r"(Checksum|Format|Crypto)Error", reason), reason
    finally:
        for store in STORES:
            lab.run(store, "cp -p /var/tmp/good $(cat /var/tmp/from)")


@pytest.mark.full
@pytest.mark.usefixtures("copy")
def test_a_segment_that_is_missing_is_named(lab: RunningLab) -> None:
    first, lost, newest = (segment(lab) for _ in range(3))
    with away(lab, f"{lost}-*"):
        reason = said(drill(lab))
    assert f"recovery ended in WAL segment {first}" in reason
    assert f"go on until {newest}" in reason


@pytest.mark.full
def test_a_backup_whose_own_wal_is_missing_is_worth_nothing(lab: RunningLab, copy: str) -> None:
    with away(lab, f"{copy}-*"):
        reason = said(drill(lab))
    assert "can't be made consistent" in reason
