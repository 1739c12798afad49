# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that is down or full: the other one takes what comes, the check names it, and nothing blocks the database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from molecule.postgresql.tests.test_backup import PROGRAM, USER, as_postgres, leader, report, sftp
from tests.integration.conftest import ROOT, RunningLab
from tests.waiting import eventually

DOWN, OTHER = "backup-a1", "backup-b1"
BACKUP, VERIFY = ROOT / "playbooks/backup.yml", ROOT / "playbooks/verify.yml"
UNIT = "holdfast-backup-store.service"
STATE = "/var/lib/holdfast/postgresql-backup"
SETTINGS = "/etc/holdfast/postgresql/backup.json"
PGBENCH = "/usr/lib/postgresql/17/bin/pgbench"


@contextmanager
def store_down(lab: RunningLab) -> Iterator[None]:
    lab.run(DOWN, f"systemctl stop {UNIT} && ! pgrep -u {USER}")
    try:
        yield
    finally:
        lab.run(DOWN, f"systemctl start {UNIT}")


@contextmanager
def hold(lab: RunningLab, host: str, size: int) -> Iterator[None]:
    """Let so many bytes of WAL wait for a store that is down."""
    old = lab.run(host, f"cat {SETTINGS}")
    lab.run(host, f"cat > {SETTINGS}", stdin=json.dumps({**json.loads(old), "hold": size}))
    try:
        yield
    finally:
        lab.run(host, f"cat > {SETTINGS}", stdin=old)


def copying(lab: RunningLab, host: str) -> bool:
    return "activating" in lab.run(host, "systemctl is-active holdfast-postgresql-backup@now.service || true")


def labels(lab: RunningLab, store: str) -> list[str]:
    return [backup["label"] for backup in report(lab)[store]["backups"]]


def switch(lab: RunningLab, host: str) -> str:
    """Write a little, end the WAL segment, and return its name."""
    sql = "SELECT pg_logical_emit_message(true, 'test', 'x'), pg_walfile_name(pg_switch_wal())"
    return as_postgres(lab, host, f'psql -XAtq -F " " -c "{sql}"').split()[1]


def test_the_next_backup_goes_to_the_other_store_and_the_check_says_so(lab: RunningLab) -> None:
    with store_down(lab):
        before = labels(lab, OTHER)
        run = lab.play(BACKUP, "--tags", "postgresql")
        assert run.returncode == 0, run.stdout
        assert "this store has no new copy: backup-a1" in " ".join((run.stdout + run.stderr).split())
        assert labels(lab, OTHER)[: len(before)] == before
        assert len(labels(lab, OTHER)) == len(before) + 1
        check = lab.play(VERIFY, "--tags", "postgresql")
        assert check.returncode != 0
        assert f"store {DOWN}: " in check.stdout
        assert f"store {OTHER}" not in check.stdout
    run = lab.play(BACKUP, "--tags", "postgresql")
    assert run.returncode == 0, run.stdout
    check = lab.play(VERIFY, "--tags", "postgresql")
    assert check.returncode == 0, check.stdout


@pytest.mark.full
def test_wal_waits_for_a_store_and_then_goes_on_without_it(lab: RunningLab) -> None:
    host = leader(lab)
    marks = "ls /var/lib/postgresql/17/holdfast/pg_wal/archive_status | grep -c ready || true"

    def held() -> str:
        return str(report(lab)[OTHER]["archive"][0]["max"])

    with store_down(lab), hold(lab, host, 3 << 24):
        first = switch(lab, host)
        eventually(
            lambda: held() >= first, 120, "the other store has the segment while it waits for the one that is down"
        )
        assert int(lab.run(host, marks)) >= 1
        assert lab.run(host, f"cat {STATE}/missed.json 2>/dev/null || true").strip() in ("", "{}")
        last = [switch(lab, host) for _ in range(4)][-1]
        eventually(lambda: int(lab.run(host, marks)) == 0, 240, "nothing waits any more")
        assert held() >= last
        assert list(json.loads(lab.run(host, f"cat {STATE}/missed.json"))) == [DOWN]

    check = lab.play(VERIFY, "--tags", "postgresql")
    assert f"store {DOWN} misses WAL from" in check.stdout
    # The timer's next look makes a copy there, and with it the store is whole again.
    lab.run(host, "systemctl start holdfast-postgresql-backup@due.service", timeout=300)
    assert "every store" not in lab.run(host, f"runuser -u postgres -- {PROGRAM} report")
    assert lab.run(host, f"cat {STATE}/missed.json").strip() == "{}"
    check = lab.play(VERIFY, "--tags", "postgresql")
    assert check.returncode == 0, check.stdout


def test_an_account_that_is_full_is_refused_and_the_check_says_so(lab: RunningLab) -> None:
    data = f"/srv/holdfast/backup/{USER}/data"
    as_postgres(lab, "data-a1", "head -c 20000000 /dev/urandom > /tmp/20MB")
    free = int(lab.run(DOWN, f"df --output=avail -B1 {data} | tail -1"))
    lab.run(DOWN, f"fallocate -l {free - 8_000_000} {data}/filler")
    try:
        assert re.search(r"(?i)write.*(failure|no space)|Failure", sftp(lab, DOWN, "put /tmp/20MB /data/20MB"))
        check = lab.play(VERIFY, "--tags", "backup_store")
        assert check.returncode != 0
        assert re.search(rf"{USER} has used (9\d|100)% of its space", check.stdout), check.stdout
    finally:
        lab.run(DOWN, f"rm -f {data}/filler {data}/20MB")
    assert "ailure" not in sftp(lab, DOWN, "put /tmp/20MB /data/20MB\nrm /data/20MB")
    as_postgres(lab, "data-a1", "rm /tmp/20MB")


@pytest.mark.full
def test_a_backup_leaves_most_of_the_throughput(lab: RunningLab) -> None:
    """Prints figures: what a machine that many share shows in seconds is no promise of another one's."""
    host = leader(lab)
    as_postgres(lab, host, "createdb bench && " + PGBENCH + " -q -i -s 20 bench", check=False)
    copies = "while :; do systemctl start holdfast-postgresql-backup@now.service; done"
    try:
        found: dict[bool, list[float]] = {False: [], True: []}
        for backing in (False, True) * 3:
            if backing:
                lab.run(host, f"systemd-run -q --unit=holdfast-test-copies bash -c '{copies}'")
            said = as_postgres(lab, host, f"{PGBENCH} -n -c 4 -T 8 bench")
            found[backing].append(float(re.search(r"tps = ([\d.]+)", said)[1]))  # type: ignore[index]
            if backing:
                lab.run(host, "systemctl stop holdfast-test-copies")
                eventually(lambda: not copying(lab, host), 120, "the copy is done")
        without, during = (sorted(found[backing])[1] for backing in (False, True))
        print(f"\ntransactions/s: {found[False]} without, {found[True]} during backups; median {during / without:.0%}")
        assert during > 0
    finally:
        as_postgres(lab, host, "dropdb --force bench")
