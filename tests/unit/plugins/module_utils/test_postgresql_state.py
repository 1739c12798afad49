# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for the plan: a reading of the server and what is wanted in, statements out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _scram
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_model import (
    EMPTY_SERVER,
    FRESH,
    PRIVILEGES,
    ActualDatabase,
    ActualRole,
    Attributes,
    Contents,
    Desired,
    DesiredError,
    Server,
    Thing,
    parse,
)
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_state import (
    ident,
    literal,
    plan,
    validate,
)

ADMIN = ActualRole(Attributes(login=True, superuser=True))
CONNECT = frozenset(("CONNECT",))


def _acl(**roles: str) -> Mapping[str, frozenset[str]]:
    return {role: frozenset(privileges.split()) for role, privileges in roles.items()}


def _database(owner: str = "d", **values: Any) -> ActualDatabase:
    acl = {owner: frozenset(PRIVILEGES["database"])}
    return replace(ActualDatabase(owner, "UTF8", "libc", ("C.UTF-8", "C.UTF-8"), -1, acl), **values)


def _server(**values: Any) -> Server:
    """A server with role r, and database d with schema s of its owner d."""
    contents = Contents(
        schemas={"public": FRESH.schemas["public"], "s": ("d", _acl(d="CREATE USAGE"))}, extensions=FRESH.extensions
    )
    server = Server(
        version=170004,
        user="postgres",
        roles={"postgres": ADMIN, "d": ActualRole(Attributes()), "r": ActualRole(Attributes())},
        databases={"postgres": _database("postgres"), "d": _database()},
        available={"plpgsql": frozenset(("1.0",)), "pg_trgm": frozenset(("1.5", "1.6"))},
        contents={"d": contents},
    )
    return replace(server, **values)


def _with(contents: Mapping[str, Any], **values: Any) -> Server:
    server = _server(**values)
    return replace(server, contents={"d": replace(server.contents["d"], **contents)})


def _wanted(
    database: Mapping[str, Any] | None = None, role: Mapping[str, Any] | None = None, *grants: Mapping[str, Any]
) -> Desired:
    databases = {} if database is None else {"d": {"schemas": ["s"], **database}}
    roles = {} if role is None else {"r": role}
    return parse(databases, roles, [{"role": "r", "database": "d", **grant} for grant in grants])


def _sql(server: Server, desired: Desired) -> list[str]:
    validate(server, desired)
    return [item.sql for item in plan(server, desired, verifier=lambda password: f"verifier of {password}")]


def _table(name: str = "t", owner: str = "d", **acl: str) -> Thing:
    return Thing("tables", "s", name, f"s.{name}", owner, _acl(**acl))


def test_from_nothing() -> None:
    desired = parse(
        {
            "orders": {
                "schemas": ["orders"],
                "extensions": {"pg_trgm": {"schema": "orders", "version": "1.6"}},
                "connection_limit": 50,
                "encoding": "UTF8",
                "locale": "C.UTF-8",
                "provider": "builtin",
            }
        },
        {
            "app": {"password": "p", "member_of": ["orders"], "connection_limit": 40, "settings": {"role": "orders"}},
            "reporting": {"login": True, "valid_until": "2030-01-01"},
        },
        [
            {
                "role": "reporting",
                "database": "orders",
                "schema": "orders",
                "objects": "tables",
                "privileges": ["SELECT"],
                "default": True,
            }
        ],
    )
    statements = plan(EMPTY_SERVER, desired, verifier=lambda _: "VERIFIER")
    assert [(item.database, item.sql, item.alone) for item in statements] == [
        (None, 'CREATE ROLE "orders"', False),
        (None, 'CREATE ROLE "app" WITH LOGIN CONNECTION LIMIT 40', False),
        (None, "ALTER ROLE \"app\" PASSWORD 'VERIFIER'", False),
        (None, 'ALTER ROLE "app" SET "role" TO \'orders\'', False),
        (None, "CREATE ROLE \"reporting\" WITH LOGIN VALID UNTIL '2030-01-01T00:00:00+00:00'", False),
        (None, 'GRANT "orders" TO "app"', False),
        (
            None,
            'CREATE DATABASE "orders" OWNER "orders" TEMPLATE template0 ENCODING \'UTF8\' LOCALE_PROVIDER builtin '
            "BUILTIN_LOCALE 'C.UTF-8' CONNECTION LIMIT 50",
            True,
        ),
        ("orders", 'CREATE SCHEMA "orders" AUTHORIZATION "orders"', False),
        ("orders", 'CREATE EXTENSION "pg_trgm" SCHEMA "orders" VERSION \'1.6\' CASCADE', False),
        ("orders", 'REVOKE CONNECT, TEMPORARY ON DATABASE "orders" FROM PUBLIC', False),
        ("orders", 'GRANT CONNECT ON DATABASE "orders" TO "reporting"', False),
        ("orders", 'GRANT USAGE ON SCHEMA "orders" TO "reporting"', False),
        (
            "orders",
            'ALTER DEFAULT PRIVILEGES FOR ROLE "orders" IN SCHEMA "orders" GRANT SELECT ON TABLES TO "reporting"',
            False,
        ),
    ]
    shown = " ".join(item.shown for item in statements)
    assert "VERIFIER" not in shown
    assert "(verifier, not shown)" in shown


