# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for Patroni's dynamic configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _patroni


def _parameters(**values: Any) -> dict[str, Any]:
    return {"postgresql": {"parameters": values}}


@pytest.mark.parametrize(
    ("current", "desired", "patch"),
    [
        ({}, {}, {}),
        ({}, {"ttl": 30}, {"ttl": 30}),
        ({"ttl": 30}, {"ttl": 30}, {}),
        ({"ttl": 30}, {"ttl": "30"}, {}),
        ({"ttl": 30}, {"ttl": 60}, {"ttl": 60}),
        ({"ttl": 30, "loop_wait": 5}, {"ttl": 30}, {"loop_wait": None}),
        ({"ttl": 30}, {"ttl": None}, {"ttl": None}),
        ({}, {"ttl": None}, {}),
        # Parameters are authoritative, spellings are no difference.
        (_parameters(work_mem="4MB"), _parameters(), {"postgresql": {"parameters": {"work_mem": None}}}),
        (_parameters(work_mem="4MB"), {}, {"postgresql": None}),
        (_parameters(work_mem="4MB"), _parameters(work_mem="4096kB"), {}),
        (_parameters(jit="off"), _parameters(jit=False), {}),
        (_parameters(a=1), _parameters(a=1, b=2), {"postgresql": {"parameters": {"b": 2}}}),
        (_parameters(a=1), _parameters(a=None, b=2), {"postgresql": {"parameters": {"a": None, "b": 2}}}),
        ({}, _parameters(a=1, b=None), _parameters(a=1)),
        ({}, _parameters(), {}),
        ({"postgresql": None}, _parameters(a=1), _parameters(a=1)),
        ({"postgresql": {"parameters": {}}}, {"postgresql": {"parameters": {}}}, {}),
        # Lists in order.
        ({"ignore_slots": [{"name": "a"}]}, {"ignore_slots": [{"name": "a"}]}, {}),
        ({"ignore_slots": ["a", "b"]}, {"ignore_slots": ["b", "a"]}, {"ignore_slots": ["b", "a"]}),
        # What others own.
        ({"slots": {"theirs": {"type": "physical"}}}, {}, {}),
        ({"slots": {"theirs": {"type": "physical"}}}, {"slots": {}}, {}),
        (
            {"slots": {"theirs": {"type": "physical"}}},
            {"slots": {"ours": {"type": "physical"}}},
            {"slots": {"ours": {"type": "physical"}}},
        ),
        ({"slots": {"old": {"type": "physical"}}}, {"slots": {"old": None}}, {"slots": {"old": None}}),
        (
            {"slots": {"s": {"type": "logical", "database": "a"}}},
            {"slots": {"s": {"type": "physical"}}},
            {"slots": {"s": {"type": "physical", "database": None}}},
        ),
        ({"pause": True}, {}, {}),
        ({"pause": True}, {"pause": False}, {"pause": False}),
        ({"pause": True}, {"pause": None}, {"pause": None}),
        ({"standby_cluster": {"host": "h"}}, {}, {}),
        ({"standby_cluster": {"host": "h"}}, {"standby_cluster": None}, {"standby_cluster": None}),
    ],
)
def test_plan(current: dict[str, Any], desired: dict[str, Any], patch: dict[str, Any]) -> None:
    plan = _patroni.plan(current, desired)
    assert plan.patch == patch
    assert bool(plan.changes) is bool(patch)
    after = patroni_patch(current, patch)
    assert plan.after == after
    assert _patroni.plan(after, desired).patch == {}, "the second run changes nothing"


