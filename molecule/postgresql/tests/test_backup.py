# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stores hold of PostgreSQL, and what its account there may do: real logins from a member."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

import pytest

from tests.integration.conftest import RunningLab
from tests.integration.postgresql_client import Secret

STORES = ("backup-a1", "backup-b1")
MEMBERS = ("data-a1", "data-b1", "data-c1")
USER = "backup-postgresql"
PROGRAM = "/usr/local/lib/holdfast/pgbackrest_postgresql.py"
KNOWN = "-o BatchMode=yes -o UserKnownHostsFile=/etc/pgbackrest/known_hosts -o StrictHostKeyChecking=yes"


def as_postgres(lab: RunningLab, host: str, command: str, *, check: bool = True) -> str:
    """What a command prints, errors included."""
    return lab.run(host, f"runuser -u postgres -- bash -c {shlex.quote(command + ' 2>&1')}", check=check)


def sftp(lab: RunningLab, store: str, commands: str, user: str = USER) -> str:
    """What the store answers to a member that logs in with the service's key."""
    login = f"sftp -b - -P 2222 -i /etc/pgbackrest/id_ed25519 {KNOWN} {user}@{lab.address(store)}"
    return as_postgres(lab, MEMBERS[0], f"printf '%s\n' {shlex.quote(commands)} | {login}", check=False)


def leader(lab: RunningLab) -> str:
    """The member that leads."""
    asked = "psql -XAtqc 'SELECT pg_is_in_recovery()'"
    return next(host for host in MEMBERS if as_postgres(lab, host, asked, check=False).strip() == "f")


def report(lab: RunningLab) -> dict[str, Any]:
    """What each store holds, told by the leader."""
    return dict(json.loads(as_postgres(lab, leader(lab), f"{PROGRAM} report"))["stores"])


def test_every_store_has_a_full_copy_and_its_wal(lab: RunningLab) -> None:
    held = report(lab)
    assert sorted(held) == sorted(STORES)
    for store in held.values():
        newest = store["backups"][-1]
        assert (newest["type"], newest["error"]) == ("full", False)
        assert store["archive"][0]["max"] >= newest["archive"]["stop"]


def test_wal_reaches_every_store_soon_after_it_was_written(lab: RunningLab) -> None:
    sql = "SELECT pg_logical_emit_message(true, 'test', 'x'), pg_walfile_name(pg_switch_wal())"
    segment = as_postgres(lab, leader(lab), f'psql -XAtq -F " " -c "{sql}"').split()[1]
    begin = time.monotonic()
    while not all(str(store["archive"][0]["max"]) >= segment for store in report(lab).values()):
        assert time.monotonic() - begin < 90, f"{segment} is not in every store"
        time.sleep(1)
    print(f"WAL in both stores after {time.monotonic() - begin:.1f} s")


@pytest.mark.parametrize("store", STORES)
def test_what_lies_in_a_store_is_encrypted(lab: RunningLab, store: str) -> None:
    """OpenSSL's format of what is encrypted with a passphrase begins with this word."""
    files = lab.run(store, f"find /srv/holdfast/backup/{USER}/data -type f").split()
    assert len(files) > 5
    heads = lab.run(store, "for f in $(cat); do head -c 8 $f; echo; done", stdin="\n".join(files)).split()
    assert set(heads) == {"Salted__"}


@pytest.mark.parametrize("store", STORES)
def test_an_account_sees_its_own_directory_and_nothing_else(lab: RunningLab, store: str) -> None:
    secret = "/srv/holdfast/backup/backup-other/data"
    lab.run(store, f"install -d -m 0777 {secret}; echo told > {secret}/file; chmod 0666 {secret}/file")
    try:
        assert sftp(lab, store, "ls -1 /").splitlines()[1:] == ["/data"]
        for path in ("/../backup-other/data/file", "/srv/holdfast/backup/backup-other/data/file", "/etc/passwd"):
            assert "not found" in sftp(lab, store, f"get {path} /tmp/stolen")
        assert "No such file" in sftp(lab, store, "rm /../backup-other/data/file")
        assert "Permission denied" in sftp(lab, store, "mkdir /mine")
        assert "not permitted" in sftp(lab, store, "symlink /etc /data/etc").lower().replace("denied", "not permitted")
        assert "Permission denied (publickey)" in sftp(lab, store, "ls", user="backup-other")
        assert "Permission denied (publickey)" in sftp(lab, store, "ls", user="root")
    finally:
        lab.run(store, "rm -r /srv/holdfast/backup/backup-other")


@pytest.mark.parametrize("store", STORES)
def test_an_account_gets_no_shell_and_no_tunnel(lab: RunningLab, store: str) -> None:
    login = f"timeout 20 ssh -p 2222 -i /etc/pgbackrest/id_ed25519 {KNOWN} {{}} {USER}@{lab.address(store)}"
    said = as_postgres(lab, MEMBERS[0], login.format("") + " id < /dev/null", check=False)
    assert "uid=" not in said
    tunnel = "-N -o ExitOnForwardFailure=yes -R 127.0.0.1:9998:127.0.0.1:22"
    assert "remote port forwarding failed" in as_postgres(lab, MEMBERS[0], login.format(tunnel), check=False)
    asked = f"timeout 20 ssh -W 127.0.0.1:22 {login.split(' ssh ', 1)[1].format('')} < /dev/null"
    assert "prohibited" in as_postgres(lab, MEMBERS[0], asked, check=False)


def test_no_secret_of_backups_stands_where_others_can_read_it(lab: RunningLab, secret: Secret) -> None:
    key = secret("postgresql/backup_ssh").splitlines()[2]
    look = (
        "f=$(mktemp) && cat > $f && find /etc /home /run /srv /tmp /usr/local /var -xdev -type f -perm /o+r ! -path $f "
        "-exec grep -lF -f $f {} + ; journalctl -q -o cat | grep -F -f $f; "
        "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -F -f $f; rm $f"
    )
    for host in (*MEMBERS, *STORES):
        for value in (secret("postgresql/backup"), key):
            assert lab.run(host, look, stdin=value) == ""
