# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of SSH are replaced while clients log in with them and backups are made: nobody is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from molecule.postgresql.tests.test_backup import as_postgres, leader
from tests.integration.conftest import ROOT, RunningLab
from tests.rotations import rotate

STORES = ("backup-a1", "backup-b1")
MEMBER = "data-b1"
STOP = "/run/holdfast-test-stop"
# sshd shuts its port for a moment when it reloads, and a busy machine is slow to answer.
PATIENT = ("-o", "ConnectionAttempts=3", "-o", "ConnectTimeout=60")
# One login after the other at both stores, as etcd's backups make them; prints how many, and who refused one.
LOGINS = f"""
rm -f {STOP}; count=0
while [ ! -e {STOP} ]; do for store in {" ".join(STORES)}; do
  ssh -F /etc/holdfast/backup/etcd/ssh_config $store -s sftp </dev/null || echo refused by $store
  count=$((count + 1))
done; done 2>&1
echo $count logins
"""


@contextmanager
def logging_in(lab: RunningLab) -> Iterator[list[str]]:
    """Log in to the stores from a member all the while; the list is what was said, afterwards."""
    said: list[str] = []
    argv = ["docker", "exec", str(lab.containers[MEMBER].name), "bash", "-c", LOGINS]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield said
        finally:
            lab.run(MEMBER, f"touch {STOP}")
            said += running.communicate(timeout=60)[0].splitlines()


