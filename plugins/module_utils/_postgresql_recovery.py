# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server that recovers by itself, with nobody else let in: for a restore and for a drill.

It runs as a transient unit of systemd, listens on a socket of its own only, and knows no other member. pgBackRest's
`restore` runs before it. psycopg2 comes in through the `connect` function that the module gives.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

#: Options of the modules that recover a server; documented in the fragment `postgresql_recovery`.
OPTIONS: dict[str, dict[str, Any]] = {
    "stanza": {"type": "str", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "data_dir": {"type": "path", "required": True},
    "parameters": {"type": "dict", "default": {}},
    "timeout": {"type": "int", "default": 14400},
}
#: Settings that a standby needs at least as large as the server that wrote the WAL had them (PostgreSQL, Hot Standby,
#: Administrator's Overview), and what pg_controldata calls them.
MINIMUMS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
#: What pgBackRest's restore writes into postgresql.auto.conf; it has no business there once recovery is over.
RECOVERY_SETTINGS = (
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
)
_LAST_WORDS = re.compile(r"FATAL|PANIC|ERROR|invalid|could not", re.IGNORECASE)
_STARVED = re.compile(r"waiting for WAL to become available at ([0-9A-F]+/[0-9A-F]+)")
_NOT_REACHED = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Place:
    """Where a recovering server lives: directories of programs and data, its unit, pgBackRest's stanza."""

    bin: str
    data: str
    unit: str
    stanza: str
    port: int = 5432
    archive: bool = True
    memory: str = "128MB"
    config: str = ""

    @property
    def sockets(self) -> str:
        """The directory of the socket; root and postgres alone get into it."""
        return f"/run/{self.unit}"

    def pgbackrest(self, *arguments: str) -> list[str]:
        """A call of pgBackRest as the user postgres."""
        config = [f"--config={self.config}"] if self.config else []
        quiet = ["--log-level-console=off", "--log-level-stderr=warn"]
        return ["runuser", "-u", "postgres", "--", "pgbackrest", *config, *quiet, f"--stanza={self.stanza}", *arguments]


@dataclass(frozen=True)
class Reached:
    """Where recovery stands: time of the last commit (UTC, ISO; empty when there was none), LSN, timeline."""

    time: str
    lsn: str
    timeline: int
    state: str


def parse_controldata(text: str) -> dict[str, str]:
    """What pg_controldata prints, by its keys."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def controldata(place: Place) -> dict[str, str]:
    """The control file of a data directory; empty when there is none."""
    done = run([f"{place.bin}/pg_controldata", "-D", place.data], check=False)
    return parse_controldata(done.out) if done.status == 0 else {}


def settings(place: Place, control: Mapping[str, str], today: Mapping[str, Any], hba: str) -> dict[str, str]:
    """The settings of the command line, which win over every file of the backup.

    Nobody gets in over the network, no other server is followed or waited for, and what a standby needs at least is as
    large as in the backup and today.
    """
    wanted = {
        "listen_addresses": "",
        "port": str(place.port),
        "unix_socket_directories": place.sockets,
        "unix_socket_permissions": "0700",
        "hba_file": f"{hba}/pg_hba.conf",
        "ident_file": f"{hba}/pg_ident.conf",
        "external_pid_file": "",
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
        "hot_standby": "on",
        # Long enough to be seen at the end of the WAL, however slow the machine is.
        "wal_retrieve_retry_interval": "60s",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "synchronous_standby_names": "",
        "shared_buffers": place.memory,
        "archive_mode": "on" if place.archive else "off",
    }
    if not place.archive:
        wanted["archive_command"] = "/bin/false"
    elif today.get("archive_command"):
        wanted["archive_command"] = str(today["archive_command"])
    for name, key in MINIMUMS.items():
        values = [int(value) for value in (control.get(key), today.get(name)) if value is not None]
        if values:
            wanted[name] = str(max(values))
    return wanted


def judge(words: str, target: choice.Target) -> str:
    """Why recovery ended without reaching its target, out of the server's last words."""
    if _NOT_REACHED in words:
        if target.kind == "time":
            return (
                f"the WAL of the repositories ends before {target}: a segment is missing there, or nothing was "
                "committed after that time; restore the newest state if that is it"
            )
        return f"{target} is nowhere in the WAL after this backup; name an older backup (set) if it was before it"
    lines = [line for line in words.splitlines() if _LAST_WORDS.search(line)]
    return "recovery broke off: " + ("; ".join(lines[-4:]) or words[-500:] or "the server said nothing")


def information(place: Place) -> choice.Stock:
    """What the repositories hold. Raises Failed when pgBackRest can't say."""
    done = run(place.pgbackrest("--output=json", "info"), check=False, timeout=300)
    if done.status:
        raise Failed(f"pgbackrest info: {' '.join((done.err or done.out).split())[-800:]}")
    return choice.parse_info(done.out, place.stanza)


def fetch(place: Place, target: choice.Target, backup: choice.Backup, timeout: float) -> float:
    """Restore the files of a backup; seconds it took. What is there already and is the same stays (--delta).

    Raises Failed with pgBackRest's own reason.
    """
    data = Path(place.data)
    known = (data / "PG_VERSION").exists() or (data / "backup.manifest").exists()
    if data.exists() and not known:
        for rest in data.iterdir():
            shutil.rmtree(rest) if rest.is_dir() and not rest.is_symlink() else rest.unlink()
    if not data.exists():
        data.mkdir(mode=0o700, parents=True)
        shutil.chown(data, "postgres", "postgres")
    (data / "postmaster.pid").unlink(missing_ok=True)
    begin = time.monotonic()
    options = choice.arguments(target, backup)
    argv = place.pgbackrest(f"--pg1-path={place.data}", *options, *(["--delta"] if known else []), "restore")
    done = run(argv, check=False, timeout=timeout)
    if done.status:
        said = " ".join(line.strip() for line in (done.err + done.out).splitlines() if "ERROR" in line or "[" in line)
        raise Failed(
            f"pgbackrest can't restore {backup.label} from repository {backup.repo}: {(said or done.err)[-1200:]}"
        )
    return time.monotonic() - begin


def active(unit: str) -> bool:
    """Whether the unit's server runs."""
    return run(["systemctl", "is-active", "--quiet", unit], check=False).status == 0


def start(place: Place, today: Mapping[str, Any]) -> None:
    """Start the server, unless it runs."""
    if active(place.unit):
        return
    access = Path("/var/lib/holdfast") / place.unit
    access.mkdir(mode=0o755, parents=True, exist_ok=True)
    rules = "local all postgres peer map=holdfast\nlocal all all scram-sha-256\n"
    (access / "pg_hba.conf").write_text(rules, encoding="utf-8")
    (access / "pg_ident.conf").write_text("holdfast root postgres\nholdfast postgres postgres\n", encoding="utf-8")
    Path(place.data, "postmaster.pid").unlink(missing_ok=True)
    run(["systemctl", "reset-failed", place.unit], check=False)
    wanted = settings(place, controldata(place), today, str(access))
    options = [part for name, value in wanted.items() for part in ("-c", f"{name}={value}")]
    properties = ("User=postgres", f"RuntimeDirectory={place.unit}", "RuntimeDirectoryMode=0700", "KillSignal=SIGINT",
                  "KillMode=mixed", "TimeoutStopSec=300", "OOMScoreAdjust=-500")  # fmt: skip
    run(
        [
            "systemd-run",
            "--quiet",
            f"--unit={place.unit}",
            *(f"--property={one}" for one in properties),
            "--",
            f"{place.bin}/postgres",
            "-D",
            place.data,
            *options,
        ]
    )


def stop(place: Place) -> None:
    """Stop the server, if it runs."""
    run(["systemctl", "stop", place.unit], check=False, timeout=400)
    run(["systemctl", "reset-failed", place.unit], check=False)


def words(unit: str) -> str:
    """What the server said since its last start."""
    shown = run(["systemctl", "show", "-P", "InvocationID", unit], check=False).out.strip()
    select = [f"_SYSTEMD_INVOCATION_ID={shown}"] if shown else ["-u", unit]
    return run(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "60", *select], check=False).out


