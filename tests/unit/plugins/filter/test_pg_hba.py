# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the lines of pg_hba.conf."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.pg_hba import FilterModule

pg_hba = FilterModule().filters()["pg_hba"]


def test_lines_are_aligned_and_in_order() -> None:
    rules = [
        {"type": "local", "user": "postgres", "method": "peer"},
        {"database": "replication", "user": "replicator", "sources": ["10.77.1.11", "10.77.2.11"]},
        {"database": ["orders", "Big Data"], "user": ["app_a", "+readers"], "sources": ["10.77.0.0/16", "fd00::/8"]},
        {"type": "hostssl", "method": "cert", "options": {"map": "ops"}, "sources": ["fd00::1"]},
        {"type": "host", "method": "reject", "sources": ["0.0.0.0/0"]},
    ]
    assert pg_hba(rules) == [
        "local    all                postgres                       peer",
        "hostssl  replication        replicator      10.77.1.11/32  scram-sha-256",
        "hostssl  replication        replicator      10.77.2.11/32  scram-sha-256",
        'hostssl  orders,"Big Data"  app_a,+readers  10.77.0.0/16   scram-sha-256',
        'hostssl  orders,"Big Data"  app_a,+readers  fd00::/8       scram-sha-256',
        "hostssl  all                all             fd00::1/128    cert map=ops",
        "host     all                all             0.0.0.0/0      reject",
    ]


def test_no_rules() -> None:
    assert pg_hba([]) == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("x", "rule 0: 'x' must be a mapping"),
        ({"source": ["10.0.0.1"]}, "must be a mapping of type, database"),
        ({"type": "hostgssenc", "sources": ["10.0.0.1"]}, "type 'hostgssenc' must be one of"),
        ({"sources": ["10.0.0.1"], "method": "trust"}, "method 'trust' with type hostssl must be one of"),
        ({"sources": ["10.0.0.1"], "method": "md5"}, "method 'md5'"),
        ({"sources": ["10.0.0.1"], "method": "password"}, "method 'password'"),
        ({"type": "host", "sources": ["10.0.0.1"]}, "method 'scram-sha-256' with type host must be one of reject"),
        ({"type": "local", "method": "trust"}, "method 'trust' with type local"),
        ({}, "sources must be a list"),
        ({"sources": "10.0.0.1"}, "sources must be a list"),
        ({"type": "local", "method": "peer", "sources": ["10.0.0.1"]}, "sources must be a list"),
        ({"sources": ["10.0.0.1/8"]}, "source '10.0.0.1/8' is no address or network"),
        ({"sources": ["db1"]}, "source 'db1' is no address or network"),
        ({"sources": ["10.0.0.1"], "user": []}, "must be a name or a list of names"),
        ({"sources": ["10.0.0.1"], "user": 'a"b'}, "can't be written"),
        ({"sources": ["10.0.0.1"], "database": "a\nlocal all all trust"}, "can't be written"),
    ],
)
def test_refused(rule: Any, problem: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        pg_hba([rule])
    assert problem in str(error.value)


def test_not_a_list() -> None:
    with pytest.raises(AnsibleFilterError, match="a list of rules is needed"):
        pg_hba("local all all trust")
