# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's dynamic configuration: check what is wanted, plan one PATCH, tell what needs a restart.

Nothing here talks. Sources: Patroni manual, pages "Patroni configuration" and "Dynamic Configuration Settings";
Patroni 4.0 `patroni/utils.py` (`patch_config`), `patroni/config.py` (what is silently ignored or adjusted),
`patroni/postgresql/config.py` (`CMDLINE_OPTIONS`); PostgreSQL manual, section "Hot Standby / Administrator's Overview".
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _guc

Config = dict[str, Any]
Path = tuple[str, ...]

#: Keys of the dynamic configuration that others own: they stay unless they are declared, or declared as null.
#: `pause` belongs to `patronictl pause`; removing `standby_cluster` promotes the whole cluster.
FOREIGN = ("pause", "slots", "standby_cluster")

#: What Patroni 4 reads from the dynamic configuration; it ignores anything else without a word.
KNOWN = (
    *FOREIGN,
    "check_timeline",
    "failsafe_mode",
    "ignore_slots",
    "loop_wait",
    "max_timelines_history",
    "maximum_lag_on_failover",
    "maximum_lag_on_syncnode",
    "member_slots_ttl",
    "postgresql",
    "primary_start_timeout",
    "primary_stop_timeout",
    "retry_timeout",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "ttl",
)

#: Patroni takes these from each member's own file only and drops them here.
_LOCAL = ("config_dir", "connect_address", "data_dir", "listen", "pgpass", "proxy_address")
_LOCAL_PARAMETERS = ("cluster_name", "hot_standby", "listen_addresses", "port")

#: Smallest values; below them Patroni uses others without an error. Patroni alone makes 20 of a smaller ttl; as the
#: role postgresql starts it, it takes 10.
_MINIMUM = {"loop_wait": 1, "retry_timeout": 3, "ttl": 10}
_MINIMUM_PARAMETERS = {
    "max_connections": 25,
    "max_locks_per_transaction": 32,
    "max_prepared_transactions": 0,
    "max_replication_slots": 4,
    "max_wal_senders": 3,
    "max_worker_processes": 2,
}
#: Patroni's own defaults of what it enforces on every member.
_DEFAULTS: dict[str, object] = {
    "max_connections": 100,
    "max_locks_per_transaction": 64,
    "max_prepared_transactions": 0,
    "max_replication_slots": 10,
    "max_wal_senders": 10,
    "max_worker_processes": 8,
    "track_commit_timestamp": False,
    "wal_level": "replica",
    "wal_log_hints": True,
}
_TIMING = (("loop_wait", 10), ("retry_timeout", 10), ("ttl", 30))

#: A standby refuses to start with less of these than its primary has: raise standbys first, lower the primary first.
ORDERED = frozenset(
    (
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_wal_senders",
        "max_worker_processes",
    )
)
#: Other parameters that only a restart applies (`pg_settings.context = 'postmaster'`, PostgreSQL 13 to 18).
POSTMASTER = ORDERED | frozenset(
    """
    archive_mode autovacuum_freeze_max_age autovacuum_max_workers autovacuum_multixact_freeze_max_age
    autovacuum_worker_slots bonjour bonjour_name commit_timestamp_buffers data_sync_retry debug_io_direct
    dynamic_shared_memory_type event_source external_pid_file hba_file huge_page_size huge_pages ident_file
    ignore_invalid_pages io_max_combine_limit io_max_concurrency io_method jit_provider logging_collector
    max_active_replication_origins max_files_per_process max_logical_replication_workers max_notify_queue_pages
    max_pred_locks_per_transaction max_replication_slots min_dynamic_shared_memory multixact_member_buffers
    multixact_offset_buffers notify_buffers old_snapshot_threshold pg_stat_statements.max
    pg_stat_statements.track_planning_max reserved_connections serializable_buffers shared_buffers shared_memory_type
    shared_preload_libraries subtransaction_buffers superuser_reserved_connections trace_connection_negotiation
    track_activity_query_size track_commit_timestamp transaction_buffers unix_socket_directories unix_socket_group
    unix_socket_permissions wal_buffers wal_decode_buffer_size wal_level wal_log_hints
    """.split()  # noqa: SIM905 - a list of words reads better
)