# --- Roles ---------------------------------------------------------------------------------------------------------

PENCIL = str(_scram.make("pencil"))


@pytest.mark.parametrize(
    ("actual", "wanted", "statements"),
    [
        (ActualRole(Attributes()), {}, []),
        (ActualRole(Attributes(login=True)), {}, ['ALTER ROLE "r" WITH NOLOGIN']),
        (
            ActualRole(Attributes(superuser=True, connection_limit=5)),
            {"login": True, "inherit": False},
            ['ALTER ROLE "r" WITH LOGIN NOSUPERUSER NOINHERIT CONNECTION LIMIT -1'],
        ),
        (ActualRole(Attributes(valid_until=60)), {"valid_until": "1970-01-01T00:01:00Z"}, []),
        (ActualRole(Attributes(valid_until=60)), {}, ["ALTER ROLE \"r\" WITH VALID UNTIL 'infinity'"]),
        (
            ActualRole(Attributes()),
            {"valid_until": "1970-01-01T00:01:00Z"},
            ["ALTER ROLE \"r\" WITH VALID UNTIL '1970-01-01T00:01:00+00:00'"],
        ),
        # Passwords.
        (ActualRole(Attributes(login=True), PENCIL), {"password": "pencil"}, []),
        (ActualRole(Attributes(login=True), PENCIL), {"login": True}, []),
        (ActualRole(Attributes(login=True), PENCIL), {"password": PENCIL}, []),
        (
            ActualRole(Attributes(login=True), PENCIL),
            {"password": "other"},
            ["ALTER ROLE \"r\" PASSWORD 'verifier of other'"],
        ),
        (
            ActualRole(Attributes(login=True), "md5" + "0" * 32),
            {"password": "pencil"},
            ["ALTER ROLE \"r\" PASSWORD 'verifier of pencil'"],
        ),
        (ActualRole(Attributes(login=True)), {"password": PENCIL}, [f"ALTER ROLE \"r\" PASSWORD '{PENCIL}'"]),
        # Settings.
        (
            ActualRole(Attributes(), settings={"work_mem": "4MB", "old": "1"}),
            {"settings": {"work_mem": "4096kB", "jit": False}},
            ['ALTER ROLE "r" SET "jit" TO \'off\'', 'ALTER ROLE "r" RESET "old"'],
        ),
        (
            ActualRole(Attributes(), settings={"search_path": '"$user", public'}),
            {"settings": {"search_path": ["$user", "public"]}},
            [],
        ),
        (
            ActualRole(Attributes(), settings={"search_path": '"$user", public'}),
            {"settings": {"search_path": ["public", "$user"]}},
            ['ALTER ROLE "r" SET "search_path" TO "public", "$user"'],
        ),
        (ActualRole(Attributes(), settings={"search_path": '""'}), {"settings": {"search_path": []}}, []),
        (
            ActualRole(Attributes(), settings={"TimeZone": "UTC"}),
            {"settings": {"timezone": "UTC", "pgaudit.log": "it's"}},
            ['ALTER ROLE "r" SET "pgaudit"."log" TO \'it\'\'s\''],
        ),
        # Memberships.
        (ActualRole(Attributes(), member_of={"d": ("postgres",)}), {"member_of": ["d"]}, []),
        (
            ActualRole(Attributes()),
            {"member_of": ["d", "pg_monitor"]},
            ['GRANT "d" TO "r"', 'GRANT "pg_monitor" TO "r"'],
        ),
        (
            ActualRole(Attributes(), member_of={"d": ("a", "postgres")}),
            {},
            ['REVOKE "d" FROM "r" GRANTED BY "a"', 'REVOKE "d" FROM "r" GRANTED BY "postgres"'],
        ),
    ],
)
def test_one_role(actual: ActualRole, wanted: dict[str, Any], statements: list[str]) -> None:
    server = _server()
    monitor = ActualRole(Attributes())
    assert _sql(replace(server, roles={**server.roles, "r": actual, "pg_monitor": monitor}), _wanted(None, wanted)) == (
        statements
    )


