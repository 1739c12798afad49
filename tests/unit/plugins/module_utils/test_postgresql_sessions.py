# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_sessions import (
    Session,
    parse_activity,
    parse_clients,
    told,
    wait,
)

# As psql 17 and PgBouncer 1.24 print them.
ACTIVITY = "usename,addr,application_name\napp_a,10.77.3.101,orders\nreplicator,10.77.2.11,data-b1\n,10.77.1.11,\n"
CLIENTS = """type,user,database,replication,state,addr,port,application_name,link
C,app_a,app,none,active,10.77.3.101,40000,orders,
C,app_a,app,none,idle,10.77.3.101,40001,orders,
C,pgbouncer,pgbouncer,none,active,unix,6432,psql,
"""


def test_reading() -> None:
    assert parse_activity(ACTIVITY) == [
        Session("app_a", "10.77.3.101", "orders", "server"),
        Session("replicator", "10.77.2.11", "data-b1", "server"),
    ]
    assert [session.user for session in parse_clients(CLIENTS)] == ["app_a", "app_a"]
    pooler = "usename,addr,application_name\npgbouncer_b,,\n"
    assert parse_activity(pooler) == []
    assert parse_activity(pooler, local=True) == [Session("pgbouncer_b", "here", "", "server")]


def test_waiting() -> None:
    both = parse_activity(ACTIVITY) + parse_clients(CLIENTS)
    looks = [both, both[:1], []]
    assert wait(["app_a"], lambda: looks.pop(0), timeout=60, pause=0) == []
    assert looks == []
    assert len(wait(["app_a"], lambda: both, timeout=0)) == 3
    assert wait(["app_b"], lambda: both, timeout=60) == []


def test_one_who_comes_back_within_the_quiet_time_is_waited_for() -> None:
    both = parse_activity(ACTIVITY)
    looks = [[], both, [], [], [], [], [], []]
    assert wait(["app_a"], lambda: looks.pop(0), timeout=60, quiet=0.05, pause=0.03) == []
    assert len(looks) == 3


def test_telling() -> None:
    assert told(parse_clients(CLIENTS)[:2] + parse_activity(ACTIVITY)[1:]) == (
        "app_a 2 times from 10.77.3.101 (orders) at the pooler, "
        "replicator 1 times from 10.77.2.11 (data-b1) at the server"
    )
