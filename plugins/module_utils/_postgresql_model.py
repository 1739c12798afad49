# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a PostgreSQL cluster's databases, roles and grants, and what is there: the two data models.

`parse` turns the module's parameters into `Desired` and refuses what can't be meant; the loader fills `Server`.
Nothing here talks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

#: Grantee that stands for everybody; no role can have this name.
PUBLIC = "public"

#: Privileges by kind of object, in the manual's order (section "Privileges").
PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "schema": ("CREATE", "USAGE"),
    "tables": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "sequences": ("USAGE", "SELECT", "UPDATE"),
    "functions": ("EXECUTE",),
}
#: Since this server version (`server_version_num`) tables have MAINTAIN.
MAINTAIN_SINCE = 170000

#: Attributes of a role that are on or off, with the word that switches them on.
FLAGS: Mapping[str, str] = {
    "login": "LOGIN",
    "superuser": "SUPERUSER",
    "createdb": "CREATEDB",
    "createrole": "CREATEROLE",
    "replication": "REPLICATION",
    "bypassrls": "BYPASSRLS",
    "inherit": "INHERIT",
}

Acl = Mapping[str, frozenset[str]]


class DesiredError(ValueError):
    """What is wanted can't be done; the message names each key, the reason and the fix. Nothing was changed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take one line for each problem."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Attributes:
    """A role's attributes; the defaults are PostgreSQL's own. valid_until: seconds since 1970 UTC, None for ever."""

    login: bool = False
    superuser: bool = False
    createdb: bool = False
    createrole: bool = False
    replication: bool = False
    bypassrls: bool = False
    inherit: bool = True
    connection_limit: int = -1
    valid_until: float | None = None


@dataclass(frozen=True)
class Role:
    """A wanted role. password None: not managed. settings: a list for the settings that hold a list of names."""

    name: str
    attributes: Attributes = field(default_factory=Attributes)
    password: str | None = field(default=None, repr=False)
    member_of: frozenset[str] = frozenset()
    settings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Extension:
    """A wanted extension; None: wherever it is, whatever version it has."""

    schema: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Database:
    """A wanted database. encoding, locale, provider None: the cluster's own when it is made, not compared later."""

    name: str
    owner: str
    encoding: str | None = None
    locale: str | None = None
    provider: str | None = None
    connection_limit: int = -1
    revoke_public: bool = True
    schemas: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """A wanted grant. names empty: all objects of the kind; creators: whose later objects are included too."""

    role: str
    database: str
    kind: str
    privileges: frozenset[str]
    schema: str = ""
    names: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Desired:
    """Everything that is wanted. absent_databases: name to whether its data may go with it."""

    roles: Mapping[str, Role] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    absent_roles: frozenset[str] = frozenset()
    absent_databases: Mapping[str, bool] = field(default_factory=dict)

    @property
    def owners(self) -> frozenset[str]:
        """Names of the roles that own something wanted; made without login when they are missing."""
        return frozenset(
            owner for database in self.databases.values() for owner in (database.owner, *database.schemas.values())
        )


@dataclass(frozen=True)
class ActualRole:
    """A role that is there. member_of: each group to those who granted the membership; settings as stored."""

    attributes: Attributes
    verifier: str | None = field(default=None, repr=False)
    member_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ActualDatabase:
    """A database that is there; locale as the provider has it (for libc: collation, character type)."""

    owner: str
    encoding: str
    provider: str
    locales: tuple[str, ...]
    connection_limit: int
    acl: Acl


@dataclass(frozen=True)
class Thing:
    """A table, sequence or function: kind as in PRIVILEGES, identity quoted as GRANT takes it."""

    kind: str
    schema: str
    name: str
    identity: str
    owner: str
    acl: Acl


@dataclass(frozen=True)
class Contents:
    """What is inside a database. schemas: owner and privileges; extensions: schema and version.

    defaults: (creator, schema, kind) to privileges; user_objects: how many tables, sequences and functions it has.
    """

    schemas: Mapping[str, tuple[str, Acl]]
    extensions: Mapping[str, tuple[str, str]]
    things: tuple[Thing, ...] = ()
    defaults: Mapping[tuple[str, str, str], Acl] = field(default_factory=dict)
    user_objects: int = 0