def test_memberships_before_16_have_no_grantor() -> None:
    server = _server(version=150000)
    actual = ActualRole(Attributes(), member_of={"d": ("a",)})
    assert _sql(replace(server, roles={**server.roles, "r": actual}), _wanted(None, {})) == ['REVOKE "d" FROM "r"']


def test_an_undeclared_role_is_left_alone() -> None:
    server = _server()
    other = ActualRole(Attributes(superuser=True), settings={"x": "1"}, member_of={"d": ("postgres",)})
    assert _sql(replace(server, roles={**server.roles, "other": other}), _wanted({"revoke_public": False})) == []


# --- Databases and schemas -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "wanted", "statements"),
    [
        (_server(), {}, []),
        (_server(), {"encoding": "utf8", "locale": "C.utf8", "provider": "libc"}, []),
        (
            _server(),
            {"owner": "r", "connection_limit": 5},
            [
                'ALTER DATABASE "d" OWNER TO "r"',
                'ALTER DATABASE "d" CONNECTION LIMIT 5',
                'ALTER SCHEMA "s" OWNER TO "r"',
            ],
        ),
        (_server(), {"schemas": ["s", "t"]}, ['CREATE SCHEMA "t" AUTHORIZATION "d"']),
        (_server(), {"schemas": {"s": {"owner": "r"}}}, ['ALTER SCHEMA "s" OWNER TO "r"']),
        (_server(), {"schemas": []}, []),
        (_server(), {"schemas": {"public": {"owner": "d"}}}, ['ALTER SCHEMA "public" OWNER TO "d"']),
        (_server(), {"extensions": ["plpgsql"]}, []),
        (_server(), {"extensions": ["pg_trgm"]}, ['CREATE EXTENSION "pg_trgm" CASCADE']),
        (
            _with({"extensions": {"pg_trgm": ("public", "1.5")}}),
            {"extensions": {"pg_trgm": {"schema": "s", "version": "1.6"}}},
            ['ALTER EXTENSION "pg_trgm" SET SCHEMA "s"', "ALTER EXTENSION \"pg_trgm\" UPDATE TO '1.6'"],
        ),
        (_with({"extensions": {"pg_trgm": ("public", "1.5")}}), {"extensions": ["pg_trgm"]}, []),
        # PUBLIC.
        (
            _server(databases={"d": _database(acl=_acl(d="CREATE CONNECT TEMPORARY", public="CONNECT TEMPORARY"))}),
            {},
            ['REVOKE CONNECT, TEMPORARY ON DATABASE "d" FROM PUBLIC'],
        ),
        (
            _server(databases={"d": _database(acl=_acl(d="CREATE CONNECT TEMPORARY", public="CONNECT TEMPORARY"))}),
            {"revoke_public": False},
            [],
        ),
        (
            _with({"schemas": {"public": ("pg_database_owner", _acl(public="CREATE USAGE")), "s": ("d", {})}}),
            {},
            ['REVOKE CREATE ON SCHEMA "public" FROM PUBLIC'],
        ),
        (
            _with({"schemas": {"public": ("pg_database_owner", _acl(public="CREATE USAGE")), "s": ("d", {})}}),
            {"revoke_public": False},
            [],
        ),
        (_with({"schemas": {"s": ("d", _acl(public="USAGE"))}}), {}, []),
        (_with({"schemas": {"public": ("x", _acl(public="USAGE", r="CREATE")), "s": ("d", {})}}), {}, []),
        # Another role's grants are no business of ours.
        (_server(databases={"d": _database(acl=_acl(d="CREATE CONNECT TEMPORARY", other="CONNECT"))}), {}, []),
    ],
)
def test_one_database(server: Server, wanted: dict[str, Any], statements: list[str]) -> None:
    assert _sql(server, _wanted(wanted)) == statements


