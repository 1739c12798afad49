#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module holdfast.platform.postgresql_state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_state
short_description: Reconcile databases, schemas, roles, grants and extensions of a PostgreSQL cluster
version_added: 0.1.0
description:
  - Reads the catalogues in a few queries, computes all statements, and carries them out, those of one database in one
    transaction. A second run has nothing to do.
  - Everything is checked before anything is changed.
  - Manages what is declared, and leaves everything else alone. No schema, extension or object is ever dropped.
  - A declared role is managed completely. Its attributes, settings and memberships are those declared, or PostgreSQL's
    defaults.
  - Grants of declared roles are authoritative on declared databases, on their declared schemas, on the tables,
    sequences and functions in these, and for default privileges in these. A grant that is no longer declared there is
    revoked. Grants of other roles are only added.
  - Passwords are sent as SCRAM-SHA-256 verifiers that are computed on this host. A stored verifier that fits the
    password stays.
  - Connects as a superuser over TLS to whichever member is the leader, so it may run on any member, with C(run_once).
  - In check mode, when the driver is not installed or no server runs yet, it reports everything as a change.
requirements:
  - psycopg2 on the host where it runs
options:
  hosts:
    description: Addresses of all members, or one directory of a Unix socket. The one that takes writes is used.
    type: list
    elements: str
    required: true
  port:
    description: Port of the servers themselves, not of a pooler.
    type: int
    default: 5432
  user:
    description: A superuser to log in as. It can't be managed by this module.
    type: str
    default: postgres
  password:
    description: The password of O(user).
    type: str
  other_passwords:
    description:
      - Passwords that O(user) may still have, as in the middle of a rotation. When one of them lets in, O(password)
        takes its place.
    type: list
    elements: str
    default: []
  ca_path:
    description:
      - File with the certificate authorities that sign the servers' certificates. With it, the certificate and the
        name in it are verified. Needed unless O(hosts) is a directory.
    type: path
  timeout:
    description: Seconds in which a member must answer.
    type: int
    default: 10
  databases:
    description:
      - Databases by name. A missing one is made from template0.
      - Keys of each, all optional. V(owner), default the database's name, a role without login that is made when
        missing; V(schemas), a list of names or a mapping to V({owner}), default the database's owner; V(extensions),
        a list of names or a mapping to V({schema, version}); V(connection_limit), default -1 for none;
        V(revoke_public), default true, takes CONNECT and TEMPORARY on the database and CREATE on schema public from
        PUBLIC; V(encoding), V(locale) and V(provider) (V(libc), V(icu), V(builtin)) for a new database, which an
        existing one must have.
      - V(state=absent) drops a database that holds no tables, sequences or functions; with V(drop_data=true) any.
    type: dict
    default: {}
  roles:
    description:
      - Roles by name.
      - Keys of each, all optional. V(password), a password or a SCRAM-SHA-256 verifier, not managed when left out;
        V(login), default true when there is a password; V(member_of), a list; V(settings), a mapping of settings;
        V(connection_limit), default -1; V(valid_until), a time as in V(2027-01-31T12:00:00Z); V(inherit), default true;
        V(superuser), V(createdb), V(createrole), V(replication), V(bypassrls), default false.
      - V(state=absent) takes all privileges from a role and drops it; refused while it owns anything.
    type: dict
    default: {}
  grants:
    description:
      - A list of what roles may do. Keys are V(role), or V(public) for everybody; V(database); V(schema); V(objects),
        one of V(database), V(schema), V(tables), V(sequences), V(functions), default V(schema) when there is one, else
        V(database); V(privileges), a list, or V([ALL]); V(names), to name single tables, sequences or functions instead
        of all; V(default), true to include the objects that the schema's owner makes later, or a list of the roles
        that make them.
      - A grant on anything in a database includes CONNECT on it, and USAGE on the schema.
      - Database and schema must be declared under O(databases).
    type: list
    elements: dict
    default: []
  pool_user:
    description:
      - A declared role with which a pooler logs in to look up the verifiers of its clients. It gets the function
        C(pgbouncer.lookup) in the database C(postgres), which tells it nothing of superusers and roles that replicate.
    type: str