@dataclass(frozen=True)
class Server:
    """One reading of a server. version as `server_version_num`; available: extension to its versions.

    dependencies: for a role that shall go: (database or '' for shared objects, 'o' owns / 'a' is granted) to a number.
    """

    version: int
    user: str
    roles: Mapping[str, ActualRole]
    databases: Mapping[str, ActualDatabase]
    available: Mapping[str, frozenset[str]]
    contents: Mapping[str, Contents]
    dependencies: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)


# What template0 holds; a database is always made from it, so that nobody's additions to template1 come along.
FRESH = Contents(
    schemas={"public": ("pg_database_owner", {PUBLIC: frozenset(("USAGE",))})},
    extensions={"plpgsql": ("pg_catalog", "")},
)

#: A server on which nothing is yet; what check mode compares with before PostgreSQL is installed.
EMPTY_SERVER = Server(version=MAINTAIN_SINCE, user="", roles={}, databases={}, available={}, contents={})

_DATABASE_KEYS = (
    "state",
    "drop_data",
    "owner",
    "encoding",
    "locale",
    "provider",
    "connection_limit",
    "revoke_public",
    "schemas",
    "extensions",
)
_ROLE_KEYS = ("state", *FLAGS, "connection_limit", "valid_until", "password", "member_of", "settings")
# `objects`, because a bare `on` is a truth in YAML 1.1.
_GRANT_KEYS = ("role", "database", "schema", "privileges", "objects", "names", "default")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
_PROVIDERS = ("libc", "icu", "builtin")
#: Settings that hold a list of names (GUC_LIST_QUOTE): a text is split at its commas.
LIST_SETTINGS = ("local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces")


class _Reader:
    """Reads one mapping of the parameters and notes every problem with the path of its key."""

    def __init__(self, value: Any, where: str, known: Sequence[str], problems: list[str]) -> None:
        self.where, self.problems = where, problems
        if value is not None and not isinstance(value, Mapping):
            # Without the value: it may be a password in the wrong place.
            self.problem("", f"must be a mapping, not {type(value).__name__}")
        self.values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self.problem(key, f"unknown key; {hint}")

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.where}{'.' if key else ''}{key}: {text}")

    def name(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, str):
            self.problem(key, "a name is needed" if value is None else f"must be a name, not {value!r}")
            return ""
        check_name(value, f"{self.where}.{key}", self.problems)
        return value

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            self.problem(key, "must be a text that is not empty")
            return None
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, not {value!r}")
            return default
        return value

    def limit(self, key: str) -> int:
        value = self.values.get(key)
        value = -1 if value is None else value
        if isinstance(value, bool) or not re.fullmatch(r"-1|\d+", str(value)):
            self.problem(key, f"must be a number of connections, -1 for no limit, not {value!r}")
            return -1
        return int(value)

    def names(self, key: str) -> frozenset[str]:
        value = self.values.get(key)
        value = [] if value is None else value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problem(key, f"must be a list of names, not {value!r}")
            return frozenset()
        for item in value:
            check_name(item, f"{self.where}.{key}", self.problems)
        return frozenset(value)

    def absent(self) -> bool:
        state = self.values.get("state", "present")
        if state not in ("present", "absent"):
            self.problem("state", f"must be present or absent, not {state!r}")
        return bool(state == "absent")


def check_name(name: str, where: str, problems: list[str]) -> None:
    """Note a name that PostgreSQL would cut off or refuse."""
    if not name or "\0" in name or len(name.encode()) > 63:
        problems.append(f"{where}: {name!r} must have 1 to 63 bytes, PostgreSQL would cut it off")