# --- Grants --------------------------------------------------------------------------------------------------------

SELECT = {"schema": "s", "objects": "tables", "privileges": ["SELECT"]}
REACH = ['GRANT CONNECT ON DATABASE "d" TO "r"', 'GRANT USAGE ON SCHEMA "s" TO "r"']


def _reached(*things: Thing, **contents: Any) -> Server:
    """A server on which r may connect to d and use s already."""
    schemas = {"public": FRESH.schemas["public"], "s": ("d", _acl(d="CREATE USAGE", r="USAGE"))}
    databases = {"d": _database(acl=_acl(d="CREATE CONNECT TEMPORARY", r="CONNECT"))}
    return _with({"schemas": schemas, "things": things, **contents}, databases=databases)


@pytest.mark.parametrize(
    ("server", "grants", "statements"),
    [
        (_server(), [{"privileges": ["CONNECT"]}], ['GRANT CONNECT ON DATABASE "d" TO "r"']),
        (_server(), [{"privileges": ["ALL"]}], ['GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "d" TO "r"']),
        (_server(), [SELECT], REACH),
        (_reached(), [SELECT], []),
        (_reached(), [], ['REVOKE CONNECT ON DATABASE "d" FROM "r"', 'REVOKE USAGE ON SCHEMA "s" FROM "r"']),
        (
            _reached(),
            [{"schema": "s", "privileges": ["CREATE"]}],
            ['REVOKE USAGE ON SCHEMA "s" FROM "r"', 'GRANT CREATE ON SCHEMA "s" TO "r"'],
        ),
        # Tables: all of them.
        (
            _reached(_table("t"), _table("u", r="SELECT")),
            [SELECT],
            ['GRANT SELECT ON ALL TABLES IN SCHEMA "s" TO "r"'],
        ),
        (_reached(_table("t", r="SELECT"), _table("u", r="SELECT")), [SELECT], []),
        (
            _reached(_table("t", r="SELECT INSERT"), _table("u", r="SELECT DELETE"), _table("v", r="SELECT INSERT")),
            [SELECT],
            ['REVOKE DELETE ON TABLE s.u FROM "r"', 'REVOKE INSERT ON TABLE s.t, s.v FROM "r"'],
        ),
        (
            _reached(_table("t", r="SELECT")),
            [{**SELECT, "privileges": ["INSERT"]}, {**SELECT, "privileges": ["UPDATE"]}],
            [
                'REVOKE SELECT ON TABLE s.t FROM "r"',
                'GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA "s" TO "r"',
            ],
        ),
        # Its own tables need no grant, and what it has on them is not taken away.
        (_reached(_table("t", owner="r", r="SELECT INSERT")), [SELECT], []),
        (_reached(_table("t", r="SELECT", other="DELETE")), [SELECT], []),
        # Named ones.
        (
            _reached(_table("t"), _table("u")),
            [{**SELECT, "names": ["t"]}],
            ['GRANT SELECT ON TABLE s.t TO "r"'],
        ),
        (
            _reached(_table("t"), _table("u", r="SELECT")),
            [{**SELECT, "names": ["t"]}],
            ['REVOKE SELECT ON TABLE s.u FROM "r"', 'GRANT SELECT ON TABLE s.t TO "r"'],
        ),
        (
            _reached(_table("t"), _table("u", r="SELECT")),
            [SELECT, {**SELECT, "privileges": ["INSERT"], "names": ["t", "u"]}],
            [
                'GRANT SELECT ON ALL TABLES IN SCHEMA "s" TO "r"',
                'GRANT INSERT ON TABLE s.t, s.u TO "r"',
            ],
        ),
        # Overloaded functions have one name.
        (
            _reached(
                Thing("functions", "s", "f", "s.f(integer)", "d", {}), Thing("functions", "s", "f", "s.f()", "d", {})
            ),
            [{"schema": "s", "objects": "functions", "privileges": ["EXECUTE"], "names": ["f"]}],
            ['GRANT EXECUTE ON ROUTINE s.f(), s.f(integer) TO "r"'],
        ),
        (
            _reached(Thing("sequences", "s", "q", "s.q", "d", {}), _table("t", r="SELECT")),
            [{"schema": "s", "objects": "sequences", "privileges": ["ALL"]}, SELECT],
            ['GRANT SELECT, UPDATE, USAGE ON ALL SEQUENCES IN SCHEMA "s" TO "r"'],
        ),
        (
            _reached(_table("t")),
            [{**SELECT, "privileges": ["ALL"]}],
            [
                "GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE "
                'ON ALL TABLES IN SCHEMA "s" TO "r"'
            ],
        ),
        # Objects that come later.
        (
            _reached(),
            [{**SELECT, "default": ["d", "r"]}],
            ['ALTER DEFAULT PRIVILEGES FOR ROLE "d" IN SCHEMA "s" GRANT SELECT ON TABLES TO "r"'],
        ),
        (_reached(defaults={("d", "s", "tables"): _acl(r="SELECT")}), [{**SELECT, "default": True}], []),
        (
            _reached(defaults={("d", "s", "tables"): _acl(r="SELECT", other="SELECT")}),
            [SELECT],
            ['ALTER DEFAULT PRIVILEGES FOR ROLE "d" IN SCHEMA "s" REVOKE SELECT ON TABLES FROM "r"'],
        ),
        (_reached(defaults={("d", "elsewhere", "tables"): _acl(r="SELECT")}), [SELECT], []),
        # Undeclared schemas.
        (_reached(replace(_table("t", r="DELETE"), schema="elsewhere")), [SELECT], []),
    ],
)
def test_grants_of_a_declared_role(server: Server, grants: list[dict[str, Any]], statements: list[str]) -> None:
    assert _sql(server, _wanted({}, {}, *grants)) == statements