def query(session: Any, sql: str, arguments: Sequence[Any] | None = None) -> Any:
    """The first row of an answer."""
    with session.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchone() if cursor.description else None


_STANDING = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END,
       coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ''),
       pg_last_wal_replay_lsn()::text,
       (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'),
       (pg_control_recovery()).min_recovery_end_timeline,
       (pg_control_checkpoint()).timeline_id,
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY (%s))
"""
_INSUFFICIENT = "insufficient parameter settings"


def outgrown(control: Mapping[str, str], running: Mapping[str, str]) -> list[str]:
    """Names of the settings that the WAL has raised above those that the server runs with.

    control: what pg_controldata prints; it follows the WAL. Such a server pauses, or ends, before its target.
    """
    return [name for name, key in MINIMUMS.items() if int(control.get(key, 0)) > int(running.get(name, 0))]


def wait(
    place: Place,
    target: choice.Target,
    connect: Callable[[], Any],
    error: type[Exception],
    *,
    timeout: float,
    today: Mapping[str, Any],
) -> Reached:
    """Wait until recovery has come to its target, or, for the newest state, to the end of the WAL.

    A server whose WAL raises a setting that a standby needs is started again with what it says; today: the parameters
    to start with. The end of the WAL: the process that replays waits to ask again for what no source had (wait event
    RecoveryRetrieveRetryInterval), twice at the same place. Raises Failed with the reason when the server ends, or
    timeout (seconds) is over.
    """
    end, before = time.monotonic() + timeout, ""
    raised: list[dict[str, str]] = []

    def again() -> bool:
        """Start with what the control file says by now, unless that was done already."""
        control = {key: value for key, value in controldata(place).items() if key in MINIMUMS.values()}
        if control in raised:
            return False
        raised.append(control)
        stop(place)
        start(place, today)
        return True

    while time.monotonic() < end:
        try:
            session = connect()
            try:
                recovering, pause, moment, lsn, event, timeline, checkpoint, running = query(
                    session, _STANDING, [list(MINIMUMS)]
                )
            finally:
                session.close()
        except error:
            if not active(place.unit):
                if _INSUFFICIENT in words(place.unit) and again():
                    continue
                raise Failed(judge(words(place.unit), target)) from None
            starved = _STARVED.search(words(place.unit))
            if starved:
                raise Failed(
                    f"the backup can't be made consistent: the WAL at {starved[1]}, written while it was made, "
                    "is missing in the repositories or can't be read"
                ) from None
            time.sleep(0.3)
            continue
        now = Reached(moment, lsn or "", max(timeline or 0, checkpoint or 0), "recovered" if recovering else "promoted")
        if recovering and pause == "paused" and outgrown(controldata(place), running) and again():
            continue
        if not recovering or pause == "paused":
            return now
        idle = event == "RecoveryRetrieveRetryInterval"
        if target.kind == "newest" and idle and before == lsn:
            return now
        before = lsn if idle else ""
        time.sleep(0.5)
    raise Failed(
        f"recovery has not come to {target} within {timeout:.0f} s; it goes on in {place.unit}: run this again"
    )


def complete(reached: Reached, repositories: Sequence[choice.Repository], backup: choice.Backup) -> str:
    """Why the newest state is not the newest that the repositories hold; empty when it is.

    A segment in the middle that is missing or damaged looks like the end of the WAL to PostgreSQL.
    """
    newest = choice.newest_wal(repositories, backup.system, reached.timeline)
    here = choice.segment(reached.timeline, reached.lsn)
    if newest and here < newest:
        return (
            f"recovery ended in WAL segment {here} at {reached.lsn}, and the repositories go on until {newest}: "
            "the segment after it is missing there, or can't be read"
        )
    return ""


def promote(connect: Callable[[], Any]) -> None:
    """End recovery: a new timeline begins, and the server takes writes."""
    session = connect()
    try:
        if query(session, "SELECT pg_is_in_recovery()")[0] and not query(session, "SELECT pg_promote(true, 300)")[0]:
            raise Failed("the server was not promoted within 300 s")
        for name in RECOVERY_SETTINGS:
            query(session, f"ALTER SYSTEM RESET {name}")
        query(session, "CHECKPOINT")
    finally:
        session.close()


def directory_bytes(path: str) -> int:
    """Bytes that the files below a directory take; 0 when there is none."""
    total = 0
    for place, _, files in os.walk(path):
        for name in files:
            try:
                total += Path(place, name).lstat().st_blocks * 512
            except OSError:  # a file of a server that runs
                continue
    return total
