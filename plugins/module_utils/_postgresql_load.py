# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a PostgreSQL server into `Server`, and carry statements out. The only part that talks.

psycopg2 comes in through the `connect` function that the module gives, so this file needs nothing of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Optional

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_model import (
    FLAGS,
    Acl,
    ActualDatabase,
    ActualRole,
    Attributes,
    Contents,
    Desired,
    Server,
    Thing,
)
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_state import Statement

#: Opens a connection to one database; None is the one that cluster-wide statements run in.
Connect = Callable[[Optional[str]], Any]

#: Session settings. A statement with a verifier in it is written to no log, and waits for no lock for long: behind
#: a waiting ALTER every other client would queue up.
OPTIONS = (
    "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic "
    "-c pg_stat_statements.track_utility=off -c lock_timeout=15s -c search_path=public -c client_encoding=UTF8"
)
#: One run at a time: key of the advisory lock ("holdfast" in ASCII, cut to 63 bits).
_LOCK = int.from_bytes(b"holdfast", "big") & (2**63 - 1)

_ACL = """(
    SELECT coalesce(json_agg(json_build_array(
        CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type)), '[]')
    FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) a)"""

_ROLES = """
SELECT r.rolname, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls,
    r.rolinherit, r.rolconnlimit,
    CASE WHEN isfinite(r.rolvaliduntil) THEN extract(epoch FROM r.rolvaliduntil)::float8 END,
    CASE WHEN r.rolname = ANY(%s) THEN r.rolpassword END,
    (SELECT coalesce(json_agg(json_build_array(pg_get_userbyid(m.roleid), pg_get_userbyid(m.grantor))), '[]')
        FROM pg_auth_members m WHERE m.member = r.oid),
    (SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0)
FROM pg_authid r
"""

_DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
    {provider}, {locale}, d.datconnlimit, {acl}
FROM pg_database d WHERE d.datallowconn
"""

_AVAILABLE = "SELECT name, array_agg(version) FROM pg_available_extension_versions GROUP BY name"

_SCHEMAS = f"""
SELECT n.nspname, pg_get_userbyid(n.nspowner), {_ACL.format(acl="n.nspacl", kind="n", owner="n.nspowner")}
FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast|temp)'
"""  # noqa: S608 - no outside text in it

_EXTENSIONS = """
SELECT e.extname, n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

_THINGS = f"""
SELECT CASE c.relkind WHEN 'S' THEN 'sequences' ELSE 'tables' END, n.nspname, c.relname,
    format('%%I.%%I', n.nspname, c.relname), pg_get_userbyid(c.relowner),
    CASE c.relkind WHEN 'S' THEN {_ACL.format(acl="c.relacl", kind="s", owner="c.relowner")}
        ELSE {_ACL.format(acl="c.relacl", kind="r", owner="c.relowner")} END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND n.nspname = ANY(%(schemas)s)
UNION ALL
SELECT 'functions', n.nspname, p.proname,
    format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    pg_get_userbyid(p.proowner), {_ACL.format(acl="p.proacl", kind="f", owner="p.proowner")}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY(%(schemas)s)
"""  # noqa: S608 - no outside text in it

_DEFAULTS = """
SELECT pg_get_userbyid(d.defaclrole), n.nspname,
    CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' ELSE 'functions' END,
    (SELECT coalesce(json_agg(json_build_array(
        CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type)), '[]')
     FROM aclexplode(d.defaclacl) a)
FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE d.defaclobjtype IN ('r', 'S', 'f')
"""

_USER_OBJECTS = """
SELECT count(*) FROM (
    SELECT c.oid, c.relnamespace AS schema, 'pg_class'::regclass AS class FROM pg_class c
        WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
    UNION ALL SELECT p.oid, p.pronamespace, 'pg_proc'::regclass FROM pg_proc p
) o JOIN pg_namespace n ON n.oid = o.schema
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
"""

_DEPENDENCIES = """
SELECT r.rolname, coalesce(d.datname, ''), CASE s.deptype WHEN 'o' THEN 'o' ELSE 'a' END, count(*)
FROM pg_shdepend s JOIN pg_authid r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY(%(roles)s)
    AND NOT (s.classid = 'pg_database'::regclass
        AND s.objid IN (SELECT oid FROM pg_database WHERE datname = ANY(%(databases)s)))
    AND s.classid <> 'pg_auth_members'::regclass
GROUP BY 1, 2, 3
"""


class ServerError(Exception):
    """The server can't be reached, or refused something. What stood before it in other databases is done."""


def _acl(pairs: Iterable[Sequence[str]]) -> Acl:
    grouped: dict[str, set[str]] = {}
    for grantee, privilege in pairs:
        grouped.setdefault(grantee, set()).add(privilege)
    return {grantee: frozenset(privileges) for grantee, privileges in grouped.items()}


