# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard refuses in each unsafe state, made for real; restarts that it permits go one by one, in the right order."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.chaos.ledger import Ledger, writing
from tests.chaos.services.postgresql import PostgreSQL
from tests.integration.conftest import ROOT, RunningLab
from tests.waiting import eventually

SITE, VERIFY = ROOT / "playbooks/site.yml", ROOT / "playbooks/verify.yml"
MEMBERS = ("data-a1", "data-b1", "data-c1")
DOWN = "received fast shutdown request"
UP = "database system is ready to accept"

# One request to etcd's gateway as root, or as PostgreSQL's user: path and body are the arguments, the password is read.
ETCD = """
import base64, json, os, ssl, sys, urllib.request
user, password, host, path, body = sys.argv[1], sys.stdin.readline().strip(), sys.argv[2], sys.argv[3], sys.argv[4]
pki = "/etc/holdfast/pki/etcd/"
tls = ssl.create_default_context(cafile=pki + "ca.crt")
tls.load_cert_chain(pki + "etcd.crt", pki + "etcd.key")
def post(path, body, token=""):
    headers = {"Authorization": token} if token else {}
    request = urllib.request.Request(f"https://{host}:2379/v3/{path}", json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request, context=tls))
token = post("auth/authenticate", {"name": user, "password": password})["token"]
print(json.dumps(post(path, json.loads(body), token)))
"""

Etcd = Callable[..., dict[str, object]]


@pytest.fixture
def etcd(lab: RunningLab) -> Etcd:
    """Ask etcd as root."""
    password = lab.secret("etcd/root")

    def post(path: str, body: dict[str, object], host: str = "data-a1") -> dict[str, object]:
        argv = ["python3", "-c", ETCD, "root", lab.address(host), path, json.dumps(body)]
        return dict(json.loads(lab.run(host, shlex.join(argv), password + "\n")))

    return post


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def healthy(lab: RunningLab) -> None:
    """Wait until the site is as it should be."""

    def verified() -> bool:
        result = lab.play(VERIFY, "--tags", "etcd,postgresql")
        assert result.returncode == 0, result.stdout[-3000:]
        return True

    eventually(verified, 180, "the site is as it should be", pause=2)


def leader(lab: RunningLab) -> str:
    return PostgreSQL(lab).leader()


def starts(lab: RunningLab) -> dict[str, str]:
    """When etcd, Patroni and PostgreSQL of each member were started."""
    command = (
        "systemctl show -P MainPID -P ExecMainStartTimestampMonotonic etcd patroni; "
        "head -n 3 /var/lib/postgresql/*/holdfast/postmaster.pid | tail -n 1"
    )
    return {host: lab.run(host, command, check=False) for host in MEMBERS}


@contextmanager
def put_right(lab: RunningLab) -> Iterator[None]:
    """Bring everything back: a run takes back what a refused one wrote, and does what is still to do."""
    try:
        yield
    finally:
        done = lab.play(SITE, "--tags", "etcd,postgresql")
        assert done.returncode == 0, done.stdout[-3000:]
        healthy(lab)


def refused(lab: RunningLab, what: str, reason: str, *limit: str) -> None:
    """Try what needs restarts; the run is refused for the reason, and no member of limit was restarted."""
    variables = {"postgresql": {"postgresql_max_connections": 210}, "etcd": {"etcd_snapshot_count": 10002}}[what]
    before = starts(lab)
    hosts = limit or MEMBERS
    result = lab.play(SITE, "--tags", what, "--limit", ",".join(hosts), "--extra-vars", json.dumps(variables))
    assert result.returncode != 0, result.stdout[-3000:]
    assert re.search(reason, result.stdout), result.stdout[-3000:]
    assert "may not stop now" in result.stdout
    after = starts(lab)
    assert {host: after[host] for host in hosts} == {host: before[host] for host in hosts}


def foreseen(lab: RunningLab, what: str, reason: str) -> None:
    """Check mode tells what refused() would meet, and succeeds."""
    variables = {"postgresql": {"postgresql_max_connections": 210}, "etcd": {"etcd_snapshot_count": 10002}}[what]
    result = lab.play(SITE, "--check", "--tags", what, "--extra-vars", json.dumps(variables))
    assert result.returncode == 0, result.stdout[-3000:]
    pattern = f"a run would be refused: {what}: data-.1 may not stop now: .*{reason}"
    said = "".join(result.stderr.split())  # a warning is wrapped, at hyphens too
    assert re.search(pattern.replace(" ", ""), said), result.stderr


@pytest.mark.full
def test_a_replica_is_behind_the_limit(lab: RunningLab) -> None:
    """One replica takes WAL and replays none, as when its disk hangs; the other one is in sync.

    Patroni resumes a replay that was merely paused.
    """
    service = PostgreSQL(lab)
    first = service.leader()
    *_, behind = sorted(host for host in MEMBERS if host != first)
    reason = rf"{behind} lags by \d+ bytes, and 16777216 is the limit"
    with put_right(lab):
        lab.run(behind, "pkill -STOP -f '[s]tartup recovering'")
        try:
            bulk = "SELECT number, repeat('x', 900) AS filler FROM generate_series(1, 30000) AS number"
            service.sql(first, f"CREATE TABLE guard_bulk AS {bulk}")
            foreseen(lab, "postgresql", reason)
            refused(lab, "postgresql", reason)
        finally:
            lab.run(behind, "pkill -CONT -f '[s]tartup recovering'")
            service.sql(first, "DROP TABLE IF EXISTS guard_bulk")


