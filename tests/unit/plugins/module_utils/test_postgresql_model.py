# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for what may be wanted of databases, roles and grants."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_model import (
    Attributes,
    Database,
    DesiredError,
    Extension,
    Grant,
    Role,
    parse,
    split_names,
)

ORDERS = {"orders": {"schemas": ["orders"]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Database(name="d", owner="d")),
        ({}, Database(name="d", owner="d")),
        (
            {"owner": "o", "schemas": ["s", "public"], "extensions": ["x"]},
            Database(
                name="d", owner="o", schemas={"s": "o", "public": "pg_database_owner"}, extensions={"x": Extension()}
            ),
        ),
        (
            {"schemas": {"s": {"owner": "p"}, "t": None}, "extensions": {"x": {"schema": "s", "version": "1.0"}}},
            Database(name="d", owner="d", schemas={"s": "p", "t": "d"}, extensions={"x": Extension("s", "1.0")}),
        ),
        (
            {
                "encoding": "UTF8",
                "locale": "de-x-icu",
                "provider": "icu",
                "connection_limit": "5",
                "revoke_public": False,
            },
            Database(
                name="d",
                owner="d",
                encoding="UTF8",
                locale="de-x-icu",
                provider="icu",
                connection_limit=5,
                revoke_public=False,
            ),
        ),
    ],
)
def test_databases(value: Any, expected: Database) -> None:
    assert parse({"d": value}, {}, []).databases == {"d": expected}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Role("r")),
        ({"password": "p"}, Role("r", Attributes(login=True), password="p")),
        ({"password": "p", "login": False}, Role("r", Attributes(login=False), password="p")),
        (
            {"login": True, "inherit": False, "createdb": True},
            Role("r", Attributes(True, createdb=True, inherit=False)),
        ),
        ({"member_of": ["g", "h"]}, Role("r", member_of=frozenset("gh"))),
        ({"valid_until": "1970-01-01T01:00:00+01:00"}, Role("r", Attributes(valid_until=0))),
        ({"valid_until": "1970-01-02"}, Role("r", Attributes(valid_until=86400))),
        ({"valid_until": "1970-01-01T00:01:00Z"}, Role("r", Attributes(valid_until=60))),
        ({"valid_until": "infinity"}, Role("r")),
        (
            {"settings": {"Work_Mem": "4MB", "jit": False, "search_path": '"$user", Orders', "a.b": 5}},
            Role("r", settings={"work_mem": "4MB", "jit": "off", "search_path": ("$user", "orders"), "a.b": "5"}),
        ),
        ({"settings": {"search_path": ["$user", "Orders"]}}, Role("r", settings={"search_path": ("$user", "Orders")})),
    ],
)
def test_roles(value: Any, expected: Role) -> None:
    assert parse({}, {"r": value}, []).roles == {"r": expected}


def test_a_password_is_not_in_the_text_of_a_role() -> None:
    assert "hunter2" not in repr(parse({}, {"r": {"password": "hunter2"}}, []))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"privileges": ["connect"]}, Grant("r", "orders", "database", frozenset(("CONNECT",)))),
        ({"privileges": ["temp"]}, Grant("r", "orders", "database", frozenset(("TEMPORARY",)))),
        ({"privileges": ["ALL PRIVILEGES"]}, Grant("r", "orders", "database", frozenset(("ALL",)))),
        (
            {"schema": "orders", "privileges": ["USAGE"]},
            Grant("r", "orders", "schema", frozenset(("USAGE",)), "orders"),
        ),
        (
            {"schema": "orders", "objects": "tables", "privileges": ["select"], "default": True},
            Grant("r", "orders", "tables", frozenset(("SELECT",)), "orders", creators=frozenset(("orders",))),
        ),
        (
            {"schema": "orders", "objects": "functions", "privileges": ["ALL"], "default": ["a", "b"]},
            Grant("r", "orders", "functions", frozenset(("ALL",)), "orders", creators=frozenset("ab")),
        ),
        (
            {"schema": "orders", "objects": "sequences", "privileges": ["USAGE"], "names": ["s"]},
            Grant("r", "orders", "sequences", frozenset(("USAGE",)), "orders", names=frozenset("s")),
        ),
    ],
)
def test_grants(value: dict[str, Any], expected: Grant) -> None:
    assert parse(ORDERS, {}, [{"role": "r", "database": "orders", **value}]).grants == (expected,)


def test_absent() -> None:
    desired = parse(
        {"d": {"state": "absent"}, "e": {"state": "absent", "drop_data": True}}, {"r": {"state": "absent"}}, []
    )
    assert desired.absent_databases == {"d": False, "e": True}
    assert desired.absent_roles == {"r"}
    assert not desired.databases
    assert not desired.roles


