# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Newer packages reach every member, the leader last, while a client writes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from molecule.etcd.conftest import MEMBERS, Etcd
from tests.integration import newer_packages
from tests.runs import good

PACKAGES = ("etcd-client", "etcd-server")

# Writes keys 0, 1, ... one after the other until the file /tmp/enough is there; each until some member has taken it.
WRITER = """
import base64, json, os, ssl, sys, time, urllib.request
endpoints, password = json.load(sys.stdin)
tls = ssl.create_default_context(cafile="/etc/holdfast/pki/etcd/ca.crt")
tls.load_cert_chain("/etc/holdfast/pki/etcd/etcd.crt", "/etc/holdfast/pki/etcd/etcd.key")
def post(endpoint, path, body, token=""):
    request = urllib.request.Request(endpoint + "/v3/" + path, json.dumps(body).encode(), {"Authorization": token})
    return json.load(urllib.request.urlopen(request, context=tls, timeout=3))
def login():
    for endpoint in endpoints:
        try:
            return post(endpoint, "auth/authenticate", {"name": "root", "password": password})["token"]
        except OSError:
            pass
    return ""
token, number, gap, errors, last, since = login(), 0, 0.0, 0, time.monotonic(), time.monotonic()
while not os.path.exists("/tmp/enough"):
    if time.monotonic() - since > 120:
        token, since = login(), time.monotonic()
    key = base64.b64encode(f"/test/written/{number}".encode()).decode()
    try:
        post(endpoints[0], "kv/put", {"key": key, "value": key}, token)
    except OSError:
        errors += 1
        endpoints.append(endpoints.pop(0))
        continue
    now = time.monotonic()
    gap, last, number = max(gap, now - last), now, number + 1
    time.sleep(0.05)
print(json.dumps({"written": number, "gap": round(gap, 2), "errors": errors}))
"""


@pytest.fixture(autouse=True)
def _no_leftovers(etcd: Etcd) -> Iterator[None]:
    yield
    newer_packages.withdraw(etcd.lab, MEMBERS)
    etcd.lab.run("data-a1", "touch /tmp/enough; etcdctl version >/dev/null")


def test_nothing_newer_changes_nothing(etcd: Etcd) -> None:
    done = good(etcd.play("upgrade"))
    assert etcd.record("upgrade")["figures"] == {"members": 0, "packages": "", "switchovers": 0}
    row = next(line for line in done.splitlines() if line.startswith("etcd "))
    assert row.split()[2] == "0", row


@pytest.mark.full
def test_members_one_by_one_the_leader_last(etcd: Etcd) -> None:
    newer_packages.offer(etcd.lab, MEMBERS, PACKAGES, "1")
    urls = json.dumps([[f"https://{etcd.lab.address(host)}:2379" for host in MEMBERS], etcd.password()])
    leader = etcd.leader()
    etcd.lab.run("data-a1", "rm -f /tmp/enough")
    writer = subprocess.Popen(
        ["docker", "exec", "-i", str(etcd.lab.containers["data-a1"].name), "python3", "-c", WRITER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdin
    writer.stdin.write(urls)
    writer.stdin.close()
    writer.stdin = None
    begin, moment = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    good(etcd.play("upgrade"))
    etcd.lab.run("data-a1", "touch /tmp/enough")
    figures = json.loads(writer.communicate(timeout=60)[0])
    print(f"upgrade of three members: {time.monotonic() - begin:.0f} s; a writer meanwhile: {figures}")
    assert 0 < figures["gap"] < 10
    count = int(etcd.ctl("get --prefix --keys-only /test/written/ | grep -c ."))
    assert count >= figures["written"] > 0

    found = newer_packages.versions(etcd.lab, MEMBERS, PACKAGES)
    assert all(version.endswith("+lab1") for has in found.values() for version in has.values()), found
    begun = {
        host: etcd.lab.run(host, "systemctl show etcd -P ExecMainStartTimestamp --timestamp=unix") for host in MEMBERS
    }
    assert max(begun, key=lambda host: begun[host]) == leader, "the leader was not the last to start"
    record = etcd.record("upgrade")
    assert (record["outcome"], record["figures"]["members"], record["figures"]["switchovers"]) == ("succeeded", 3, 1)
    assert etcd.copies(leader)["manifest"]["time"] >= moment, "no copy was made before"
    good(etcd.play("verify"))
