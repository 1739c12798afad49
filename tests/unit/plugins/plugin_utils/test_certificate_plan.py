# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._certificate_plan import Plan, read_plan
from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import PkiError

HOST = {"hostname": "data-a1", "domain": "lab.internal", "addresses": ["10.77.1.11"], "lifetime": "90d"}
LOCAL = ("localhost", "127.0.0.1")


def plan(declared: dict[str, Any], **changed: Any) -> Plan:
    return read_plan(declared, **{**HOST, **changed})


def test_a_full_entry() -> None:
    made = plan({"sql": {"owner": "postgres", "group": "ssl", "usage": ["server"], "names": ["postgresql"]}})
    assert made.slots == {"sql": {"owner": "postgres", "group": "ssl"}}
    wanted = made.wanted["sql"]
    assert wanted.names == ("data-a1.lab.internal", "data-a1", "postgresql.lab.internal", "10.77.1.11", *LOCAL)
    assert wanted.usage == ("server",)
    assert wanted.lifetime == timedelta(days=90)


def test_defaults() -> None:
    made = plan({"a": {}, "b-c": {"owner": "etcd"}})
    assert made.slots == {"a": {"owner": "root", "group": "root"}, "b-c": {"owner": "etcd", "group": "etcd"}}
    assert made.wanted["a"].usage == ("server", "client")


@pytest.mark.parametrize(
    ("addresses", "address"),
    [
        (["10.77.1.11", "10.0.0.9"], "10.77.1.11"),
        ([None, "10.0.0.9"], "10.0.0.9"),
        ([None, "db1.example.org"], None),
        (["", None], None),
        (["fd00::1"], "fd00::1"),
    ],
)
def test_the_address(addresses: list[str | None], address: str | None) -> None:
    names = plan({"a": {}}, addresses=addresses).wanted["a"].names
    assert names == ("data-a1.lab.internal", "data-a1", *([address] if address else []), *LOCAL)


@pytest.mark.parametrize(
    ("declared", "changed", "said"),
    [
        ({}, {}, "certificates: none are declared"),
        ({"ca": {}}, {}, "certificates.ca: use lower-case letters, digits, _ and - for the name, and not 'ca'"),
        ({"../x": {}}, {}, "certificates.../x: use lower-case"),
        ({5: {}}, {}, "certificates.5: use lower-case"),
        ({"a": None}, {}, "certificates.a: has to be a mapping"),
        ({"a": {"user": "x"}}, {}, "certificates.a: unknown key 'user'; known are owner, group, usage, names"),
        ({"a": {"usage": ["signing"]}}, {}, "certificates.a.usage: 'signing' is unknown; known are server, client"),
        ({"a": {"usage": "server"}}, {}, "certificates.a.usage: has to be a list"),
        ({"a": {"names": "x"}}, {}, "certificates.a.names: has to be a list"),
        ({"a": {}}, {"lifetime": "quarter"}, "lifetime: 'quarter' is not a span of time"),
    ],
)
def test_errors(declared: dict[str, Any], changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PkiError) as error:
        plan(declared, **changed)
    assert str(error.value).startswith(said)
