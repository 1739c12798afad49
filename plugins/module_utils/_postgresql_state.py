# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the statements that bring a PostgreSQL cluster's databases, roles and grants to what is wanted.

Pure: a reading of the server and what is wanted go in, an ordered list of statements comes out. What it manages:

- databases: the declared ones; owner, connection limit, what PUBLIC may do. Encoding and locale only when made.
- schemas, extensions: the declared ones; none is ever dropped.
- roles: the declared ones, completely: attributes, settings, memberships, and the password when one is declared.
- grants of declared roles are authoritative: on the declared databases, on their declared schemas, on the tables,
  sequences and functions in these, and default privileges in these. A grant inside a database brings CONNECT on the
  database and USAGE on the schema with it, without which it would be of no use.
- anything else is left alone.

Source of the SQL: PostgreSQL manual, part "SQL Commands", and section "Privileges".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible_collections.holdfast.platform.plugins.module_utils import _guc, _scram
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_model import (
    FLAGS,
    FRESH,
    MAINTAIN_SINCE,
    PRIVILEGES,
    PUBLIC,
    Acl,
    ActualDatabase,
    ActualRole,
    Attributes,
    Contents,
    Database,
    Desired,
    DesiredError,
    Grant,
    Role,
    Server,
    Thing,
    split_names,
)

#: Words of GRANT for all objects of a kind, for one of them, and for those of ALTER DEFAULT PRIVILEGES.
_ALL = {"tables": "ALL TABLES", "sequences": "ALL SEQUENCES", "functions": "ALL ROUTINES"}
_ONE = {"tables": "TABLE", "sequences": "SEQUENCE", "functions": "ROUTINE"}
_LATER = {"tables": "TABLES", "sequences": "SEQUENCES", "functions": "ROUTINES"}
#: Objects named in one REVOKE at most.
_BATCH = 200
#: Since this server version a membership knows who granted it, and one superuser can't revoke another's without a word.
_GRANTED_BY_SINCE = 160000
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Statement:
    """One SQL statement. database None: cluster-wide. shown: for people, without secrets. alone: no transaction."""

    sql: str
    shown: str
    database: str | None = None
    alone: bool = False


