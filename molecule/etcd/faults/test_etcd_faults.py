# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster lives through: a store that is down, a restore that is killed, a full database."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from molecule.etcd.conftest import MEMBERS, Etcd
from tests.lab.machine import LabError
from tests.runs import good

TODAY = "a-password-that-is-newer-than-the-copy"
ASK = """
import json, ssl, sys, urllib.error, urllib.request
tls = ssl.create_default_context(cafile="/etc/holdfast/pki/etcd/ca.crt")
tls.load_cert_chain("/etc/holdfast/pki/etcd/etcd.crt", "/etc/holdfast/pki/etcd/etcd.key")
path, token, body = json.load(sys.stdin)
url, body = "https://127.0.0.1:2379/v3/" + path, json.dumps(body).encode()
request = urllib.request.Request(url, body, {"Authorization": token})
try:
    print(urllib.request.urlopen(request, context=tls, timeout=10).read().decode())
except urllib.error.HTTPError as refused:
    print(refused.read().decode())
"""


def post(etcd: Etcd, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    """Ask data-a1's gateway as a client of any language would, with a token that it has."""
    said = etcd.lab.run("data-a1", f"python3 -c '{ASK}'", json.dumps([path, token, body]))
    return dict(json.loads(said))


def kept(etcd: Etcd) -> dict[str, int]:
    """How many data directories each member has kept aside."""
    count = "find /var/lib/etcd -path '*/holdfast.before-*/member' -prune | wc -l"
    return {host: int(etcd.lab.run(host, count)) for host in MEMBERS}


def test_a_store_that_is_down_costs_the_other_no_copy(etcd: Etcd) -> None:
    etcd.ctl("put /test/any thing")
    etcd.lab.run(etcd.leader(), "systemctl start holdfast-backup-etcd")
    made = etcd.copies()
    assert sorted(made["repositories"]) == ["backup-a1", "backup-b1"]
    assert not any(result["error"] for result in made["repositories"].values())
    assert made["manifest"]["figures"]["revision"] > 0
    etcd.lab.run("backup-b1", "systemctl stop holdfast-backup-store")
    try:
        done = etcd.play("backup")
        assert done.returncode == 2
        assert "repository backup-b1: " in done.stdout
        again = etcd.copies()
        assert again["repositories"]["backup-a1"]["id"] not in ("", made["repositories"]["backup-a1"]["id"])
        checked = etcd.play("verify")
        assert checked.returncode == 2
        assert "backup of etcd: repository backup-b1: " in checked.stdout
        assert "backup-a1:" not in checked.stdout
    finally:
        etcd.lab.run("backup-b1", "systemctl start holdfast-backup-store")


def test_a_restore_that_was_killed_is_run_again_and_loses_nothing(etcd: Etcd) -> None:
    """The old data and today's password survive, leases of the copy's time do not, and no client with a token waits."""
    etcd.ctl("put /test/restore/kept before; etcdctl put /holdfast/postgresql/none/sync stale")
    lease = etcd.ctl("lease grant 3600").split()[1]
    etcd.ctl(f"put --lease={lease} /test/restore/leased old")
    etcd.lab.run(etcd.leader(), "systemctl start holdfast-backup-etcd")
    copy = etcd.copies()["repositories"]["backup-b1"]["id"]
    before = json.loads(etcd.ctl("get /test/restore/kept -w json"))["header"]["revision"]
    etcd.ctl("put /test/restore/kept after")
    aside = kept(etcd)
    password = etcd.password()
    token = post(etcd, "auth/authenticate", {"name": "root", "password": password})["token"]
    etcd.ctl(f"user passwd root --interactive=false <<< {TODAY}")

    try:
        options = ("-e", f"etcd_restore_time={copy[:12]}", "-e", f"etcd_root_password={TODAY}")
        etcd.killed("restore", "Swap the data of all members", *options)
        begin = time.monotonic()
        good(etcd.play("restore", *options))
        figures = etcd.record("restore")["figures"]
        print(f"restore of three members: {time.monotonic() - begin:.0f} s, outage {figures['outage_seconds']} s")
        assert figures["copy"] == copy[:8]
        # An answer, and at once: with a token of etcd's own kind a client waits until the log has grown.
        answer = post(etcd, "kv/range", {"key": "L3Rlc3Q="}, token)
        assert "header" in answer or "revision of auth store is old" in answer["message"], answer
        with pytest.raises(LabError, match="authentication failed"):
            etcd.ctl("get /test/restore/kept")
    finally:
        etcd.ctl(f"--user root:{TODAY} user passwd root --interactive=false <<< {password}", login=False)

    found = json.loads(etcd.ctl("get --prefix /test/restore/ -w json"))
    assert etcd.ctl("get --prefix /test/restore/").split() == ["/test/restore/kept", "before"]
    assert found["header"]["revision"] > before + 1_000_000_000
    assert etcd.ctl("get /holdfast/postgresql/none/sync").strip() == ""
    # Once by the run that ended, and once more where the one that was killed had come to the swap.
    more = {host: count - aside[host] for host, count in kept(etcd).items()}
    assert set(more.values()) <= {1, 2}, more
    good(etcd.play("verify"))


def test_a_full_database_is_emptied_and_writes_go_on(etcd: Etcd) -> None:
    """The history goes, then the space, the leader's last; the alarm ends when there is room."""
    small = ("-e", json.dumps({"etcd_quota_backend_bytes": 16 * 1024 * 1024}))
    good(etcd.play("site", *small))
    fill = "dd if=/dev/urandom bs=1M count=1 status=none | base64 -w0 | head -c 1000000 > /tmp/megabyte"
    etcd.ctl(f"version; {fill}; for i in $(seq 40); do etcdctl put /test/large < /tmp/megabyte || break; done")
    assert etcd.ctl("alarm list").count("NOSPACE") >= 1
    checked = etcd.play("verify", *small)
    assert checked.returncode == 2
    assert "alarm NOSPACE" in checked.stdout
    leader = etcd.leader()
    words = "journalctl -q -o cat -u holdfast-maintain-etcd -n 6"
    done = etcd.lab.run(leader, f"systemctl start holdfast-maintain-etcd; {words}")
    order = [line.split(":2379")[0].split("//")[1] for line in done.splitlines() if "defragmented" in line]
    assert len(order) == len(MEMBERS)
    assert order[-1] == etcd.lab.address(leader)
    assert etcd.ctl("alarm list").strip() == ""
    etcd.ctl("put /test/large small")
    good(etcd.play("site"))