def test_grants_of_an_undeclared_role_are_only_added() -> None:
    server = _reached(_table("t", r="DELETE"))
    assert _sql(server, _wanted({}, None, SELECT)) == ['GRANT SELECT ON ALL TABLES IN SCHEMA "s" TO "r"']
    assert _sql(server, _wanted({}, None)) == []


def test_grants_to_everybody() -> None:
    desired = parse({"d": {"schemas": ["s"]}}, {}, [{"role": "public", "database": "d", **SELECT}])
    assert _sql(_with({"things": (_table("t"),)}), desired) == [
        'GRANT CONNECT ON DATABASE "d" TO PUBLIC',
        'GRANT USAGE ON SCHEMA "s" TO PUBLIC',
        'GRANT SELECT ON ALL TABLES IN SCHEMA "s" TO PUBLIC',
    ]


def test_all_on_tables_before_17_has_no_maintain() -> None:
    server = replace(_reached(_table("t")), version=160000)
    statements = _sql(server, _wanted({}, {}, {**SELECT, "privileges": ["ALL"]}))
    assert statements == [
        'GRANT DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON ALL TABLES IN SCHEMA "s" TO "r"'
    ]


def test_many_tables_take_several_statements() -> None:
    tables = [_table(f"t{number:03}", r="DELETE") for number in range(450)]
    statements = _sql(_reached(*tables), _wanted({}, {}, {**SELECT, "privileges": ["DELETE"], "names": ["t000"]}))
    assert [statement.count("s.t") for statement in statements] == [200, 200, 49]


def test_a_new_owner_takes_the_old_owners_privileges_over() -> None:
    server = _server(databases={"d": _database("r", acl=_acl(r="CREATE CONNECT TEMPORARY"))})
    assert _sql(server, _wanted({}, {})) == ['ALTER DATABASE "d" OWNER TO "d"']


# --- Removal -------------------------------------------------------------------------------------------------------


def _removal(databases: Any = None, roles: Any = None) -> Desired:
    return parse(databases or {}, roles or {}, [])


GONE = {"state": "absent"}


