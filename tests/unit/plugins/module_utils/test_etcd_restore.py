# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore, against a cluster that answers as told."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import INVALID_ARGUMENT, UNAVAILABLE, Refused
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_snapshot import leads
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed

PLAN = rules.Plan(
    "data-a1",
    {"data-b1": "https://10.0.2.11:2380", "data-a1": "https://10.0.1.11:2380"},
    "north-etcd-20261121T100000",
    Path("/var/lib/etcd/holdfast"),
)
KEYS = ["/holdfast/postgresql/north/config", "/holdfast/postgresql/north/sync", "/holdfast/postgresql/x/failover"]


class Cluster:
    """Answers what it is given, and notes what it was asked."""

    def __init__(self, answers: Mapping[str, Any], user: str = "root", password: str = "old") -> None:  # noqa: S107
        self.answers, self.user, self.password = answers, user, password
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        self.asked.append((path, body or {}))
        answer = self.answers.get(path, {})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def test_every_member_gets_its_own_data_of_one_new_cluster() -> None:
    words = rules.arguments(PLAN, Path("/copy/snapshot.db"))
    pairs = dict(zip(words[4::2], words[5::2], strict=False))
    assert words[:4] == ["etcdutl", "snapshot", "restore", "/copy/snapshot.db"]
    assert pairs["--data-dir"] == "/var/lib/etcd/holdfast.restored"
    assert pairs["--initial-cluster"] == "data-a1=https://10.0.1.11:2380,data-b1=https://10.0.2.11:2380"
    assert pairs["--initial-advertise-peer-urls"] == "https://10.0.1.11:2380"
    assert pairs["--initial-cluster-token"] == "north-etcd-20261121T100000"
    assert words[-3:] == ["--bump-revision", "1000000000", "--mark-compacted"]


def test_old_data_are_kept_and_a_swap_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "run", lambda *_, **__: Done(0, "", ""))
    monkeypatch.setattr(rules, "begin", lambda _, path, content: path.write_text(content, encoding="utf-8"))
    plan = rules.Plan("a", PLAN.members, PLAN.token, tmp_path / "holdfast")
    for name, content in (("holdfast", "old"), ("holdfast.restored", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "member").write_text(content, encoding="utf-8")
    for _ in range(2):
        rules.swap(plan, "etcd.service", "https://127.0.0.1:2379")
        assert (tmp_path / "holdfast/member").read_text(encoding="utf-8") == "new"
        assert (tmp_path / "holdfast.before-20261121T100000/member").read_text(encoding="utf-8") == "old"
        first = (tmp_path / "holdfast/first-start.env").read_text(encoding="utf-8")
        assert first == "ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2379\n"


def test_what_was_true_at_the_copys_time_alone_goes() -> None:
    keys = [{"key": base64.b64encode(key.encode()).decode()} for key in KEYS]
    cluster = Cluster({"lease/leases": {"leases": [{"ID": "7"}, {"ID": "8"}]}, "kv/range": {"kvs": keys}})
    patterns = ["/holdfast/postgresql/*/sync", "/holdfast/postgresql/*/failover"]
    found = rules.settle(cluster, user="root", password="new", forget=patterns)
    assert found == {"leases": 2, "forgotten": KEYS[1:]}
    paths = [path for path, _ in cluster.asked]
    assert paths == [
        "lease/leases",
        "lease/revoke",
        "lease/revoke",
        "kv/range",
        "kv/deleterange",
        "kv/deleterange",
        "auth/user/changepw",
    ]
    assert cluster.asked[-1][1] == {"name": "root", "password": "new"}
    assert cluster.asked[1][1] == {"ID": "7"}


def test_todays_password_is_set_once() -> None:
    cluster = Cluster({}, password="new")
    rules.settle(cluster, user="root", password="new", forget=[])
    assert [path for path, _ in cluster.asked] == ["lease/leases"]


def test_todays_administrator_has_another_name() -> None:
    """The one of the copy's time gets a password that nobody knows."""
    cluster = Cluster({"auth/user/list": {"users": ["root"]}})
    rules.settle(cluster, user="root_b", password="new", forget=[])
    said = [(path, body.get("name", body.get("user")), body.get("password")) for path, body in cluster.asked[2:]]
    assert [entry[:2] for entry in said] == [
        ("auth/user/add", "root_b"),
        ("auth/user/grant", "root_b"),
        ("auth/user/changepw", "root_b"),
        ("auth/user/changepw", "root"),
    ]
    assert said[2][2] == "new"
    assert said[3][2] not in ("new", "old", None)


def test_the_way_in_is_the_copys_password_or_todays() -> None:
    wrong = Cluster({"auth/user/list": Refused("authentication failed", INVALID_ARGUMENT)})
    right = Cluster({})
    assert rules.enter([wrong, right]) is right  # type: ignore[list-item,comparison-overlap]
    with pytest.raises(Failed, match=r"^the restored cluster takes neither"):
        rules.enter([wrong])  # type: ignore[list-item]
    with pytest.raises(Refused):
        rules.enter([Cluster({"auth/user/list": Refused("no leader", UNAVAILABLE)})])  # type: ignore[list-item]


def test_access_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"access\.json does not say how"):
        rules.access(tmp_path / "access.json")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"header": {"member_id": 7}, "leader": 7}, True),
        ({"header": {"member_id": 7}, "leader": 8}, False),
        ({"header": {"member_id": 7}}, False),
    ],
)
def test_the_leader_makes_the_copy(status: dict[str, Any], expected: bool) -> None:
    assert leads(status) is expected
