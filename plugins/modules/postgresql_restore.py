#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module holdfast.platform.postgresql_restore."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore
short_description: Restore a PostgreSQL cluster under Patroni to a point in time, step by step
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - One step of a restore for each call; the role's verb C(restore) puts them in their order.
  - One member is restored out of pgBackRest's repositories and recovers up to the target while the others keep their
    data. Then the others are stopped, the cluster's keys in etcd are removed, the restored member is promoted and
    Patroni takes over, and the others follow it.
  - A record on the restored member tells how far the operation is, so that every step can be called again after it was
    cut off. While it lasts, C(patroni.service) is masked on the members that must not run.
extends_documentation_fragment:
  - holdfast.platform.guard
  - holdfast.platform.postgresql_recovery
options:
  step:
    description:
      - V(look) tells what a member has, V(plan) checks everything and decides; both change nothing, but V(plan) lets a
        leader archive its WAL.
      - V(recover) restores a member and stops at the target. V(stop) stops another member.
      - V(promote) ends the recovery and hands the member over to Patroni; V(rejoin) lets another member follow it.
      - V(finish) removes the record. V(abandon) undoes everything before the promotion.
      - Each takes the cluster's lock, or goes on with it when a step of this run took it before. V(release) lets go.
    type: str
    choices: [look, plan, recover, stop, promote, rejoin, finish, abandon, release]
    required: true
  port:
    description: Port of the server.
    type: int
    default: 5432
  target:
    description: Where recovery ends; without any of these at the newest state.
    type: dict
    default: {}
    suboptions:
      time:
        description: A time with its zone, as in V(2026-11-21 14:03:00+00:00).
        type: str
      xid:
        description: A transaction, as C(pg_current_xact_id()) names it.
        type: str
      name:
        description: A restore point that C(pg_create_restore_point()) made.
        type: str
      exclusive:
        description: Stop before the transaction, or before what was committed at exactly that time.
        type: bool
        default: false
      timeline:
        description: Number of the timeline to follow; 0 for the newest.
        type: int
        default: 0
  set:
    description: Label of the backup to begin with, when it is not the newest before the target.
    type: str
  looks:
    description: What V(look) returned on all members, for V(plan).
    type: list
    elements: dict
    default: []
  operation:
    description: What V(plan) returned, for the steps after it.
    type: dict
  system:
    description: The identifier of the restored cluster that V(promote) returned, for V(rejoin).
    type: str
  passwords:
    description: Roles and their passwords of today that Patroni needs, for V(promote).
    type: dict
    default: {}
  replication_user:
    description: The one of O(passwords) that replicas stream with; it is made when the backup has none of its name.
    type: str
    default: replicator
  superuser_password:
    description: Password of C(postgres), with which V(plan) lets the leader archive its WAL.
    type: str
  prefix:
    description: Prefix in etcd of the keys in which Patroni keeps the cluster, with a slash at its end.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Looks and plans; says what would be done.
  diff_mode:
    support: none
    description: A restore has no diff.
"""

EXAMPLES = r"""
- name: See what this member has
  holdfast.platform.postgresql_restore:
    step: look
    stanza: lab
    bin_dir: /usr/lib/postgresql/17/bin
    data_dir: /var/lib/postgresql/17/holdfast
    prefix: /holdfast/postgresql/lab/
    guard: "{{ __postgresql_guard }}"
  register: __postgresql_look
"""

RETURN = r"""
look:
  description: What the member has.
  type: dict
  returned: for V(look)
operation:
  description: The operation as its record has it, with phase, backup, seconds and what was reached.
  type: dict
  returned: for V(plan), V(recover) and V(promote)
leader:
  description: Name of the leader before the restore; null when there is none.
  type: str
  returned: for V(plan)
system:
  description: The cluster's identifier.
  type: str
  returned: for V(promote)