@pytest.mark.parametrize(
    ("databases", "roles", "grants", "problem"),
    [
        ({"d": "x"}, {}, [], "databases.d: must be a mapping, not str"),
        ({"d": {"ower": "x"}}, {}, [], "databases.d.ower: unknown key; did you mean owner?"),
        ({"d": {"zzz": 1}}, {}, [], "databases.d.zzz: unknown key; known are state,"),
        ({"d": {"state": "gone"}}, {}, [], "databases.d.state: must be present or absent"),
        ({"d": {"drop_data": True}}, {}, [], "databases.d.drop_data: only goes with state: absent"),
        ({"d": {"owner": 5}}, {}, [], "databases.d.owner: must be a name, not 5"),
        ({"d": {"connection_limit": "many"}}, {}, [], "databases.d.connection_limit: must be a number"),
        ({"d": {"connection_limit": -5}}, {}, [], "databases.d.connection_limit: must be a number"),
        ({"d": {"connection_limit": True}}, {}, [], "databases.d.connection_limit: must be a number"),
        ({"d": {"revoke_public": "no"}}, {}, [], "databases.d.revoke_public: must be true or false"),
        (
            {"d": {"provider": "posix", "locale": "C"}},
            {},
            [],
            "databases.d.provider: must be one of libc, icu, builtin",
        ),
        ({"d": {"provider": "icu"}}, {}, [], "databases.d.locale: is needed together with provider"),
        ({"d": {"encoding": ""}}, {}, [], "databases.d.encoding: must be a text that is not empty"),
        ({"d": {"schemas": "s"}}, {}, [], "databases.d.schemas: must be a mapping"),
        ({"d": {"schemas": ["pg_x"]}}, {}, [], "databases.d.schemas.pg_x: belongs to PostgreSQL"),
        ({"d": {"schemas": [5]}}, {}, [], "databases.d.schemas: must be a list of names"),
        (
            {"d": {"schemas": {"s": {"ownr": "x"}}}},
            {},
            [],
            "databases.d.schemas.s.ownr: unknown key; did you mean owner?",
        ),
        ({"d": {"extensions": {"x": {"schem": "x"}}}}, {}, [], "databases.d.extensions.x.schem: unknown key"),
        ({"template1": {}}, {}, [], "databases.template1: belongs to PostgreSQL"),
        ({"d" * 64: {}}, {}, [], "must have 1 to 63 bytes"),
        ({"d": {"owner": "\u00e4" * 32}}, {}, [], "must have 1 to 63 bytes"),
        ({}, {"r": {"pasword": "x"}}, [], "roles.r.pasword: unknown key; did you mean password?"),
        ({}, {"r": {"password": 5}}, [], "roles.r.password: must be a text"),
        ({}, {"r": {"password": "md5" + "0" * 32}}, [], "roles.r.password: is an MD5 hash"),
        ({}, {"r": {"login": "yes"}}, [], "roles.r.login: must be true or false"),
        ({}, {"r": {"member_of": "g"}}, [], "roles.r.member_of: must be a list of names"),
        ({}, {"r": {"member_of": ["r"]}}, [], "roles.r.member_of: a role can't be a member of itself"),
        ({}, {"r": {"valid_until": "tomorrow"}}, [], "roles.r.valid_until: must be a time"),
        ({}, {"r": {"settings": {"x y": 1}}}, [], "roles.r.settings.x y: is no name of a setting"),
        ({}, {"r": {"settings": {"work_mem": ["a"]}}}, [], "take a list"),
        ({}, {"r": {"settings": {"work_mem": None}}}, [], "roles.r.settings.work_mem: must be a single value"),
        ({}, {"pg_r": {}}, [], "roles.pg_r: is a name that PostgreSQL keeps"),
        ({}, {"public": {}}, [], "roles.public: is a name that PostgreSQL keeps"),
        ({}, {"g": {"state": "absent"}, "r": {"member_of": ["g"]}}, [], "roles.r.member_of: g shall be absent"),
        ({"d": {"owner": "r"}}, {"r": {"state": "absent"}}, [], "roles.r: shall be absent, but owns"),
        (ORDERS, {}, ["x"], "grants[0]: must be a mapping"),
        (ORDERS, {}, [{"database": "orders", "privileges": ["CREATE"]}], "grants[0].role: a name is needed"),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "x", "privileges": ["CREATE"]}],
            "grants[0].database: 'x' is not among",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "schema": "x", "privileges": ["USAGE"]}],
            "grants[0].schema: 'x' is not among databases.orders.schemas",
        ),
        (ORDERS, {}, [{"role": "r", "database": "orders"}], "grants[0].privileges: must be a list"),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "privileges": "ALL"}],
            "grants[0].privileges: must be a list",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "privileges": ["SELECT"]}],
            "grants[0].privileges: SELECT does not exist for database; there are CREATE, CONNECT, TEMPORARY",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "objects": "views", "privileges": ["CREATE"]}],
            "grants[0].objects: must be one of database, schema, tables, sequences, functions",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "objects": "tables", "privileges": ["SELECT"]}],
            "grants[0].schema: a name is needed",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "objects": "database", "schema": "orders", "privileges": ["CREATE"]}],
            "grants[0].schema: does not go with objects: database",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "privileges": ["CREATE"], "default": True}],
            "grants[0].default: only goes with objects: tables, sequences or functions",
        ),
        (
            ORDERS,
            {},
            [{"role": "r", "database": "orders", "privileges": ["CREATE"], "names": ["t"]}],
            "grants[0].names: only goes with objects: tables",
        ),
        (
            ORDERS,
            {"r": {"state": "absent"}},
            [{"role": "r", "database": "orders", "privileges": ["CREATE"]}],
            "grants[0].role: r shall be absent",
        ),
    ],
)
def test_refused(databases: Any, roles: Any, grants: Any, problem: str) -> None:
    with pytest.raises(DesiredError) as error:
        parse(databases, roles, grants)
    assert problem in str(error.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(DesiredError) as error:
        parse({"d": {"x": 1}, "e": {"y": 1}}, {"r": {"z": 1}}, ["no"])
    assert len(error.value.problems) >= 4


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ('""', ()),
        ("orders, public", ("orders", "public")),
        ('"$user", public', ("$user", "public")),
        ('"A ""quoted"" one",B', ('A "quoted" one', "b")),
    ],
)
def test_split_names(text: str, names: tuple[str, ...]) -> None:
    assert split_names(text) == names