@pytest.mark.full
def test_another_key_of_the_stores(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    before = lab.secret("backup_store/host_key")
    failed = "psql -XAtc 'SELECT failed_count FROM pg_stat_archiver'"
    host = leader(lab)
    refused = as_postgres(lab, host, failed)
    with logging_in(lab) as said:
        result = rotate(lab, "backup_store/host_key")
    assert result.returncode == 0, result.stdout[-3000:]
    assert said[-1].endswith("logins"), said
    assert len(said) == 1, said
    assert int(said[-1].split()[0]) > 20
    assert lab.secret("backup_store/host_key") != before
    as_postgres(lab, host, "psql -XAtc 'SELECT pg_switch_wal()'")
    backup = lab.play(ROOT / "playbooks/backup.yml", "--tags", "etcd,postgresql")
    assert backup.returncode == 0, backup.stdout[-3000:]
    assert as_postgres(lab, host, failed) == refused
    with capsys.disabled():
        print(f"\n{said[-1]} at the stores, none refused")


def shown_keys(lab: RunningLab, host: str) -> set[str]:
    """The keys that a host shows, one of each type."""
    argv = ["ssh-keyscan", "-T", "20", lab.address(host)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return {" ".join(line.split()[1:3]) for line in done.stdout.splitlines() if not line.startswith("#")}


@contextmanager
def administering(lab: RunningLab, hosts: list[str]) -> Iterator[list[str]]:
    """Log in to all hosts in turn, each time anew, knowing what the controller knows; the list is what went wrong, and
    at its end how many logins there were."""
    said: list[str] = []
    over = threading.Event()

    def log_in() -> None:
        count = 0
        while not over.is_set():
            for host in hosts:
                command = lab.lab.ssh_command(lab.address(host))
                argv = [command[0], *PATIENT, *command[1:], "true"]
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                said.extend([f"{host}: {done.stderr}"] if done.returncode else [])
                count += 1
            time.sleep(1)
        said.append(f"{count} logins")

    worker = threading.Thread(target=log_in)
    worker.start()
    try:
        yield said
    finally:
        over.set()
        worker.join()


@pytest.mark.full
def test_other_keys_of_the_hosts(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    """Every login of the run itself, and of a person beside it, knows whom it talks to."""
    hosts = sorted(lab.containers.keys() - {"router"})
    before = {host: shown_keys(lab, host) for host in hosts}
    known = lab.lab.home / "known_hosts"
    with administering(lab, hosts) as said:
        result = rotate(lab, "base/ssh_host_keys")
    assert result.returncode == 0, result.stdout[-3000:]
    assert len(said) == 1, said
    for host in hosts:
        after = shown_keys(lab, host)
        assert after, host
        assert not after & before[host], f"{host} shows an old key"
        assert all(key in known.read_text() for key in after)
        assert not any(key in known.read_text() for key in before[host])
        files = lab.run(host, "ls /etc/ssh/ssh_host_* /etc/ssh/holdfast/*/*_key 2>/dev/null", check=False).split()
        assert len(files) == len(after), f"{host} has other keys too: {files}"
    again = lab.play(ROOT / "playbooks/site.yml", "--tags", "base")
    assert again.returncode == 0, again.stdout[-3000:]
    assert "  changed " not in again.stdout.partition("service ")[0], again.stdout
    with capsys.disabled():
        print(f"\n{said[-1]} at {len(hosts)} hosts, none refused")


@pytest.mark.full
def test_another_key_to_log_in_with(lab: RunningLab, tmp_path: Path) -> None:
    """The run itself logs in with the key that it replaces; the first one was put there by whoever made the host."""
    file, own = tmp_path / "key", "/home/deploy/.ssh/authorized_keys"
    given = ["-e", "base_deploy_user=deploy", "-e", f"base_deploy_key_file={file}"]
    taken = lab.play(ROOT / "playbooks/site.yml", "--tags", "base", *given)
    assert taken.returncode == 0, taken.stdout[-3000:]
    assert file.stat().st_mode & 0o777 == 0o600
    old = tmp_path / "old"
    shutil.copy(file, old)
    public = subprocess.run(["ssh-keygen", "-y", "-f", old], capture_output=True, text=True, check=True).stdout
    lab.run(MEMBER, f"cat >> {own}", stdin=public)
    assert all(gets_in(lab, host, old) for host in (MEMBER, "app-c1"))
    result = rotate(lab, "base/deploy_key", *given, "-e", f"ansible_ssh_private_key_file={file}")
    assert result.returncode == 0, result.stdout[-3000:]
    assert file.read_text() != old.read_text()
    for host in (MEMBER, "app-c1"):
        assert gets_in(lab, host, file), host
        assert not gets_in(lab, host, old), host
    assert public.split()[1] not in lab.run(MEMBER, f"cat {own}")
    # A site that does not want it any more: the key goes, and the one of whoever made the host is still there.
    back = lab.play(ROOT / "playbooks/site.yml", "--tags", "base")
    assert back.returncode == 0, back.stdout[-3000:]
    assert not gets_in(lab, MEMBER, file)


def gets_in(lab: RunningLab, host: str, key: Path) -> bool:
    """Whether a key, and no other one, gets in."""
    settings = ("IdentitiesOnly=yes", "BatchMode=yes", f"UserKnownHostsFile={lab.lab.home / 'known_hosts'}")
    options = [part for setting in settings for part in ("-o", setting)]
    argv = ["ssh", "-F", "none", "-i", str(key), *PATIENT, *options, f"deploy@{lab.address(host)}", "true"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.full
def test_another_passphrase_of_the_copies(lab: RunningLab) -> None:
    """Copies of before are read with the new passphrase, and the old one opens nothing."""
    secret, settings = "etcd/backup", "/etc/holdfast/backup/etcd"
    old = lab.secret(secret)
    assert lab.play(ROOT / "playbooks/backup.yml", "--tags", "etcd").returncode == 0
    restic = f"restic --no-lock --option 'sftp.args=-F {settings}/ssh_config' --password-file"
    listed = f"-r sftp:{STORES[0]}:/data snapshots --json"
    before = lab.run(MEMBER, f"{restic} {settings}/passphrase {listed}", timeout=120)
    result = rotate(lab, secret)
    assert result.returncode == 0, result.stdout[-3000:]
    assert lab.secret(secret) != old
    after = lab.run(MEMBER, f"{restic} {settings}/passphrase {listed}", timeout=120)
    assert {copy["id"] for copy in json.loads(before)} <= {copy["id"] for copy in json.loads(after)}
    for store in STORES:
        refused = f"{restic} <(cat) -r sftp:{store}:/data cat config 2>&1; echo status $?"
        said = lab.run(MEMBER, refused, stdin=old, timeout=120)
        assert "wrong password" in said, said
    assert lab.play(ROOT / "playbooks/backup.yml", "--tags", "etcd").returncode == 0


@pytest.mark.full
def test_another_passphrase_of_the_databases_copies(lab: RunningLab) -> None:
    """The database writes and is archived all the while; copies of before are read with the new passphrase."""
    secret, info = "postgresql/backup", "pgbackrest --stanza=lab --output=json info"
    failures = "psql -XAtqc 'SELECT failed_count FROM pg_stat_archiver'"
    old, host = lab.secret(secret), leader(lab)
    assert lab.play(ROOT / "playbooks/backup.yml", "--tags", "postgresql").returncode == 0
    before, failed = json.loads(as_postgres(lab, host, info)), as_postgres(lab, host, failures)
    result = rotate(lab, secret)
    assert result.returncode == 0, result.stdout[-3000:]
    assert lab.secret(secret) != old
    assert old not in result.stdout
    (stanza,) = json.loads(as_postgres(lab, host, info))
    assert stanza["status"]["code"] == 0
    assert {copy["label"] for copy in before[0]["backup"]} <= {copy["label"] for copy in stanza["backup"]}
    for repository in (1, 2):
        for file in ("archive/lab/archive.info", "backup/lab/backup.info"):
            for name in (file, f"{file}.copy"):
                command = f"pgbackrest --stanza=lab --repo={repository} repo-get {name}"
                with_old = f"PGBACKREST_REPO{repository}_CIPHER_PASS=$(cat) {command} 2>&1 | head -c 10"
                assert "[backrest]" in as_postgres(lab, host, f"{command} | head -c 10")
                assert "[backrest]" not in lab.run(host, f"runuser -u postgres -- bash -c '{with_old}'", stdin=old)
    as_postgres(lab, host, "psql -XAtqc 'SELECT pg_switch_wal()'")
    assert lab.play(ROOT / "playbooks/backup.yml", "--tags", "postgresql").returncode == 0
    assert as_postgres(lab, host, failures) == failed
    assert lab.play(ROOT / "playbooks/verify.yml", "--tags", "postgresql").returncode == 0