"""

import fcntl
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _etcd,
    _guard_options,
    _member,
    _patroni_rest,
    _scram,
)
from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_recovery as server
from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_auth import range_end
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_load import OPTIONS
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

try:
    import psycopg2

    PSYCOPG2_ERROR = None
    DRIVER_ERROR: type[Exception] = psycopg2.Error
except ImportError:
    psycopg2 = None
    PSYCOPG2_ERROR = traceback.format_exc()
    DRIVER_ERROR = ImportError

RECORD = Path("/var/lib/holdfast/postgresql-restore/operation.json")
LOCK = Path("/run/lock/holdfast-postgresql-restore.lock")
PATRONI = "patroni.service"
UNIT = "holdfast-postgresql-restore"
#: Seconds that a member may be in no state of progress before its data is copied anew.
STUCK_SECONDS = 60
#: Seconds that the leader may take to archive the segment that is written now.
ARCHIVE_SECONDS = 60
BUSY = ("creating replica", "starting", "rewinding", "running pg_rewind", "in archive recovery", "custom bootstrap")


def place(given: Mapping[str, Any]) -> server.Place:
    """The recovering server of this member."""
    memory = str(given["parameters"].get("shared_buffers", "128MB"))
    return server.Place(given["bin_dir"], given["data_dir"], UNIT, given["stanza"], given["port"], memory=memory)


def connector(where: server.Place) -> Callable[[], Any]:
    """The function that opens a session on the recovering server."""

    def connect() -> Any:
        session = psycopg2.connect(
            host=where.sockets, port=where.port, dbname="postgres", user="postgres", connect_timeout=10, options=OPTIONS
        )
        session.autocommit = True
        return session

    return connect


@contextmanager
def only_one(seconds: float = 3600) -> Iterator[None]:
    """Wait until no other call is at work on this host: what a killed run left goes on."""
    with LOCK.open("w", encoding="utf-8") as file:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise Failed("another step of a restore is still at work on this host") from None
                time.sleep(1)
        yield


def aside(given: Mapping[str, Any]) -> Path:
    """Where a lone member's old data is kept."""
    return Path(given["data_dir"] + ".before-restore")


def look(given: Mapping[str, Any]) -> rules.Look:
    """What this member has."""
    data = Path(given["data_dir"])
    control = server.controldata(place(given)) if (data / "global/pg_control").exists() else {}
    operation = rules.read(RECORD)
    there = data.is_dir() and any(data.iterdir())
    existing = next(one for one in (data, *data.parents) if one.exists())
    return rules.Look(
        name=given["guard"]["name"],
        data="cluster" if control else "partial" if there else "none",
        system=control.get("Database system identifier", ""),
        position=(
            int(control.get("Latest checkpoint's TimeLineID", 0)),
            rules.parse_lsn(control.get("Latest checkpoint location", "")),
        ),
        free=shutil.disk_usage(existing).free,
        used=server.directory_bytes(str(data)),
        masked=_member.read_units([PATRONI])[0].load == "masked",
        operation=operation,
    )