def _rows(connection: Any, sql: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


@contextmanager
def _session(connect: Connect, database: str | None) -> Iterator[Any]:
    connection = connect(database)
    try:
        yield connection
    finally:
        connection.close()


def read(connect: Connect, desired: Desired) -> Server:
    """Read all that the plan needs, in a few queries: one session for the cluster, one for each database concerned."""
    with _session(connect, None) as connection:
        version, user = connection.server_version, _rows(connection, "SELECT current_user")[0][0]
        if not _rows(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0][0]:
            # Passwords can't be read then; validate() says what is wrong.
            return Server(version, user, {user: ActualRole(Attributes())}, {}, {}, {})
        roles = {row[0]: _role(row) for row in _rows(connection, _ROLES, [sorted(desired.roles)])}
        databases = {row[0]: _database(row) for row in _rows(connection, _databases_sql(version))}
        available = {name: frozenset(versions) for name, versions in _rows(connection, _AVAILABLE)}
        dependencies: dict[str, dict[tuple[str, str], int]] = {}
        values = {"roles": sorted(desired.absent_roles), "databases": sorted(desired.absent_databases)}
        for role, database, kind, count in _rows(connection, _DEPENDENCIES, values) if desired.absent_roles else ():
            dependencies.setdefault(role, {})[database, kind] = count
    contents = {}
    for name in databases.keys() & {*desired.databases, *desired.absent_databases}:
        with _session(connect, name) as connection:
            schemas = sorted(desired.databases[name].schemas) if name in desired.databases else []
            contents[name] = _contents(connection, schemas)
    return Server(version, user, roles, databases, available, contents, dependencies)


def _role(row: Sequence[Any]) -> ActualRole:
    members: dict[str, list[str]] = {}
    for group, grantor in row[11]:
        members.setdefault(group, []).append(grantor)
    return ActualRole(
        attributes=Attributes(**dict(zip(FLAGS, row[1:8])), connection_limit=row[8], valid_until=row[9]),
        verifier=row[10],
        member_of={group: tuple(sorted(grantors)) for group, grantors in members.items()},
        settings=dict(item.split("=", 1) for item in row[12] or ()),
    )


def _databases_sql(version: int) -> str:
    """Return the query for this server: providers came with 15, one column for their locale with 17."""
    locale = "d.datlocale" if version >= 170000 else "d.daticulocale" if version >= 150000 else "NULL"
    return _DATABASES.format(
        provider="d.datlocprovider" if version >= 150000 else "'c'",
        locale=locale,
        acl=_ACL.format(acl="d.datacl", kind="d", owner="d.datdba"),
    )


def _database(row: Sequence[Any]) -> ActualDatabase:
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(row[5], row[5])
    return ActualDatabase(
        owner=row[1],
        encoding=row[2],
        provider=provider,
        locales=(row[3], row[4]) if provider == "libc" else (row[6] or "",),
        connection_limit=row[7],
        acl=_acl(row[8]),
    )


def _contents(connection: Any, schemas: list[str]) -> Contents:
    rows = _rows(connection, _THINGS, {"schemas": schemas}) if schemas else []
    return Contents(
        schemas={name: (owner, _acl(pairs)) for name, owner, pairs in _rows(connection, _SCHEMAS)},
        extensions={name: (schema, version) for name, schema, version in _rows(connection, _EXTENSIONS)},
        things=tuple(
            Thing(kind, schema, name, identity, owner, _acl(pairs))
            for kind, schema, name, identity, owner, pairs in rows
        ),
        defaults={tuple(row[:3]): _acl(row[3]) for row in _rows(connection, _DEFAULTS)},
        user_objects=_rows(connection, _USER_OBJECTS)[0][0],
    )


def rows(connect: Connect, database: str, sql: str, values: Any) -> list[Any]:
    """Ask one question in one database."""
    with _session(connect, database) as connection:
        return _rows(connection, sql, values)


def execute(connect: Connect, statements: Sequence[Statement], error: type[Exception]) -> None:
    """Carry the statements out, those of one database in one transaction.

    error: the driver's base error. Raises ServerError with the statement (without secrets) and the server's reason.
    """
    for (database, alone), group in groupby(statements, key=lambda item: (item.database, item.alone)):
        with _session(connect, database) as connection:
            connection.autocommit = alone
            shown = ""
            try:
                for statement in group:
                    shown = statement.shown
                    with connection.cursor() as cursor:
                        cursor.execute(statement.sql)
                if not alone:
                    shown = "COMMIT"
                    connection.commit()
            except error as reason:
                why = f"{f'database {database}' if database else 'the cluster'}: {shown}: {_first_lines(reason)}"
                raise ServerError(f"stopped at a statement that was refused; run again after the fix. {why}") from None


def _first_lines(reason: Exception) -> str:
    """Return the server's reason without the line that repeats the statement (it may hold a verifier)."""
    diagnostics = getattr(reason, "diag", None)
    parts = [getattr(diagnostics, key, None) for key in ("message_primary", "message_detail", "message_hint")]
    return "; ".join(part for part in parts if part) or type(reason).__name__


@contextmanager
def only_one(connect: Connect, error: type[Exception]) -> Iterator[None]:
    """Hold the lock that keeps a second run out. Raises ServerError when the other one takes longer than 15 s."""
    with _session(connect, None) as connection:
        connection.autocommit = True
        try:
            _rows(connection, "SELECT pg_advisory_lock(%s)", [_LOCK])
        except error as reason:
            raise ServerError(f"another run is at work on this cluster: {_first_lines(reason)}") from None
        yield


def listens(hosts: Iterable[str], port: int, seconds: float = 2) -> bool:
    """Tell whether a server listens at any of the addresses; a path is the directory of a Unix socket."""
    for host in hosts:
        unix = host.startswith("/")
        try:
            with socket.socket(socket.AF_UNIX) if unix else socket.create_connection((host, port), seconds) as channel:
                if unix:
                    channel.connect(f"{host}/.s.PGSQL.{port}")
                return True
        except OSError:
            continue
    return False