def ident(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text, whatever `standard_conforming_strings` is (as libpq's PQescapeLiteral does)."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in text else quoted


def _grantee(role: str) -> str:
    return "PUBLIC" if role == PUBLIC else ident(role)


def _listed(privileges: Iterable[str]) -> str:
    """Write privileges in a stable order."""
    return ", ".join(sorted(privileges))


# --- What can only be judged with the server at hand ---------------------------------------------------------------


def validate(server: Server, desired: Desired) -> None:
    """Refuse what the server can't do, before anything is changed. Raises DesiredError with all problems."""
    problems = [
        *_role_problems(server, desired),
        *(problem for database in desired.databases.values() for problem in _database_problems(server, database)),
        *(problem for i, grant in enumerate(desired.grants) for problem in _grant_problems(server, desired, i, grant)),
        *_removal_problems(server, desired),
    ]
    if problems:
        raise DesiredError(problems)


def _role_problems(server: Server, desired: Desired) -> Iterator[str]:
    known = ({*server.roles, *desired.roles, *desired.owners}) - desired.absent_roles
    if server.user and not server.roles[server.user].attributes.superuser:
        yield f"user: {server.user} is no superuser; roles and their passwords are managed by one only"
    if server.user in {*desired.roles, *desired.absent_roles}:
        yield f"roles.{server.user}: is the role that this module itself logs in with; it is managed elsewhere"
    for name, role in desired.roles.items():
        for group in sorted(role.member_of - known):
            yield f"roles.{name}.member_of: {group} does not exist; declare it under roles"
    for cycle in _cycles(desired):
        yield f"roles: {' -> '.join(cycle)} are members of each other in a circle"


def _cycles(desired: Desired) -> Iterator[tuple[str, ...]]:
    """Yield each circle of declared memberships once."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in trail:
            yield (*trail[trail.index(name) :], name)
        elif name not in done and name in desired.roles:
            for group in sorted(desired.roles[name].member_of):
                yield from visit(group, (*trail, name))
            done.add(name)

    for name in sorted(desired.roles):
        yield from visit(name, ())


def _database_problems(server: Server, database: Database) -> Iterator[str]:
    where = f"databases.{database.name}"
    actual = server.databases.get(database.name)
    if actual is not None:
        yield from _unchangeable(where, database, actual)
    for name, extension in database.extensions.items():
        versions = server.available.get(name)
        if versions is None:
            offered = ", ".join(sorted(server.available)) or "none"
            yield f"{where}.extensions.{name}: not available on the server; install its package. Available: {offered}"
        elif extension.version is not None and extension.version not in versions:
            offered = ", ".join(sorted(versions))
            yield f"{where}.extensions.{name}.version: {extension.version} is not available; there are {offered}"
        if extension.schema is not None and extension.schema not in {
            *database.schemas,
            *server.contents.get(database.name, FRESH).schemas,
            "pg_catalog",
        }:
            yield f"{where}.extensions.{name}.schema: {extension.schema} does not exist; declare it under schemas"


def _codeset(locale: str) -> str:
    """Return a locale's name without its spelling variants: `en_US.utf8` and `en_US.UTF-8` are one."""
    language, dot, codeset = locale.partition(".")
    return language + dot + codeset.lower().replace("-", "")


def _unchangeable(where: str, database: Database, actual: ActualDatabase) -> Iterator[str]:
    hint = "it can't be changed later: dump the data, drop the database and let it be made again"
    if database.encoding is not None and database.encoding.upper().replace("-", "") != actual.encoding.replace("-", ""):
        yield f"{where}.encoding: the database exists with {actual.encoding}, not {database.encoding}; {hint}"
    if database.provider is not None and database.provider != actual.provider:
        yield f"{where}.provider: the database exists with {actual.provider}, not {database.provider}; {hint}"
    elif database.locale is not None and any(_codeset(item) != _codeset(database.locale) for item in actual.locales):
        has = ", ".join(dict.fromkeys(actual.locales))
        yield f"{where}.locale: the database exists with {has}, not {database.locale}; {hint}"


def _grant_problems(server: Server, desired: Desired, index: int, grant: Grant) -> Iterator[str]:
    known = {*server.roles, *desired.roles, *desired.owners, PUBLIC}
    for key, roles in (("role", {grant.role}), ("default", grant.creators)):
        for role in sorted(roles - known):
            yield f"grants[{index}].{key}: {role} does not exist; declare it under roles"
    things = server.contents.get(grant.database, FRESH).things
    there = {thing.name for thing in things if (thing.schema, thing.kind) == (grant.schema, grant.kind)}
    for name in sorted(grant.names - there):
        yield f"grants[{index}].names: {grant.schema}.{name} does not exist in {grant.database}"


def _removal_problems(server: Server, desired: Desired) -> Iterator[str]:
    for name, drop_data in desired.absent_databases.items():
        count = server.contents[name].user_objects if name in server.databases else 0
        if count and not drop_data:
            yield (
                f"databases.{name}: shall be absent, but holds {count} tables, sequences or functions; "
                "say drop_data: true if they shall go"
            )
    for name in sorted(desired.absent_roles & server.roles.keys()):
        for (database, kind), count in sorted(server.dependencies.get(name, {}).items()):
            if kind == "o" and database not in desired.absent_databases:
                place = f"in database {database}" if database else "that the whole cluster shares"
                yield (
                    f"roles.{name}: shall be absent, but owns {count} objects {place}; give them to another role first "
                    f"(REASSIGN OWNED BY {ident(name)} TO ...)"
                )


# --- The plan ----------------------------------------------------------------------------------------------------


def plan(server: Server, desired: Desired, verifier: Callable[[str], str] | None = None) -> list[Statement]:
    """Return the statements in the order in which they work; none when everything is as wanted.

    verifier: makes the SCRAM verifier of a password (a random salt by default; tests give a fixed one).
    """
    make = verifier or (lambda password: str(_scram.make(password)))
    return [
        *_roles(server, desired, make),
        *(_create_database(database) for name, database in desired.databases.items() if name not in server.databases),
        *(
            statement
            for database in desired.databases.values()
            for statement in _inside(server, desired, database, server.contents.get(database.name, FRESH))
        ),
        *_removals(server, desired),
    ]


def _plain(sql: str, database: str | None = None, *, alone: bool = False) -> Statement:
    return Statement(sql, sql, database, alone)


def _roles(server: Server, desired: Desired, make: Callable[[str], str]) -> Iterator[Statement]:
    for owner in sorted(desired.owners - desired.roles.keys() - server.roles.keys()):
        yield _plain(f"CREATE ROLE {ident(owner)}")
    for name, role in desired.roles.items():
        actual = server.roles.get(name)
        words = " ".join(_attribute_words(role.attributes, actual.attributes if actual else Attributes()))
        if actual is None:
            yield _plain(f"CREATE ROLE {ident(name)}{' WITH ' if words else ''}{words}")
        elif words:
            yield _plain(f"ALTER ROLE {ident(name)} WITH {words}")
        actual = actual or ActualRole(Attributes())
        if role.password is not None and not _scram.matches(actual.verifier, role.password):
            secret = role.password if _scram.parse(role.password) else make(role.password)
            sql = f"ALTER ROLE {ident(name)} PASSWORD "
            yield Statement(sql + literal(secret), sql + "'(verifier, not shown)'")
        yield from _settings(role, actual)
    for name, role in desired.roles.items():
        yield from _memberships(server, role, server.roles.get(name, ActualRole(Attributes())))


def _attribute_words(wanted: Attributes, actual: Attributes) -> Iterator[str]:
    for flag, word in FLAGS.items():
        if getattr(wanted, flag) != getattr(actual, flag):
            yield word if getattr(wanted, flag) else f"NO{word}"
    if wanted.connection_limit != actual.connection_limit:
        yield f"CONNECTION LIMIT {wanted.connection_limit}"
    if wanted.valid_until != actual.valid_until:
        if wanted.valid_until is None:
            yield "VALID UNTIL 'infinity'"
        else:
            yield f"VALID UNTIL {literal(_moment(wanted.valid_until))}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _settings(role: Role, actual: ActualRole) -> Iterator[Statement]:
    stored = {name.lower(): value for name, value in actual.settings.items()}
    for name, value in role.settings.items():
        if isinstance(value, tuple):
            same = name in stored and split_names(stored[name]) == value
            rendered = ", ".join(ident(item) for item in value) or "''"
        else:
            same = name in stored and _guc.same(stored[name], value)
            rendered = literal(value)
        if not same:
            yield _plain(f"ALTER ROLE {ident(role.name)} SET {_setting_name(name)} TO {rendered}")
    for name in sorted(stored.keys() - role.settings.keys()):
        yield _plain(f"ALTER ROLE {ident(role.name)} RESET {_setting_name(name)}")


def _setting_name(name: str) -> str:
    """Quote each part of a setting's name: `role` is a word of the grammar, `pgaudit.log` has two parts."""
    return ".".join(ident(part) for part in name.split("."))


def _memberships(server: Server, role: Role, actual: ActualRole) -> Iterator[Statement]:
    for group in sorted(role.member_of - actual.member_of.keys()):
        yield _plain(f"GRANT {ident(group)} TO {ident(role.name)}")
    for group in sorted(actual.member_of.keys() - role.member_of):
        for grantor in actual.member_of[group]:
            by = f" GRANTED BY {ident(grantor)}" if server.version >= _GRANTED_BY_SINCE else ""
            yield _plain(f"REVOKE {ident(group)} FROM {ident(role.name)}{by}")


def _create_database(database: Database) -> Statement:
    words = [f"CREATE DATABASE {ident(database.name)} OWNER {ident(database.owner)} TEMPLATE template0"]
    if database.encoding is not None:
        words.append(f"ENCODING {literal(database.encoding)}")
    if database.provider is not None:
        words.append(f"LOCALE_PROVIDER {database.provider}")
    if database.locale is not None:
        word = {"icu": "ICU_LOCALE", "builtin": "BUILTIN_LOCALE"}.get(database.provider or "", "LOCALE")
        words.append(f"{word} {literal(database.locale)}")
    if database.connection_limit != -1:
        words.append(f"CONNECTION LIMIT {database.connection_limit}")
    return _plain(" ".join(words), alone=True)


def _fresh_database(database: Database) -> ActualDatabase:
    """Return what CREATE DATABASE leaves, so that the rest of the plan starts from there."""
    acl = {PUBLIC: frozenset(("CONNECT", "TEMPORARY")), database.owner: frozenset(PRIVILEGES["database"])}
    return ActualDatabase(database.owner, "", "", (), database.connection_limit, acl)


def _inside(server: Server, desired: Desired, database: Database, contents: Contents) -> Iterator[Statement]:
    """Yield what has to be done in one database, in one transaction."""
    name = database.name
    actual = server.databases.get(name) or _fresh_database(database)
    if actual.owner != database.owner:
        yield _plain(f"ALTER DATABASE {ident(name)} OWNER TO {ident(database.owner)}", name)
    if actual.connection_limit != database.connection_limit:
        yield _plain(f"ALTER DATABASE {ident(name)} CONNECTION LIMIT {database.connection_limit}", name)
    yield from _schemas(database, contents)
    yield from _extensions(database, contents)

    wishes = _Wishes(server, desired, database)
    acl = _owned(actual.acl, actual.owner, database.owner)
    yield from _level(f"DATABASE {ident(name)}", name, acl, database.owner, wishes.on_database(), wishes)
    for schema, owner in database.schemas.items():
        was, acl = contents.schemas.get(schema, (owner, {}))
        acl = _owned(acl, was, owner)
        yield from _level(f"SCHEMA {ident(schema)}", name, acl, owner, wishes.on_schema(schema), wishes)
    if "public" in contents.schemas.keys() - database.schemas.keys():
        owner, acl = contents.schemas["public"]
        acl = {PUBLIC: acl.get(PUBLIC, _NONE)}  # not declared, so nobody else's business
        yield from _level('SCHEMA "public"', name, acl, owner, {}, wishes)
    yield from _things(database, contents, wishes)
    yield from _defaults(database, contents, wishes)


def _schemas(database: Database, contents: Contents) -> Iterator[Statement]:
    for schema, owner in database.schemas.items():
        if schema not in contents.schemas:
            yield _plain(f"CREATE SCHEMA {ident(schema)} AUTHORIZATION {ident(owner)}", database.name)
        elif contents.schemas[schema][0] != owner:
            yield _plain(f"ALTER SCHEMA {ident(schema)} OWNER TO {ident(owner)}", database.name)


def _extensions(database: Database, contents: Contents) -> Iterator[Statement]:
    for name, wanted in database.extensions.items():
        if name not in contents.extensions:
            place = f" SCHEMA {ident(wanted.schema)}" if wanted.schema else ""
            version = f" VERSION {literal(wanted.version)}" if wanted.version else ""
            yield _plain(f"CREATE EXTENSION {ident(name)}{place}{version} CASCADE", database.name)
            continue
        schema, version = contents.extensions[name]
        if wanted.schema is not None and wanted.schema != schema:
            yield _plain(f"ALTER EXTENSION {ident(name)} SET SCHEMA {ident(wanted.schema)}", database.name)
        if wanted.version is not None and wanted.version != version:
            yield _plain(f"ALTER EXTENSION {ident(name)} UPDATE TO {literal(wanted.version)}", database.name)


class _Wishes:
    """The grants of one database, by level, and for which grantees they are all that there may be."""

    def __init__(self, server: Server, desired: Desired, database: Database) -> None:
        self.grants = [grant for grant in desired.grants if grant.database == database.name]
        self.managed = frozenset(desired.roles)
        self.revoke_public = database.revoke_public
        self.version = server.version

    def privileges(self, grant: Grant) -> frozenset[str]:
        """Return a grant's privileges, ALL spelled out as this server has it."""
        if "ALL" not in grant.privileges:
            return grant.privileges
        return frozenset(PRIVILEGES[grant.kind]) - ({"MAINTAIN"} if self.version < MAINTAIN_SINCE else _NONE)

    def on_database(self) -> dict[str, frozenset[str]]:
        wanted: dict[str, frozenset[str]] = defaultdict(frozenset)
        for grant in self.grants:
            wanted[grant.role] |= self.privileges(grant) if grant.kind == "database" else {"CONNECT"}
        return wanted

    def on_schema(self, schema: str) -> dict[str, frozenset[str]]:
        wanted: dict[str, frozenset[str]] = defaultdict(frozenset)
        for grant in self.grants:
            if grant.schema == schema:
                wanted[grant.role] |= self.privileges(grant) if grant.kind == "schema" else {"USAGE"}
        return wanted

    def surplus(self, role: str, have: frozenset[str], want: frozenset[str], target: str) -> frozenset[str]:
        """Return what has to be taken away again."""
        if role in self.managed:
            return have - want
        if role == PUBLIC and self.revoke_public:
            if target.startswith("DATABASE"):
                return have - want
            if target == 'SCHEMA "public"':
                return have & {"CREATE"} - want
        return _NONE


def _owned(acl: Acl, before: str, after: str) -> Acl:
    """Return the privileges after a change of owner, which hands the old owner's to the new one."""
    if before == after:
        return acl
    rest = {role: privileges for role, privileges in acl.items() if role != before}
    return {**rest, after: rest.get(after, _NONE) | acl.get(before, _NONE)}


def _level(  # noqa: PLR0917 - one place, one caller
    target: str, database: str, acl: Acl, owner: str, wanted: Mapping[str, frozenset[str]], wishes: _Wishes
) -> Iterator[Statement]:
    """Yield the grants on one database or schema. The owner has everything anyway."""
    for role in sorted({*acl, *wanted} - {owner}):
        have, want = acl.get(role, _NONE), wanted.get(role, _NONE)
        surplus = wishes.surplus(role, have, want, target)
        if surplus:
            yield _plain(f"REVOKE {_listed(surplus)} ON {target} FROM {_grantee(role)}", database)
        if want - have:
            yield _plain(f"GRANT {_listed(want - have)} ON {target} TO {_grantee(role)}", database)


def _things(database: Database, contents: Contents, wishes: _Wishes) -> Iterator[Statement]:
    """Yield the grants on tables, sequences and functions of the declared schemas."""
    groups: dict[tuple[str, str], list[Thing]] = defaultdict(list)
    for thing in contents.things:
        groups[thing.schema, thing.kind].append(thing)
    for (schema, kind), things in sorted(groups.items()):
        if schema not in database.schemas:
            continue
        grants = [grant for grant in wishes.grants if (grant.schema, grant.kind) == (schema, kind)]
        for role in sorted({grant.role for grant in grants} | wishes.managed):
            own = [grant for grant in grants if grant.role == role]
            yield from _role_things(database.name, schema, kind, role, things, own, wishes)


def _role_things(  # noqa: PLR0917 - one place, one caller
    database: str, schema: str, kind: str, role: str, things: list[Thing], grants: list[Grant], wishes: _Wishes
) -> Iterator[Statement]:
    everywhere = _NONE.union(*(wishes.privileges(grant) for grant in grants if not grant.names))
    lacking: set[str] = set()
    missing: dict[frozenset[str], list[str]] = defaultdict(list)
    surplus: dict[frozenset[str], list[str]] = defaultdict(list)
    for thing in things:
        if thing.owner == role:
            continue
        have = thing.acl.get(role, _NONE)
        named = _NONE.union(*(wishes.privileges(grant) for grant in grants if thing.name in grant.names))
        lacking |= everywhere - have
        missing[named - everywhere - have].append(thing.identity)
        surplus[wishes.surplus(role, have, everywhere | named, kind)].append(thing.identity)
    for privileges, identities in _batches(surplus):
        yield _plain(
            f"REVOKE {_listed(privileges)} ON {_ONE[kind]} {', '.join(identities)} FROM {_grantee(role)}", database
        )
    if lacking:
        yield _plain(
            f"GRANT {_listed(lacking)} ON {_ALL[kind]} IN SCHEMA {ident(schema)} TO {_grantee(role)}", database
        )
    for privileges, identities in _batches(missing):
        yield _plain(
            f"GRANT {_listed(privileges)} ON {_ONE[kind]} {', '.join(identities)} TO {_grantee(role)}", database
        )


def _batches(groups: Mapping[frozenset[str], list[str]]) -> Iterator[tuple[frozenset[str], list[str]]]:
    for privileges, identities in sorted(groups.items(), key=lambda item: sorted(item[0])):
        if privileges:
            for start in range(0, len(identities), _BATCH):
                yield privileges, sorted(identities)[start : start + _BATCH]


def _defaults(database: Database, contents: Contents, wishes: _Wishes) -> Iterator[Statement]:
    """Yield the default privileges in the declared schemas."""
    wanted: dict[tuple[str, str, str], dict[str, frozenset[str]]] = defaultdict(lambda: defaultdict(frozenset))
    for grant in wishes.grants:
        for creator in grant.creators - {grant.role}:
            wanted[creator, grant.schema, grant.kind][grant.role] |= wishes.privileges(grant)
    for key in sorted({*wanted, *contents.defaults}):
        creator, schema, kind = key
        if schema not in database.schemas:
            continue
        acl, wishlist = contents.defaults.get(key, {}), wanted.get(key, {})
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {ident(creator)} IN SCHEMA {ident(schema)}"
        for role in sorted({*acl, *wishlist} - {creator}):
            have, want = acl.get(role, _NONE), wishlist.get(role, _NONE)
            surplus = wishes.surplus(role, have, want, kind)
            if surplus:
                yield _plain(f"{head} REVOKE {_listed(surplus)} ON {_LATER[kind]} FROM {_grantee(role)}", database.name)
            if want - have:
                yield _plain(
                    f"{head} GRANT {_listed(want - have)} ON {_LATER[kind]} TO {_grantee(role)}", database.name
                )


def _removals(server: Server, desired: Desired) -> Iterator[Statement]:
    for name in desired.absent_databases:
        if name in server.databases:
            yield _plain(f"DROP DATABASE {ident(name)}", alone=True)
    for name in sorted(desired.absent_roles & server.roles.keys()):
        # The role owns nothing (validate saw to it), so this only takes its privileges away: those in the database it
        # runs in, and those on what the whole cluster shares.
        places = {database for database, _kind in server.dependencies.get(name, {})} - desired.absent_databases.keys()
        for database in sorted(places - {""}) or sorted(places):
            yield _plain(f"DROP OWNED BY {ident(name)}", database or None)
        yield _plain(f"DROP ROLE {ident(name)}")
