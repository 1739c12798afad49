#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module holdfast.platform.postgresql_drill."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_drill
short_description: Restore the newest PostgreSQL backup onto an empty host, and prove that it works
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - With O(state=restored) the newest backup is restored into a directory of its own, recovers to the end of the
    archived WAL and takes writes, on a socket that root and postgres alone can reach. It never archives, follows
    nobody, and knows nothing of Patroni and etcd.
  - With O(state=verified) the restored server is examined. Every index and table with C(pg_amcheck), the queries, the
    roles that have to get in, a write.
  - With O(state=absent) the server and its data are removed.
extends_documentation_fragment:
  - holdfast.platform.postgresql_recovery
options:
  state:
    description: What to do.
    type: str
    choices: [restored, verified, absent]
    required: true
  queries:
    description: Queries with what their first value has to be.
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: Database to ask.
        type: str
        required: true
      query:
        description: One statement that reads.
        type: str
        required: true
      expect:
        description: The first value of the first row, as text.
        type: str
        required: true
  logins:
    description: Roles and their passwords that have to get in.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Does nothing, and says what would be done.
  diff_mode:
    support: none
    description: A drill has no diff.
"""

EXAMPLES = r"""
- name: Restore the newest backup here
  holdfast.platform.postgresql_drill:
    state: restored
    stanza: lab
    bin_dir: /usr/lib/postgresql/17/bin
    data_dir: /var/lib/postgresql/17/drill
"""

RETURN = r"""
begin:
  description: When it began, in seconds since 1970.
  type: float
  returned: success
figures:
  description:
    - For V(restored) the backup, its repository and size, where recovery ended, the age in seconds of the newest
      recovered commit (C(rpo)), seconds of both parts.
    - For V(verified) the numbers of databases, tables and indexes that were checked, rows, and seconds.
  type: dict
  returned: success