_SECRET_KEY = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|authentication)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?i)(password\s*=\s*(?!\s)|://[^/\s:@]*:[^/\s@]+@)")
MASK = "(secret, not shown)"


class ConfigError(ValueError):
    """The wanted configuration can't be applied; the message names each key, the reason and the fix."""


@dataclass(frozen=True)
class Change:
    """One value that differs; None where a side has no such key."""

    path: Path
    before: Any
    after: Any


@dataclass(frozen=True)
class Plan:
    """What one PATCH has to say, and what the configuration is then."""

    patch: Config
    after: Config
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Restart:
    """Parameters among some changes that only a restart applies, in the sense of the order of restarts.

    order: `none`; `any`; `standbys_first` (something is raised); `primary_first` (something is lowered);
    `mixed` (both: standbys, then the primary, then standbys again).
    """

    raised: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    order: str = field(init=False, default="none")

    def __post_init__(self) -> None:
        """Derive the order."""
        if self.raised and self.lowered:
            order = "mixed"
        elif self.raised:
            order = "standbys_first"
        elif self.lowered:
            order = "primary_first"
        else:
            order = "any" if self.other else "none"
        object.__setattr__(self, "order", order)

    def __bool__(self) -> bool:
        """Tell whether any parameter needs a restart."""
        return self.order != "none"


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every key and value below, containers included."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, str(key)), item
            yield from _walk(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield (*path, str(index)), item
            yield from _walk(item, (*path, str(index)))


def _is_secret(path: Path, value: Any) -> bool:
    return bool(_SECRET_KEY.search(path[-1])) or (isinstance(value, str) and bool(_SECRET_VALUE.search(value)))


def _whole(value: object) -> int | None:
    """Return a whole number, None for anything else."""
    kind, amount = _guc.canonical(value)
    return int(amount) if kind == "number" and not isinstance(amount, str) and amount == int(amount) else None


def _key_problems(desired: Mapping[str, Any]) -> Iterator[str]:
    """Yield wrong keys and shapes."""
    for key in desired:
        if key not in KNOWN:
            near = difflib.get_close_matches(str(key), KNOWN, n=1)
            hint = f"did you mean {near[0]}?" if near else "it may belong to each member's own patroni file"
            yield f"{key}: not a key of the dynamic configuration, Patroni would ignore it; {hint}"
    if "slots" in desired and desired["slots"] is None:
        yield "slots: null would drop everybody's permanent slots; remove one of them with slots: {<name>: null}"
    for key in ("postgresql", "slots", "standby_cluster"):
        if not isinstance(desired.get(key) or {}, Mapping):
            yield f"{key}: must be a mapping"


def _postgresql_problems(postgresql: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield what Patroni would not take from here."""
    if not isinstance(postgresql.get("parameters") or {}, Mapping):
        yield "postgresql.parameters: must be a mapping"
    for key in _LOCAL:
        if key in postgresql:
            yield f"postgresql.{key}: Patroni takes it from each member's own file only; declare it there"
    for key, value in parameters.items():
        if key in _LOCAL_PARAMETERS:
            yield f"postgresql.parameters.{key}: Patroni sets it itself and ignores it here; leave it out"
        if isinstance(value, (Mapping, list)):
            yield f"postgresql.parameters.{key}: must be a single value"


def _limit_problems(values: Mapping[str, Any], least: Mapping[str, int], where: str) -> Iterator[str]:
    """Yield values that Patroni would replace by its own."""
    for key, limit in least.items():
        value = values.get(key)
        whole = _whole(value)
        if value is not None and (whole is None or whole < limit):
            yield (
                f"{where}{key}: {value!r} is refused by Patroni, which would use a value of its own; "
                f"give a whole number, {limit} or more"
            )


def _timing_problems(desired: Mapping[str, Any]) -> Iterator[str]:
    """Yield a breach of the rule between the three times."""
    loop, retry, ttl = (_whole(default if desired.get(key) is None else desired[key]) for key, default in _TIMING)
    if loop is not None and retry is not None and ttl is not None and loop + 2 * retry > ttl:
        yield (
            f"ttl: loop_wait + 2 * retry_timeout is {loop + 2 * retry}, more than ttl, which is {ttl}; "
            "Patroni would shorten them by itself. Raise ttl or lower the others"
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _problems(desired: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong: everything that Patroni would drop, replace or publish without an error."""
    postgresql = _mapping(desired.get("postgresql"))
    parameters = _mapping(postgresql.get("parameters"))
    yield from _key_problems(desired)
    yield from _postgresql_problems(postgresql, parameters)
    for path, value in _walk(desired):
        if _is_secret(path, value):
            yield (
                f"{'.'.join(path)}: looks like a secret; the dynamic configuration is readable by every client of the "
                "store and of the REST interface. Put it in each member's own patroni file"
            )
    yield from _limit_problems(desired, _MINIMUM, "")
    yield from _limit_problems(parameters, _MINIMUM_PARAMETERS, "postgresql.parameters.")
    yield from _timing_problems(desired)


def check(desired: Mapping[str, Any]) -> None:
    """Refuse a wanted configuration that Patroni would silently drop or adjust, or that holds a secret.

    Raises ConfigError with one line for each problem.
    """
    problems = list(_problems(desired))
    if problems:
        raise ConfigError("; ".join(problems))


def _strip(value: Any) -> Any:
    """Return a value without the keys that are null: null means absent."""
    if isinstance(value, Mapping):
        return {str(key): _strip(item) for key, item in value.items() if item is not None}
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (Mapping, list, tuple)) or isinstance(other, (Mapping, list, tuple)):
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return _guc.same(one, other)


def _kept(path: Path, declared: bool) -> bool:
    """Tell whether an undeclared key stays because somebody else owns it."""
    return not declared and (path in [(key,) for key in FOREIGN] or (len(path) == 2 and path[0] == "slots"))


def _reconcile(current: Mapping[str, Any], desired: Mapping[str, Any], path: Path, changes: list[Change]) -> Plan:
    patch: Config = {}
    after: Config = {}
    for key in sorted({*current, *desired}):
        here = (*path, key)
        wanted, present = desired.get(key), current.get(key)
        if wanted is None:
            if key in current and _kept(here, key in desired):
                after[key] = present
            elif key in current:
                patch[key] = None
                changes.append(Change(here, present, None))
        elif isinstance(wanted, Mapping) and isinstance(present, Mapping):
            below = _reconcile(present, wanted, here, changes)
            after[key] = below.after
            if below.patch:
                patch[key] = below.patch
        elif key in current and _same(present, wanted):
            after[key] = present
        elif isinstance(wanted, Mapping) and key not in current:
            below = _reconcile({}, wanted, here, changes)
            if below.after:
                patch[key] = after[key] = below.after
        else:
            patch[key] = after[key] = _strip(wanted)
            changes.append(Change(here, present, after[key]))
    return Plan(patch, after, tuple(changes))


def plan(current: Mapping[str, Any], desired: Mapping[str, Any]) -> Plan:
    """Plan the PATCH that turns the current dynamic configuration into the wanted one.

    What is declared is authoritative: a key that is no longer there is removed. The keys of FOREIGN and every single
    slot are the exception: undeclared they stay as they are, declared as null they are removed.
    """
    return _reconcile(current, desired, (), [])


def restart(changes: Iterable[Change]) -> Restart:
    """Tell which changed parameters need a restart of PostgreSQL, and in which order of members."""
    raised: list[str] = []
    lowered: list[str] = []
    other: list[str] = []
    for change in changes:
        if len(change.path) != 3 or change.path[:2] != ("postgresql", "parameters"):
            continue
        name = change.path[2].lower()
        if name not in POSTMASTER:
            continue
        before, after = (_DEFAULTS.get(name) if value is None else value for value in (change.before, change.after))
        if before is not None and after is not None and _guc.same(before, after):
            continue
        amounts = _guc.number(before), _guc.number(after)
        if name not in ORDERED or amounts[0] is None or amounts[1] is None:
            other.append(name)
        else:
            (raised if amounts[1] > amounts[0] else lowered).append(name)
    return Restart(tuple(sorted(raised)), tuple(sorted(lowered)), tuple(sorted(other)))


def pending_restart(cluster: Mapping[str, Any]) -> list[str]:
    """Return the names of members that wait for a restart, from Patroni's answer to GET /cluster."""
    return sorted(member["name"] for member in cluster.get("members", ()) if member.get("pending_restart"))


def mask(value: Any, path: Path = ("",)) -> Any:
    """Return a configuration with whatever looks like a secret hidden, for people to read."""
    if isinstance(value, Mapping):
        return {
            str(key): MASK if _SECRET_KEY.search(str(key)) else mask(item, (*path, str(key)))
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask(item, path) for item in value]
    return MASK if _is_secret(path, value) else value


def to_yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Write a configuration as YAML with sorted keys, for a diff; empty text for an empty one.

    The standard library has no YAML; scalars are written as JSON, which YAML reads.
    """
    lines = []
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item:
            lines.append(f"{indent}{key}:\n{to_yaml(item, indent + '  ')}")
        elif isinstance(item, (list, tuple)) and item:
            rows = "".join(f"{indent}  - {json.dumps(row, sort_keys=True)}\n" for row in item)
            lines.append(f"{indent}{key}:\n{rows}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)