def test_another_member_of_postgresql_is_down(lab: RunningLab) -> None:
    dead = next(host for host in MEMBERS if host != leader(lab))
    with put_right(lab):
        lab.run(dead, "systemctl stop patroni", timeout=120)
        refused(lab, "postgresql", f"{dead} is down", *(host for host in MEMBERS if host != dead))


@pytest.mark.full
def test_no_synchronous_standby(lab: RunningLab) -> None:
    first = leader(lab)
    with put_right(lab):
        for host in MEMBERS:
            if host != first:
                lab.run(
                    host, "sed -i 's/nosync: false/nosync: true/' /etc/patroni/config.yml; systemctl reload patroni"
                )
        end = time.monotonic() + 60
        while any(item["role"].endswith("standby") for item in PostgreSQL(lab).cluster().values()):
            assert time.monotonic() < end
            time.sleep(1)
        refused(lab, "postgresql", "there is no synchronous standby", first)


def test_another_controller_is_at_work_on_postgresql(lab: RunningLab, etcd: Etcd) -> None:
    with put_right(lab), held(etcd, "/holdfast/postgresql/guard/lab/lock"):
        refused(lab, "postgresql", "alice@laptop, process 7 holds the lock for data-x9")


@pytest.mark.full
def test_another_controller_is_at_work_on_etcd(lab: RunningLab, etcd: Etcd) -> None:
    with put_right(lab), held(etcd, "/holdfast/etcd/guard/lock"):
        refused(lab, "etcd", "alice@laptop, process 7 holds the lock for data-x9")


@contextmanager
def held(etcd: Etcd, key: str) -> Iterator[None]:
    """Hold a lock as another controller would, with a lease that somebody keeps alive."""
    lease = etcd("lease/grant", {"TTL": 600})["ID"]
    holder = {"controller": "alice@laptop, process 7", "host": "data-x9", "pid": 7, "since": "2026-01-01T00:00:00Z"}
    etcd("kv/put", {"key": text(key), "value": text(json.dumps(holder)), "lease": lease})
    try:
        yield
    finally:
        etcd("lease/revoke", {"ID": lease})


def test_another_member_of_etcd_is_down(lab: RunningLab) -> None:
    with put_right(lab):
        lab.run("data-c1", "systemctl stop etcd")
        foreseen(lab, "etcd", "data-c1 is down.*1 healthy of 3 voters would be left")
        refused(lab, "etcd", "data-c1 is down.*1 healthy of 3 voters would be left", "data-a1", "data-b1")


@pytest.mark.full
def test_an_etcd_learner(lab: RunningLab, etcd: Etcd) -> None:
    with put_right(lab):
        url = f"https://{lab.address('spare-b1')}:2380"
        added = etcd("cluster/member/add", {"peerURLs": [url], "isLearner": True})
        try:
            refused(lab, "etcd", "is a learner, and not a voter yet")
        finally:
            member = added["member"]
            assert isinstance(member, dict)
            etcd("cluster/member/remove", {"ID": member["ID"]})


@pytest.mark.full
def test_an_etcd_alarm(lab: RunningLab, etcd: Etcd) -> None:
    members = etcd("cluster/member/list", {})["members"]
    assert isinstance(members, list)
    alarm = {"alarm": "NOSPACE", "memberID": members[0]["ID"]}
    with put_right(lab):
        etcd("maintenance/alarm", {"action": "ACTIVATE", **alarm})
        try:
            refused(lab, "etcd", "alarm NOSPACE on member")
        finally:
            etcd("maintenance/alarm", {"action": "DEACTIVATE", **alarm})


def outages(lab: RunningLab, since: float) -> list[tuple[float, float, str]]:
    """When PostgreSQL of a member was down (seconds), as its own log tells, in order."""
    found = []
    for host in MEMBERS:
        log = lab.run(host, f"journalctl -q -o short-unix --no-pager -u patroni --since @{int(since)}")
        begin = None
        for line in log.splitlines():
            moment = float(line.split()[0])
            if DOWN in line:
                begin = moment
            elif UP in line and begin is not None:
                found.append((begin, moment, host))
                begin = None
    return sorted(found)


@pytest.mark.parametrize(("connections", "leader_first"), [(230, False), (200, True)], ids=["raise", "lower"])
def test_restarts_go_one_by_one_in_the_right_order_and_lose_no_commit(
    lab: RunningLab, connections: int, leader_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    service = PostgreSQL(lab)
    old, run = service.leader(), f"{time.time_ns():x}"
    host = service.clients[0]
    with writing(Ledger(lab, host, service.rate), service.client, service.prepare(host, run), "guard") as entries:
        since = time.time()
        result = lab.play(
            SITE, "--tags", "postgresql", "--forks", "20",
            "--extra-vars", json.dumps({"postgresql_max_connections": connections}),
        )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]
    down = outages(lab, since)
    assert {host for _, _, host in down} == set(MEMBERS)
    assert all(one[1] < other[0] for one, other in pairwise(down)), f"two members were down at once: {down}"
    order = [host for _, _, host in down]
    assert order.index(old) == (0 if leader_first else 2), order
    assert (service.leader() == old) is leader_first, "raised: a planned switchover; lowered: in its place"
    shown = {service.sql(host, "SHOW max_connections") for host in MEMBERS}
    assert shown == {str(connections)}
    times = sorted(entry.ended for entry in entries if entry.outcome == "acknowledged")
    written = {entry.number for entry in entries if entry.outcome == "acknowledged"}
    gap = max(later - earlier for earlier, later in pairwise(times))
    present = service.present(run)
    with capsys.disabled():
        print(f"\nmax_connections {connections}: {order}, {len(written)} acknowledged, longest write gap {gap:.1f} s")
    assert all(written <= set(numbers) for numbers in present.values())