attributes:
  check_mode:
    support: full
    description: Tells the statements that a run would carry out.
  diff_mode:
    support: full
    description: Shows the statements, without passwords and verifiers.
author:
  - Holdfast founders (@holdfast)
"""

EXAMPLES = r"""
- name: Reconcile databases, roles and grants
  holdfast.platform.postgresql_state:
    hosts: [10.77.1.11, 10.77.2.11, 10.77.3.11]
    user: postgres
    password: "{{ lookup('holdfast.platform.secret', 'postgresql/superuser') }}"
    ca_path: /etc/holdfast/pki/postgresql/ca.crt
    databases:
      orders:
        schemas: [orders]
        extensions: [pg_trgm]
        connection_limit: 150
    roles:
      orders_app:
        password: "{{ lookup('holdfast.platform.secret', 'postgresql/app') }}"
        member_of: [orders]
        connection_limit: 100
        settings: {role: orders, statement_timeout: 30s}
      reporting:
        password: "{{ lookup('holdfast.platform.secret', 'postgresql/reporting') }}"
    grants:
      - {role: reporting, database: orders, schema: orders, objects: tables, privileges: [SELECT], default: true}
  run_once: true
"""

RETURN = r"""
statements:
  description: The statements that were, or in check mode would be, carried out, without passwords and verifiers.
  returned: success
  type: list
  elements: dict
  contains:
    database:
      description: The database it belongs to; null for the whole cluster.
      type: str
      returned: success
    sql:
      description: The statement.
      type: str
      returned: success
"""

import traceback
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_load as server
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_pool as pool
from ansible_collections.holdfast.platform.plugins.module_utils import _scram
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_model import (
    EMPTY_SERVER,
    Desired,
    DesiredError,
    parse,
)
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_state import (
    Statement,
    ident,
    literal,
    plan,
    validate,
)

try:
    import psycopg2

    PSYCOPG2_ERROR = None
    DRIVER_ERROR: type[Exception] = psycopg2.Error
except ImportError:
    psycopg2 = None
    PSYCOPG2_ERROR = traceback.format_exc()
    DRIVER_ERROR = ImportError


class Door:
    """Sessions on the leader, with the first of the given passwords that it knows."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """Keep how to connect; nothing is opened yet."""
        self.hosts = list(params["hosts"])
        self.user, self.password = params["user"], params["password"]
        self.passwords = [self.password, *params["other_passwords"]]
        self.arguments = {
            "port": params["port"],
            "user": params["user"],
            "connect_timeout": params["timeout"],
            "target_session_attrs": "read-write",
            "application_name": "holdfast",
            "options": server.OPTIONS,
            "passfile": "/dev/null",
        }
        if params["ca_path"] is not None:
            self.arguments.update(sslmode="verify-full", sslrootcert=params["ca_path"])

    def connect(self, database: str | None) -> Any:
        """Open a session in one database. A standby that lags may know another password than the leader."""
        problems = []
        for host in self.hosts:
            for password in self.passwords:
                known = {} if password is None else {"password": password}
                try:
                    session = psycopg2.connect(dbname=database or "postgres", host=host, **known, **self.arguments)
                except DRIVER_ERROR as error:
                    problems.append(str(error).strip())
                    if "authentication failed" in problems[-1]:
                        continue
                    break
                # Stay with the leader that was found: a standby may not have a new database yet.
                self.hosts, self.passwords = [host], [password]
                return session
        who = f"superuser {self.user} on the leader among {', '.join(self.hosts)}"
        raise server.ServerError(f"no session as {who}: {'; '.join(dict.fromkeys(problems))}")

    def renew(self, check: bool) -> list[Statement]:
        """Put the password in force when the server still knew another one; the statement that does it."""
        self.connect(None).close()
        if self.passwords == [self.password]:
            return []
        change = f"ALTER ROLE {ident(self.user)} PASSWORD "
        statements = [Statement(change + literal(str(_scram.make(self.password))), change + "'(verifier, not shown)'")]
        if not check:
            server.execute(self.connect, statements, DRIVER_ERROR)
            self.passwords = [self.password]
        return statements


def lookup(connect: server.Connect, user: str | None) -> list[Statement]:
    """Return the statements for the pooler's function; none where no pooler is declared, or all is well."""
    if user is None:
        return []
    return pool.plan(server.rows(connect, pool.DATABASE, pool.READING, {"user": user}), user)