def parse(databases: Mapping[str, Any], roles: Mapping[str, Any], grants: Sequence[Any]) -> Desired:
    """Read the parameters. Raises DesiredError with all problems at once."""
    problems: list[str] = []
    wanted_databases: dict[str, Database] = {}
    absent_databases: dict[str, bool] = {}
    for name, value in databases.items():
        reader = _Reader(value, f"databases.{name}", _DATABASE_KEYS, problems)
        check_name(name, f"databases.{name}", problems)
        if name in ("template0", "template1"):
            reader.problem("", "belongs to PostgreSQL")
        if reader.absent():
            absent_databases[name] = reader.flag("drop_data", False)
        else:
            wanted_databases[name] = _database(name, reader)
    wanted_roles: dict[str, Role] = {}
    absent_roles: set[str] = set()
    for name, value in roles.items():
        reader = _Reader(value, f"roles.{name}", _ROLE_KEYS, problems)
        check_name(name, f"roles.{name}", problems)
        if name.startswith("pg_") or name in (PUBLIC, "none"):
            reader.problem("", "is a name that PostgreSQL keeps for itself")
        if reader.absent():
            absent_roles.add(name)
        else:
            wanted_roles[name] = _role(name, reader)
    desired = Desired(
        roles=wanted_roles,
        databases=wanted_databases,
        grants=tuple(_grant(f"grants[{i}]", value, wanted_databases, problems) for i, value in enumerate(grants)),
        absent_roles=frozenset(absent_roles),
        absent_databases=absent_databases,
    )
    problems.extend(_contradictions(desired))
    if problems:
        raise DesiredError(problems)
    return desired


def _database(name: str, reader: _Reader) -> Database:
    owner = reader.name("owner", name)
    provider = reader.text("provider")
    if provider is not None and provider not in _PROVIDERS:
        reader.problem("provider", f"must be one of {', '.join(_PROVIDERS)}, not {provider!r}")
    if provider is not None and reader.text("locale") is None:
        reader.problem("locale", "is needed together with provider")
    if "drop_data" in reader.values:
        reader.problem("drop_data", "only goes with state: absent")
    return Database(
        name=name,
        owner=owner,
        encoding=reader.text("encoding"),
        locale=reader.text("locale"),
        provider=provider,
        connection_limit=reader.limit("connection_limit"),
        revoke_public=reader.flag("revoke_public", True),
        schemas=_schemas(reader, owner),
        extensions=_extensions(reader),
    )


def _schemas(reader: _Reader, owner: str) -> dict[str, str]:
    found = {}
    value = reader.values.get("schemas")
    if isinstance(value, list):
        value = dict.fromkeys(reader.names("schemas"))
    for name, entry in _Reader(value, f"{reader.where}.schemas", _any(value), reader.problems).values.items():
        below = _Reader(entry, f"{reader.where}.schemas.{name}", ("owner",), reader.problems)
        check_name(name, below.where, reader.problems)
        if name.startswith("pg_") or name == "information_schema":
            below.problem("", "belongs to PostgreSQL")
        default = "pg_database_owner" if name == "public" else owner
        found[name] = below.name("owner", default)
    return found


def _extensions(reader: _Reader) -> dict[str, Extension]:
    found = {}
    value = reader.values.get("extensions")
    if isinstance(value, list):
        value = dict.fromkeys(reader.names("extensions"))
    for name, entry in _Reader(value, f"{reader.where}.extensions", _any(value), reader.problems).values.items():
        below = _Reader(entry, f"{reader.where}.extensions.{name}", ("schema", "version"), reader.problems)
        found[name] = Extension(schema=below.text("schema"), version=below.text("version"))
    return found


def _any(value: Any) -> list[str]:
    """Return the keys of a mapping whose keys are free."""
    return list(value) if isinstance(value, Mapping) else []


def _role(name: str, reader: _Reader) -> Role:
    password = reader.text("password")
    if password is not None and re.fullmatch(r"md5[0-9a-f]{32}", password):
        reader.problem("password", "is an MD5 hash; give the password itself or a SCRAM-SHA-256 verifier")
    flags = {key: reader.flag(key, {"inherit": True, "login": password is not None}.get(key, False)) for key in FLAGS}
    return Role(
        name=name,
        attributes=Attributes(
            **flags, connection_limit=reader.limit("connection_limit"), valid_until=_valid_until(reader)
        ),
        password=password,
        member_of=reader.names("member_of"),
        settings=_settings(reader),
    )