"""

import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_recovery as server
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

try:
    import psycopg2

    PSYCOPG2_ERROR = None
    DRIVER_ERROR: type[Exception] = psycopg2.Error
except ImportError:
    psycopg2 = None
    PSYCOPG2_ERROR = traceback.format_exc()
    DRIVER_ERROR = ImportError

UNIT = "holdfast-postgresql-drill"
_OBJECTS = """
SELECT count(*) FILTER (WHERE relkind IN ('r', 'm')), count(*) FILTER (WHERE relkind = 'i') FROM pg_class
"""
_TABLES = """
SELECT format('SELECT count(*) FROM %I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
"""


def place(given: Mapping[str, Any]) -> server.Place:
    """The server of the drill."""
    memory = str(given["parameters"].get("shared_buffers", "128MB"))
    return server.Place(
        given["bin_dir"], given["data_dir"], UNIT, given["stanza"], port=5499, archive=False, memory=memory
    )


def connect(where: server.Place, database: str = "postgres", **login: str) -> Any:
    """Open a session; login has user and password when it is not the superuser."""
    how = {"user": "postgres", "passfile": "/dev/null", **login}
    session = psycopg2.connect(host=where.sockets, port=where.port, dbname=database, connect_timeout=10, **how)
    session.autocommit = True
    return session


def restore(given: Mapping[str, Any]) -> dict[str, Any]:
    """Restore the newest backup and let it take writes; the figures."""
    where, target = place(given), choice.Target()
    remove(given)
    stock = server.information(where)
    backup = choice.choose(target, stock)
    fetched = server.fetch(where, target, backup, given["timeout"])
    begin = time.monotonic()
    server.start(where, given["parameters"])
    reached = server.wait(
        where, target, lambda: connect(where), DRIVER_ERROR, timeout=given["timeout"], today=given["parameters"]
    )
    problem = server.complete(reached, stock.repositories, backup)
    if problem:
        raise Failed(problem)
    now = datetime.now(timezone.utc)
    server.promote(lambda: connect(where))
    newest = datetime.fromisoformat(reached.time.replace("Z", "+00:00")) if reached.time else None
    return {
        "backup": backup.label,
        "repository": backup.repo,
        "bytes": backup.size,
        "reached_time": reached.time or "at the backup's end: nothing was committed since",
        "reached_lsn": reached.lsn,
        "rpo": round((now - (newest or datetime.fromtimestamp(backup.stop, timezone.utc))).total_seconds(), 1),
        "fetch_seconds": round(fetched, 1),
        "recover_seconds": round(time.monotonic() - begin, 1),
    }


def examine(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Examine the restored server; figures and what is wrong."""
    where = place(given)
    begin, problems, counts = time.monotonic(), [], {"databases": 0, "tables": 0, "indexes": 0, "rows": 0}
    session = connect(where)
    with session.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname")
        databases = [row[0] for row in cursor.fetchall()]
    session.close()
    for database in databases:
        session = connect(where, database)
        tables, indexes = server.query(session, _OBJECTS)
        with session.cursor() as cursor:
            cursor.execute(_TABLES)
            for (count,) in cursor.fetchall():
                counts["rows"] += server.query(session, count)[0]
        session.close()
        counts.update(
            databases=counts["databases"] + 1, tables=counts["tables"] + tables, indexes=counts["indexes"] + indexes
        )
    problems += attempt("pg_amcheck", partial(check_structure, given, where))
    for item in given["queries"]:
        problems += attempt(f"{item['database']}: {item['query']}", partial(check_query, where, item))
    for role, password in given["logins"].items():
        problems += attempt(f"role {role}", partial(connect, where, user=role, password=password))
    problems += attempt("a write", partial(write, where))
    return {**counts, "queries": len(given["queries"]), "verify_seconds": round(time.monotonic() - begin, 1)}, problems


def attempt(what: str, action: Callable[[], Any]) -> list[str]:
    """Do one check; what is wrong."""
    try:
        action()
    except DRIVER_ERROR as error:
        return [f"{what}: {' '.join(str(error).split())}"]
    except Failed as error:
        return [f"{what}: {error}"]
    return []


def check_structure(given: Mapping[str, Any], where: server.Place) -> None:
    """Every index and every table, with the extension amcheck, which the restored copy gets for this."""
    access = ["-h", where.sockets, "-p", str(where.port), "-U", "postgres"]
    argv = [f"{where.bin}/pg_amcheck", *access, "--all", "--install-missing", "--jobs=2"]
    done = run(argv, check=False, timeout=given["timeout"])
    if done.status:
        raise Failed(" ".join((done.out + done.err).split())[:1500])


def check_query(where: server.Place, item: Mapping[str, str]) -> None:
    """A query, and what its first value has to be."""
    session = connect(where, item["database"])
    try:
        row = server.query(session, item["query"])
    finally:
        session.close()
    value = "no row" if not row else str(row[0])
    if value != item["expect"]:
        raise Failed(f"is {value}, not {item['expect']}")


def write(where: server.Place) -> None:
    """Write and read back."""
    session = connect(where)
    try:
        server.query(session, "CREATE TABLE public.holdfast_drill AS SELECT 42 AS answer")
        if server.query(session, "SELECT answer FROM public.holdfast_drill") != (42,):
            raise Failed("what was written is not read back")
        server.query(session, "DROP TABLE public.holdfast_drill")
    finally:
        session.close()


def remove(given: Mapping[str, Any]) -> bool:
    """Stop the server and remove its data; whether there was any."""
    where = place(given)
    server.stop(where)
    there = Path(where.data).exists()
    if there:
        shutil.rmtree(where.data)
    shutil.rmtree(Path("/var/lib/holdfast") / UNIT, ignore_errors=True)
    return there


def refuse_member(given: Mapping[str, Any]) -> None:
    """Raises Failed on a member of a cluster: a drill has no business beside a server that serves."""
    running = run(["systemctl", "is-active", "patroni.service"], check=False).out.strip()
    if running == "active" or given["data_dir"].rstrip("/").endswith("/holdfast"):
        raise Failed("this host is a member of a cluster; a drill needs a host that is none")


def main() -> None:
    """Run the module."""
    text: dict[str, Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["restored", "verified", "absent"], "required": True},
            **server.OPTIONS,
            "queries": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"database": text, "query": text, "expect": text},
            },
            "logins": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    given, start = module.params, time.time()
    if module.check_mode:
        module.exit_json(changed=given["state"] != "verified", figures={}, begin=start)
    if psycopg2 is None:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_ERROR)
    os.chdir("/")  # programs that run as postgres can't read the directory of the login
    try:
        refuse_member(given)
        if given["state"] == "absent":
            module.exit_json(changed=remove(given), figures={}, begin=start)
        if given["state"] == "restored":
            module.exit_json(changed=True, figures=restore(given), begin=start)
        figures, problems = examine(given)
    except Failed as error:
        module.fail_json(msg=f"postgresql: {error}")
    except DRIVER_ERROR as error:
        module.fail_json(msg=f"postgresql: the session broke off: {str(error).strip()}")
    if problems:
        module.fail_json(msg="postgresql: the restored copy is not right: " + "; ".join(problems), figures=figures)
    module.exit_json(changed=False, figures=figures, begin=start)


if __name__ == "__main__":
    main()