def reconcile(connect: server.Connect, desired: Desired, pool_user: str | None, check: bool) -> list[Statement]:
    """Bring the server to what is wanted and return the statements.

    What an extension brings into a schema is only known once it is there, hence a second look after a change.
    """
    if check:
        reading = server.read(connect, desired)
        validate(reading, desired)
        if pool_user and pool_user not in reading.roles:
            return plan(reading, desired) + pool.plan([], pool_user)
        return plan(reading, desired) + lookup(connect, pool_user)
    done: list[Statement] = []
    with server.only_one(connect, DRIVER_ERROR):
        for _look in range(4):
            reading = server.read(connect, desired)
            validate(reading, desired)
            statements = plan(reading, desired) or lookup(connect, pool_user)
            if not statements:
                return done
            server.execute(connect, statements, DRIVER_ERROR)
            done += statements
    raise server.ServerError(f"the server does not keep: {statements[0].shown}")


class QuietModule(AnsibleModule):  # type: ignore[misc]
    """A module whose call is not written to the host's log: the passwords inside `roles` would stand there.

    Ansible keeps those of top-level options out of it, and those of suboptions that the argument specification names;
    it can't name what stands below the keys of a mapping.
    """

    def _log_invocation(self) -> None:
        """Log nothing."""


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "hosts": {"type": "list", "elements": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "user": {"type": "str", "default": "postgres"},
            "password": {"type": "str", "no_log": True},
            "other_passwords": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "ca_path": {"type": "path"},
            "timeout": {"type": "int", "default": 10},
            "databases": {"type": "dict", "default": {}},
            "roles": {"type": "dict", "default": {}, "no_log": False},
            "grants": {"type": "list", "elements": "dict", "default": []},
            "pool_user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    for role in params["roles"].values():
        # The argument specification can't reach in here: keep these out of results and logs as well.
        if isinstance(role, dict) and isinstance(role.get("password"), str):
            module.no_log_values.add(role["password"])
    if params["ca_path"] is None and not all(host.startswith("/") for host in params["hosts"]):
        module.fail_json(msg="ca_path: is needed; a password is sent over verified TLS or a Unix socket only")
    try:
        pool_user = params["pool_user"]
        if pool_user is not None and pool_user not in params["roles"]:
            module.fail_json(msg=f"pool_user: {pool_user} is not declared; declare it under roles, with a password")
        desired = parse(params["databases"], params["roles"], params["grants"])
        if module.check_mode and (psycopg2 is None or not server.listens(params["hosts"], params["port"])):
            module.warn("PostgreSQL does not run there yet; everything is reported as a change")
            statements = plan(EMPTY_SERVER, desired) + (pool.plan([], pool_user) if pool_user else [])
        elif psycopg2 is None:
            module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_ERROR)
        else:
            door = Door(params)
            own = door.renew(module.check_mode) if params["other_passwords"] else []
            statements = own + reconcile(door.connect, desired, pool_user, module.check_mode)
    except DesiredError as error:
        module.fail_json(msg=str(error), problems=list(error.problems))
    except server.ServerError as error:
        module.fail_json(msg=str(error))
    except DRIVER_ERROR as error:
        module.fail_json(msg=f"the session broke off: {str(error).strip()}")

    result = {
        "changed": bool(statements),
        "statements": [{"database": item.database, "sql": item.shown} for item in statements],
    }
    if statements:
        lines = [f"{item.database or '(cluster)'}: {item.shown};\n" for item in statements]
        result["diff"] = {"before": "", "after": "".join(lines), "after_header": "statements"}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