def _valid_until(reader: _Reader) -> float | None:
    value = reader.values.get("valid_until")
    if value is None or value == "infinity":
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", str(value)))
    except ValueError:
        reader.problem("valid_until", f"must be a time as in 2027-01-31T12:00:00Z, or infinity, not {value!r}")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _settings(reader: _Reader) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    value = reader.values.get("settings")
    for name, entry in _Reader(value, f"{reader.where}.settings", _any(value), reader.problems).values.items():
        key = name.lower()
        if not _SETTING.fullmatch(name):
            reader.problem(f"settings.{name}", "is no name of a setting")
        elif isinstance(entry, list):
            found[key] = tuple(str(item) for item in entry)
        elif isinstance(entry, bool):
            found[key] = "on" if entry else "off"
        elif not isinstance(entry, (str, int, float)) or "\0" in str(entry):
            reader.problem(f"settings.{name}", f"must be a single value or a list of names, not {entry!r}")
        elif key in LIST_SETTINGS:
            found[key] = split_names(str(entry))
        else:
            found[key] = str(entry)
        if isinstance(entry, list) and key not in LIST_SETTINGS:
            reader.problem(f"settings.{name}", f"only {', '.join(LIST_SETTINGS)} take a list")
    return found


def split_names(text: str) -> tuple[str, ...]:
    """Split a list of names as PostgreSQL stores it: `"$user", public` gives `$user` and `public`."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', text)
    # An empty list is stored as one empty name.
    return tuple(quoted.replace('""', '"') or plain.lower() for quoted, plain in found if quoted or plain)


def _grant(where: str, value: Any, databases: Mapping[str, Database], problems: list[str]) -> Grant:
    reader = _Reader(value, where, _GRANT_KEYS, problems)
    role, database = reader.name("role"), reader.name("database")
    kind = reader.values.get("objects", "schema" if reader.values.get("schema") else "database")
    if kind not in PRIVILEGES:
        reader.problem("objects", f"must be one of {', '.join(PRIVILEGES)}, not {kind!r}")
        kind = "database"
    schema = "" if kind == "database" else reader.name("schema")
    if kind == "database" and reader.values.get("schema"):
        reader.problem("schema", "does not go with objects: database")
    if database and database not in databases:
        reader.problem("database", f"{database!r} is not among databases; declare it there")
    elif schema and database and schema not in databases[database].schemas:
        reader.problem("schema", f"{schema!r} is not among databases.{database}.schemas; declare it there")
    names = reader.names("names")
    if names and kind in ("database", "schema"):
        reader.problem("names", "only goes with objects: tables, sequences or functions")
    return Grant(
        role=role,
        database=database,
        kind=kind,
        schema=schema,
        names=names,
        privileges=_privileges(reader, kind),
        creators=_creators(reader, kind, names, databases.get(database), schema),
    )


def _privileges(reader: _Reader, kind: str) -> frozenset[str]:
    value = reader.values.get("privileges")
    if not isinstance(value, list) or not value:
        reader.problem("privileges", f"must be a list, of {', '.join(PRIVILEGES[kind])} or ALL")
        return frozenset()
    found = {str(item).upper() for item in value}
    found = {{"TEMP": "TEMPORARY", "ALL PRIVILEGES": "ALL"}.get(item, item) for item in found}
    for item in sorted(found - {"ALL", *PRIVILEGES[kind]}):
        reader.problem("privileges", f"{item} does not exist for {kind}; there are {', '.join(PRIVILEGES[kind])}")
    return frozenset(found)


def _creators(
    reader: _Reader, kind: str, names: Iterable[str], database: Database | None, schema: str
) -> frozenset[str]:
    value = reader.values.get("default", False)
    if not value:
        return frozenset()
    if kind in ("database", "schema") or names:
        reader.problem("default", "only goes with objects: tables, sequences or functions, without names")
    if value is True:
        return frozenset({database.schemas[schema]} if database and schema in database.schemas else ())
    return reader.names("default")


def _contradictions(desired: Desired) -> Iterable[str]:
    """Yield what can be seen to be wrong without a server."""
    known = {*desired.roles, *desired.owners}
    for owner in sorted(desired.absent_roles & desired.owners):
        yield f"roles.{owner}: shall be absent, but owns a database or schema that shall be there"
    for name, role in desired.roles.items():
        if name in role.member_of:
            yield f"roles.{name}.member_of: a role can't be a member of itself"
        for group in sorted(role.member_of & desired.absent_roles):
            yield f"roles.{name}.member_of: {group} shall be absent"
    for index, grant in enumerate(desired.grants):
        if grant.role in desired.absent_roles and grant.role not in known:
            yield f"grants[{index}].role: {grant.role} shall be absent"