def cluster(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members as Patroni sees them; none when nobody answers."""
    try:
        return list(_guard_options.patroni(given["guard"]).first("/cluster")[1].get("members", ()))
    except (_patroni_rest.UnavailableError, FileNotFoundError):
        return []


def leading(members: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The leader among them, if it runs."""
    return next((one for one in members if one.get("role") == "leader" and one.get("state") == "running"), None)


def archive_now(given: Mapping[str, Any], leader: Mapping[str, Any]) -> str:
    """Let the leader archive what it has written, behind a commit of now: recovery to a time ends at a commit after it.

    Empty when that worked, else the reason.
    """
    try:
        session = psycopg2.connect(
            host=leader["host"], port=leader["port"], dbname="postgres", user="postgres", connect_timeout=5,
            password=given["superuser_password"], sslmode="verify-full", sslrootcert=given["guard"]["access"]["ca"],
            options=OPTIONS + " -c statement_timeout=15s -c synchronous_commit=local",
        )  # fmt: skip
        session.autocommit = True
        server.query(session, "SELECT pg_current_xact_id()")
        (segment,) = server.query(session, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        server.query(session, "SELECT pg_switch_wal()")
        end = time.monotonic() + ARCHIVE_SECONDS
        while time.monotonic() < end:
            (done,) = server.query(session, "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")
            if done[:24] >= segment:
                return ""
            time.sleep(0.5)
    except DRIVER_ERROR as error:
        return f"the leader {leader['name']} does not answer: {' '.join(str(error).split())}"
    return f"the leader {leader['name']} has not archived {segment} within {ARCHIVE_SECONDS} s"


def plan(module: AnsibleModule) -> dict[str, Any]:
    """Check everything and decide."""
    given = module.params
    target = choice.parse_target(**given["target"], now=datetime.now(timezone.utc))
    looks = [rules.look_from(one) for one in given["looks"]]
    leader = leading(cluster(given))

    def decide(stock: choice.Stock) -> rules.Operation:
        name = leader["name"] if leader else None
        return rules.plan(looks, list(given["guard"]["members"]), name, target, stock, label=given["set"])

    if rules.pending(looks):
        operation = decide(choice.Stock())
    else:
        operation = decide(server.information(place(given)))
        if leader and not module.check_mode:
            problem = archive_now(given, leader)
            if problem:
                module.warn(f"{problem}; recovery ends where the WAL of the repositories ends")
            operation = decide(server.information(place(given)))
    return {"changed": False, "operation": rules.dump(operation), "leader": leader["name"] if leader else None}


def halt(given: Mapping[str, Any]) -> None:
    """Stop Patroni and PostgreSQL here, and keep them from starting again."""
    run(["systemctl", "disable", PATRONI], check=False)
    run(["systemctl", "stop", PATRONI], timeout=300, check=False)
    run(["systemctl", "mask", PATRONI])
    pid = Path(given["data_dir"], "postmaster.pid")
    if pid.exists():
        program = ["runuser", "-u", "postgres", "--", f"{given['bin_dir']}/pg_ctl", "-D", given["data_dir"]]
        ended = run([*program, "-m", "fast", "-w", "-t", "600", "stop"], check=False, timeout=700)
        if ended.status and server_runs(pid):
            raise Failed(f"PostgreSQL does not stop: {ended.err.strip() or ended.out.strip()}")


def server_runs(pid: Path) -> bool:
    """Whether the server of a pid file lives."""
    try:
        number = int(pid.read_text(encoding="utf-8").split()[0])
        return "postgres" in Path(f"/proc/{number}/comm").read_text(encoding="utf-8")
    except (OSError, ValueError, IndexError):
        return False


def release() -> None:
    """Let Patroni start again, and start it."""
    run(["systemctl", "unmask", PATRONI])
    run(["systemctl", "enable", PATRONI])
    run(["systemctl", "reset-failed", PATRONI], check=False)
    run(["systemctl", "start", PATRONI], timeout=120)


def recover(given: Mapping[str, Any]) -> rules.Operation:
    """Restore this member and recover it to the target. Stands there when it is done."""
    where = place(given)
    wanted = rules.load(given["operation"])
    operation = rules.resume(rules.read(RECORD) or wanted, wanted.target)
    rules.write(RECORD, operation)
    if operation.phase == rules.FETCH:
        halt(given)
        data, kept = Path(given["data_dir"]), aside(given)
        if operation.keep and not kept.exists():
            data.rename(kept)
        took = server.fetch(where, operation.target, operation.backup, given["timeout"])
        operation = operation.after(rules.RECOVER, fetch=took)
        rules.write(RECORD, operation)
    if operation.phase in (rules.RECOVER, rules.REACHED):
        begin = time.monotonic()
        server.start(where, given["parameters"])
        reached = stand(given, operation)
        if operation.phase == rules.RECOVER:
            operation = operation.after(rules.REACHED, recover=time.monotonic() - begin)
            operation = replace(operation, reached=asdict(reached))
            rules.write(RECORD, operation)
    return operation


def stand(given: Mapping[str, Any], operation: rules.Operation) -> server.Reached:
    """Wait until recovery stands where it should, and make sure that it does."""
    where = place(given)
    reached = server.wait(
        where, operation.target, connector(where), DRIVER_ERROR, timeout=given["timeout"], today=given["parameters"]
    )
    if operation.target.kind == "newest" and reached.state != "promoted":
        known = [
            choice.Repository(int(key), "", {operation.backup.system: wal}) for key, wal in operation.newest_wal.items()
        ]
        problem = server.complete(reached, known, operation.backup)
        if problem:
            raise Failed(problem)
    return reached


def forget_keys(given: Mapping[str, Any]) -> None:
    """Remove what etcd holds of the cluster: who led it, who was synchronous, and its history."""
    prefix = given["prefix"]
    keys = {"key": _etcd.text(prefix), "range_end": _etcd.text(range_end(prefix))}
    _guard_options.etcd(given["guard"]).post("kv/deleterange", keys)


def set_passwords(session: Any, passwords: Mapping[str, str], replication: str) -> None:
    """Put today's passwords of the roles that Patroni uses in force.

    Of the two users of replication only one may have been there, or have been let in, at the backup's time.
    """
    for role, password in passwords.items():
        row = server.query(session, "SELECT rolpassword, rolcanlogin FROM pg_authid WHERE rolname = %s", [role])
        if row is None and role != replication:
            raise Failed(f"the backup has no role {role}; is it one of this cluster?")
        if row is None:
            server.query(session, f"CREATE ROLE {role} REPLICATION")
        if row is None or not row[1] or not _scram.matches(row[0], password):
            server.query(session, f"ALTER ROLE {role} LOGIN PASSWORD %s", [str(_scram.make(password))])


def keep(operation: rules.Operation) -> rules.Operation:
    """Write the record; the operation."""
    rules.write(RECORD, operation)
    return operation


def promote(given: Mapping[str, Any]) -> tuple[rules.Operation, str]:
    """End the recovery, and hand the member over to Patroni; the operation and the cluster's identifier."""
    where = place(given)
    operation = rules.read(RECORD)
    if operation is None or operation.phase in (rules.FETCH, rules.RECOVER):
        raise Failed("there is no restore on this member that stands at its target")
    begin = time.monotonic()

    if operation.phase in (rules.REACHED, rules.COMMITTED):
        if operation.target.kind == "newest":
            server.stop(where)  # the others have archived their last words since: ask again
        server.start(where, given["parameters"])
        reached = stand(given, operation)
        if reached.state != "promoted":
            operation = replace(operation, reached=asdict(reached))
        operation = keep(operation.after(rules.COMMITTED))
        connect = connector(where)
        server.promote(connect)
        session = connect()
        set_passwords(session, given["passwords"], given["replication_user"])
        session.close()
        operation = keep(operation.after(rules.PROMOTED, promote=time.monotonic() - begin))
    if operation.phase == rules.PROMOTED:
        server.stop(where)
        forget_keys(given)
        operation = keep(operation.after(rules.STARTING))
    if operation.phase == rules.STARTING:
        release()
        end = time.monotonic() + 300
        while (leading(cluster(given)) or {}).get("name") != given["guard"]["name"]:
            if time.monotonic() > end:
                raise Failed(f"Patroni does not lead here after 300 s:\n{_member.journal(PATRONI)}")
            time.sleep(0.5)
        operation = keep(operation.after(rules.LEADING, lead=time.monotonic() - begin))
    return operation, server.controldata(where).get("Database system identifier", "")


def rejoin(given: Mapping[str, Any]) -> None:
    """Let this member follow the restored one."""
    here = look(given)
    if here.masked or here.data == "none":
        if rules.foreign(here, given["system"]):
            shutil.rmtree(given["data_dir"])
        release()
    end, still = time.monotonic() + given["timeout"], time.monotonic()
    again = False
    while time.monotonic() < end:
        members = {one["name"]: one for one in cluster(given)}
        mine, leader = members.get(given["guard"]["name"], {}), leading(list(members.values())) or {}
        if mine.get("state") == "streaming" and mine.get("timeline") == leader.get("timeline"):
            return
        if mine.get("state") in BUSY:
            still = time.monotonic()
        elif time.monotonic() - still > STUCK_SECONDS:
            if again:
                raise Failed(
                    f"{given['name']} does not follow: {mine or 'it is no member'}\n{_member.journal(PATRONI)}"
                )
            reinitialize(given)
            again, still = True, time.monotonic()
        time.sleep(1)
    raise Failed(f"{given['name']} does not follow after {given['timeout']} s")


def reinitialize(given: Mapping[str, Any]) -> None:
    """Have Patroni copy this member's data anew."""
    own = next(one["api_url"] for one in cluster(given) if one["name"] == given["guard"]["name"])
    _guard_options.patroni(given["guard"]).request(
        own.removesuffix("/patroni"), "/reinitialize", method="POST", body={"force": True}
    )


def finish(given: Mapping[str, Any]) -> bool:
    """Remove the record, and what was kept; whether there was any."""
    there = RECORD.exists()
    if aside(given).exists():
        shutil.rmtree(aside(given))
    RECORD.unlink(missing_ok=True)
    return there


def abandon(given: Mapping[str, Any]) -> bool:
    """Undo what was done here before the promotion; whether there was anything."""
    operation, here = rules.read(RECORD), look(given)
    if operation and operation.over:
        raise Failed(
            f"the restore is {operation.phase}: there is no way back; run it again with the same target to end it"
        )
    if operation:
        server.stop(place(given))
        data, kept = Path(given["data_dir"]), aside(given)
        if operation.phase != rules.FETCH or server.controldata(place(given)) == {} or kept.exists():
            shutil.rmtree(data, ignore_errors=True)  # Patroni copies it from the leader again
        if kept.exists():
            kept.rename(data)
    if here.masked:
        release()
    RECORD.unlink(missing_ok=True)
    return bool(operation) or here.masked


@contextmanager
def held(module: AnsibleModule) -> Iterator[None]:
    """Hold the cluster's lock; it stays with this run until it is released."""
    if module.check_mode:
        yield
        return
    lock = _guard_options.lock(module.params["guard"])
    lock.join()
    try:
        yield
    finally:
        lock.leave()


def act(module: AnsibleModule) -> dict[str, Any]:
    """Carry out one step; the result."""
    given = module.params
    step = given["step"]
    if step == "release":
        if not module.check_mode:
            _guard_options.lock(given["guard"]).release()
        return {"changed": False}
    with held(module):
        if step == "look":
            return {"changed": False, "look": asdict(look(given))}
        if step == "plan":
            return plan(module)
        if module.check_mode:
            return {"changed": True, "operation": given["operation"]}
        with only_one():
            return carry_out(step, given)


def carry_out(step: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a step that changes something; the result."""
    if step == "recover":
        return {"changed": True, "operation": rules.dump(recover(given))}
    if step == "promote":
        operation, system = promote(given)
        return {"changed": True, "operation": rules.dump(operation), "system": system}
    if step in ("finish", "abandon"):
        return {"changed": (finish if step == "finish" else abandon)(given)}
    (halt if step == "stop" else rejoin)(given)
    return {"changed": True}


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    steps = ["look", "plan", "recover", "stop", "promote", "rejoin", "finish", "abandon", "release"]
    module = AnsibleModule(
        argument_spec={
            **server.OPTIONS,
            "step": {"type": "str", "choices": steps, "required": True},
            "guard": _guard_options.OPTION,
            "prefix": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "target": {
                "type": "dict",
                "default": {},
                "options": {
                    "time": text,
                    "xid": text,
                    "name": text,
                    "exclusive": {"type": "bool", "default": False},
                    "timeline": {"type": "int", "default": 0},
                },
            },
            "set": text,
            "looks": {"type": "list", "elements": "dict", "default": []},
            "operation": {"type": "dict"},
            "system": text,
            "passwords": {"type": "dict", "default": {}, "no_log": True},
            "replication_user": {"type": "str", "default": "replicator"},
            "superuser_password": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    if psycopg2 is None and module.params["step"] not in ("look", "stop", "release"):
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=PSYCOPG2_ERROR)
    os.chdir("/")  # programs that run as postgres can't read the directory of the login
    try:
        module.exit_json(**act(module))
    except Failed as error:
        module.fail_json(msg=f"postgresql: {error}")
    except (_patroni_rest.FailedError, _patroni_rest.AbsentError) as error:
        module.fail_json(msg=f"postgresql: Patroni: {error}")
    except DRIVER_ERROR as error:
        module.fail_json(msg=f"postgresql: the session broke off: {str(error).strip()}")


if __name__ == "__main__":
    main()