def patroni_patch(config: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Do what Patroni does with a PATCH (`patroni.utils.patch_config`)."""
    config = json.loads(json.dumps(config))
    for name, value in data.items():
        if value is None:
            config.pop(name, None)
        elif isinstance(value, dict) and isinstance(config.get(name), dict):
            config[name] = patroni_patch(config[name], value)
        elif str(config.get(name)) != str(value) or name not in config:
            config[name] = value
    return config


@pytest.mark.parametrize(
    ("desired", "words"),
    [
        ({"syncronous_mode": True}, ["syncronous_mode", "did you mean synchronous_mode"]),
        ({"restapi": {"listen": "x"}}, ["restapi", "each member's own"]),
        ({"slots": None}, ["slots: null", "slots: {<name>: null}"]),
        ({"slots": ["a"]}, ["slots: must be a mapping"]),
        ({"postgresql": "x"}, ["postgresql: must be a mapping"]),
        ({"postgresql": {"parameters": ["x"]}}, ["postgresql.parameters: must be a mapping"]),
        (_parameters(work_mem=["1", "2"]), ["postgresql.parameters.work_mem: must be a single value"]),
        (_parameters(listen_addresses="*"), ["postgresql.parameters.listen_addresses", "leave it out"]),
        ({"postgresql": {"data_dir": "/d"}}, ["postgresql.data_dir", "own file"]),
        ({"postgresql": {"authentication": {"superuser": {}}}}, ["postgresql.authentication: looks like a secret"]),
        ({"standby_cluster": {"password": "x"}}, ["standby_cluster.password: looks like a secret"]),
        (_parameters(primary_conninfo="host=a password=b"), ["postgresql.parameters.primary_conninfo: looks like"]),
        (_parameters(archive_command="x https://u:p@host/"), ["postgresql.parameters.archive_command: looks like"]),
        ({"ignore_slots": [{"secret": "x"}]}, ["ignore_slots.0.secret: looks like a secret"]),
        (_parameters(max_connections=10), ["postgresql.parameters.max_connections", "25 or more"]),
        (_parameters(max_connections="many"), ["postgresql.parameters.max_connections", "25 or more"]),
        ({"ttl": 9}, ["ttl: 9", "10 or more"]),
        ({"ttl": 30, "retry_timeout": 15, "loop_wait": 10}, ["40, more than ttl, which is 30"]),
        ({"retry_timeout": 11}, ["32, more than ttl, which is 30"]),
        ({"foo": 1, "bar": 2}, ["foo:", "bar:"]),
    ],
)
def test_check_refuses(desired: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(_patroni.ConfigError) as error:
        _patroni.check(desired)
    for word in words:
        assert word in str(error.value)


def test_check_does_not_tell_the_secret() -> None:
    with pytest.raises(_patroni.ConfigError) as error:
        _patroni.check(_parameters(restore_command="PGPASSWORD=hunter2 fetch"))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "desired",
    [
        {},
        {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": "quorum", "failsafe_mode": True},
        _parameters(password_encryption="scram-sha-256", ssl_passphrase_command="", max_connections="200"),
        {"slots": {"s": {"type": "physical"}}, "pause": None, "postgresql": None},
        {"postgresql": {"use_pg_rewind": True, "pg_hba": ["hostssl all all 10.0.0.0/8 scram-sha-256"]}},
    ],
)
def test_check_accepts(desired: dict[str, Any]) -> None:
    _patroni.check(desired)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"max_connections": 100}, {"max_connections": 200}, ("standbys_first", ("max_connections",), (), ())),
        ({"max_connections": 200}, {"max_connections": 100}, ("primary_first", (), ("max_connections",), ())),
        ({}, {"max_connections": 200}, ("standbys_first", ("max_connections",), (), ())),
        ({}, {"max_connections": 100}, ("none", (), (), ())),
        ({"max_wal_senders": 20}, {}, ("primary_first", (), ("max_wal_senders",), ())),
        (
            {"max_connections": 100, "max_worker_processes": 16},
            {"max_connections": 200, "max_worker_processes": 8},
            ("mixed", ("max_connections",), ("max_worker_processes",), ()),
        ),
        ({"shared_buffers": "128MB"}, {"shared_buffers": "256MB"}, ("any", (), (), ("shared_buffers",))),
        ({"wal_level": "replica"}, {"wal_level": "logical"}, ("any", (), (), ("wal_level",))),
        ({}, {"track_commit_timestamp": False}, ("none", (), (), ())),
        ({}, {"track_commit_timestamp": True}, ("any", (), (), ("track_commit_timestamp",))),
        ({"max_replication_slots": 10}, {"max_replication_slots": 5}, ("any", (), (), ("max_replication_slots",))),
        ({"work_mem": "4MB"}, {"work_mem": "8MB"}, ("none", (), (), ())),
        (
            {"max_locks_per_transaction": 64, "shared_buffers": "1GB"},
            {"max_locks_per_transaction": 128, "shared_buffers": "2GB"},
            ("standbys_first", ("max_locks_per_transaction",), (), ("shared_buffers",)),
        ),
    ],
)
def test_restart(before: dict[str, Any], after: dict[str, Any], expected: tuple[Any, ...]) -> None:
    plan = _patroni.plan(_parameters(**before), _parameters(**after))
    restart = _patroni.restart(plan.changes)
    assert (restart.order, restart.raised, restart.lowered, restart.other) == expected
    assert bool(restart) is (expected[0] != "none")


def test_restart_looks_at_parameters_only() -> None:
    changes = _patroni.plan({"ttl": 30}, {"ttl": 60, "postgresql": {"use_slots": True}}).changes
    assert not _patroni.restart(changes)


def test_pending_restart() -> None:
    cluster = {
        "members": [
            {"name": "b", "role": "leader", "pending_restart": True},
            {"name": "a", "role": "replica", "pending_restart": True},
            {"name": "c", "role": "replica"},
        ]
    }
    assert _patroni.pending_restart(cluster) == ["a", "b"]
    assert _patroni.pending_restart({}) == []


@pytest.mark.parametrize(
    ("config", "masked"),
    [
        ({"ttl": 30}, {"ttl": 30}),
        ({"password": "x"}, {"password": _patroni.MASK}),
        ({"authentication": {"a": {"password": "x"}}}, {"authentication": _patroni.MASK}),
        (_parameters(primary_conninfo="password=x"), _parameters(primary_conninfo=_patroni.MASK)),
        ({"list": ["fine", "password=x"]}, {"list": ["fine", _patroni.MASK]}),
        (_parameters(password_encryption="scram-sha-256"), _parameters(password_encryption="scram-sha-256")),
    ],
)
def test_mask(config: dict[str, Any], masked: dict[str, Any]) -> None:
    assert _patroni.mask(config) == masked


def test_to_yaml() -> None:
    config = {
        "ttl": 30,
        "postgresql": {"pg_hba": ["local all", "host x"], "parameters": {"jit": False, "x": "a: b"}, "empty": {}},
        "none": None,
        "list": [],
    }
    assert _patroni.to_yaml(config) == (
        "list: []\n"
        "none: null\n"
        "postgresql:\n"
        "  empty: {}\n"
        "  parameters:\n"
        "    jit: false\n"
        '    x: "a: b"\n'
        "  pg_hba:\n"
        '    - "local all"\n'
        '    - "host x"\n'
        "ttl: 30\n"
    )
    assert _patroni.to_yaml({}) == ""