def test_remove() -> None:
    server = _server(dependencies={"r": {("d", "a"): 2, ("", "a"): 1, ("postgres", "a"): 1}})
    assert _sql(server, _removal({"d": GONE}, {"r": GONE})) == [
        'DROP DATABASE "d"',
        'DROP OWNED BY "r"',
        'DROP ROLE "r"',
    ]
    shared = _server(dependencies={"r": {("", "a"): 1}})
    assert _sql(shared, _removal(None, {"r": GONE})) == ['DROP OWNED BY "r"', 'DROP ROLE "r"']
    assert _sql(_server(), _removal(None, {"r": GONE})) == ['DROP ROLE "r"']
    assert _sql(server, _removal({"x": GONE}, {"y": GONE})) == []


def test_remove_a_database_with_its_data() -> None:
    server = _with({"user_objects": 7})
    with pytest.raises(DesiredError, match=r"databases\.d: shall be absent, but holds 7 tables.*drop_data: true"):
        _sql(server, _removal({"d": GONE}))
    assert _sql(server, _removal({"d": {**GONE, "drop_data": True}})) == ['DROP DATABASE "d"']


def test_remove_an_owner() -> None:
    server = _server(dependencies={"r": {("d", "o"): 3}})
    with pytest.raises(DesiredError, match=r"roles\.r: shall be absent, but owns 3 objects in database d.*REASSIGN"):
        _sql(server, _removal(None, {"r": GONE}))
    assert _sql(server, _removal({"d": GONE}, {"r": GONE}))[0] == 'DROP DATABASE "d"'


# --- Refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "desired", "problem"),
    [
        (_server(), _wanted({"encoding": "LATIN1"}), "databases.d.encoding: the database exists with UTF8, not LATIN1"),
        (
            _server(),
            _wanted({"locale": "de_DE.UTF-8"}),
            "databases.d.locale: the database exists with C.UTF-8, not de_DE",
        ),
        (
            _server(),
            _wanted({"locale": "C", "provider": "icu"}),
            "databases.d.provider: the database exists with libc, not icu",
        ),
        (
            _server(),
            _wanted({"extensions": ["postgis"]}),
            "databases.d.extensions.postgis: not available on the server; install its package. Available: pg_trgm, plp",
        ),
        (
            _server(),
            _wanted({"extensions": {"pg_trgm": {"version": "9"}}}),
            "databases.d.extensions.pg_trgm.version: 9 is not available; there are 1.5, 1.6",
        ),
        (
            _server(),
            _wanted({"extensions": {"pg_trgm": {"schema": "nowhere"}}}),
            "databases.d.extensions.pg_trgm.schema: nowhere does not exist",
        ),
        (_server(), _wanted(None, {"member_of": ["g"]}), "roles.r.member_of: g does not exist"),
        (
            _server(),
            parse({}, {"a": {"member_of": ["b"]}, "b": {"member_of": ["a"]}}, []),
            "roles: a -> b -> a are members of each other in a circle",
        ),
        (
            _server(),
            parse({}, {"postgres": {}}, []),
            "roles.postgres: is the role that this module itself logs in with",
        ),
        (_server(), parse({}, {"postgres": GONE}, []), "roles.postgres: is the role that this module itself"),
        (
            _server(roles={"postgres": ActualRole(Attributes(login=True))}),
            parse({}, {}, []),
            "user: postgres is no superuser",
        ),
        (
            _server(),
            parse({"d": {}}, {}, [{"role": "x", "database": "d", "privileges": ["CONNECT"]}]),
            "grants[0].role: x does not exist",
        ),
        (
            _server(),
            _wanted({}, {}, {**SELECT, "default": ["x"]}),
            "grants[0].default: x does not exist",
        ),
        (_server(), _wanted({}, {}, {**SELECT, "names": ["t"]}), "grants[0].names: s.t does not exist in d"),
    ],
)
def test_refused(server: Server, desired: Desired, problem: str) -> None:
    with pytest.raises(DesiredError) as error:
        validate(server, desired)
    assert problem in str(error.value)


@pytest.mark.parametrize(("text", "quoted"), [("a", '"a"'), ('a"b', '"a""b"'), ("A; DROP", '"A; DROP"')])
def test_ident(text: str, quoted: str) -> None:
    assert ident(text) == quoted


@pytest.mark.parametrize(("text", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("a\\'b", " E'a\\\\''b'")])
def test_literal(text: str, quoted: str) -> None:
    assert literal(text) == quoted
