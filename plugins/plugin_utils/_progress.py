# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told of a run: how results read, and the figures of the table at its end.

Pure: nothing here talks to Ansible or to a terminal. The callback plugin ``progress`` feeds it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "failed", "unreachable"]

# Actions that never leave the controller, by their full names.
CONTROLLER_ACTIONS = frozenset(
    {
        "holdfast.platform.secrets",
        "ansible.builtin.add_host",
        "ansible.builtin.assert",
        "ansible.builtin.debug",
        "ansible.builtin.fail",
        "ansible.builtin.group_by",
        "ansible.builtin.import_playbook",
        "ansible.builtin.import_role",
        "ansible.builtin.import_tasks",
        "ansible.builtin.include_role",
        "ansible.builtin.include_tasks",
        "ansible.builtin.include_vars",
        "ansible.builtin.meta",
        "ansible.builtin.pause",
        "ansible.builtin.set_fact",
        "ansible.builtin.set_stats",
        "ansible.builtin.validate_argument_spec",
    }
)

# Stock actions that run two modules on the host: stat, then copy or file (docs/decisions/0002-run-settings.md).
STEPS = {"ansible.builtin.copy": 2, "ansible.builtin.template": 2}

LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))
MOST_PATHS = 12
MOST_OUTPUT_LINES = 12


def service_name(roles: Sequence[str], play: str) -> str:
    """Name the service that a task belongs to.

    ``roles`` are the names of the roles around the task, the innermost first: a shared step belongs to the role
    that asked for it, so the outermost counts, without its collection. A task outside of roles, or in the shared steps
    around a service's verb (a role whose name begins with _), belongs to its play.
    """
    services = [name for name in (role.rpartition(".")[2] for role in roles) if not name.startswith("_")]
    return services[-1] if services else play


def round_trips(action: str, result: Mapping[str, Any], *, local: bool = False, loop: bool = False) -> int:
    """Count the module runs on the host behind one result.

    ``action`` is the resolved name of the action. A result may carry its own figure as ``round_trips``; otherwise a
    module ran once, once more per retry, and in a loop once per item. ``local`` says that it ran on the controller.
    """
    if local or result.get("skipped"):
        return 0
    items = result.get("results")
    if loop and isinstance(items, list):
        return sum(round_trips(action, item) for item in items if isinstance(item, Mapping))
    own = result.get("round_trips")
    if isinstance(own, int):
        return own
    if action in CONTROLLER_ACTIONS:
        return 0
    attempts = result.get("attempts")
    return STEPS.get(action, 1) * (attempts if isinstance(attempts, int) else 1)


def changed_paths(result: Mapping[str, Any]) -> list[str]:
    """Say which paths a bundle changed: ``/etc/hosts (content)``, at most MOST_PATHS of them and how many more."""
    paths = result.get("paths")
    if not isinstance(paths, list):
        return []
    lines = [f"{entry['path']} ({entry.get('change', 'changed')})" for entry in paths if _names_a_path(entry)]
    if len(lines) > MOST_PATHS:
        lines[MOST_PATHS:] = [f"and {len(lines) - MOST_PATHS} more"]
    return lines


def _names_a_path(entry: object) -> bool:
    return isinstance(entry, Mapping) and "path" in entry


def as_lines(value: object) -> list[str]:
    """Give a message as lines of text; a list is one item per line."""
    if isinstance(value, str):
        return value.rstrip().splitlines()
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in as_lines(item)]
    return [str(value)]


def failure_lines(result: Mapping[str, Any]) -> list[str]:
    """Say why a result failed: its message first, then the end of what the program said."""
    lines = as_lines(result.get("msg") or result.get("censored") or "no message")
    if "rc" in result:
        lines.append(f"return code {result['rc']}")
    for key in ("stderr", "module_stderr", "stdout", "module_stdout"):
        said = as_lines(result.get(key) or "")
        if said and not set(said) <= set(lines):
            lines += [f"| {line}" for line in said[-MOST_OUTPUT_LINES:]]
            break
    return lines


def changed_items(results: object, label: Any = str) -> list[str]:
    """Label the items of a loop that changed something; ``label`` turns an item's result into text."""
    if not isinstance(results, list):
        return []
    return [label(item) for item in results if isinstance(item, Mapping) and item.get("changed")]


@dataclass
class Line:
    """The figures of one service: round trips by host, changed results, seconds, and the task that each host lost."""

    trips: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)

    def marks(self) -> str:
        """Name the lost hosts and the task that lost each."""
        lost = [("UNREACHABLE", self.unreachable), ("FAILED", self.failed)]
        return "; ".join(f"{word} {host} ({task})" for word, hosts in lost for host, task in sorted(hosts.items()))


class Tally:
    """Adds up what the services of a run cost. Times are seconds of any clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self.lines: dict[str, Line] = {}
        self._service: str | None = None
        self._started = self._since = self._now = now

    def enter(self, service: str | None, now: float) -> None:
        """A task of ``service`` starts now; the time since the last one belongs to the last one's service."""
        if self._service is not None:
            self._line(self._service).seconds += now - self._since
        self._service, self._since, self._now = service, now, now

    def record(self, service: str, host: str, task: str, *, trips: int, changed: bool, outcome: Outcome) -> None:
        """Add one host's result of one task."""
        line = self._line(service)
        line.trips[host] = line.trips.get(host, 0) + trips
        line.changed += changed
        if outcome == "failed":
            line.failed[host] = task
        elif outcome == "unreachable":
            line.unreachable[host] = task

    def close(self, now: float, *, failed: Collection[str], unreachable: Collection[str]) -> None:
        """The run is over. Only these hosts are lost: what was rescued or ignored is forgotten."""
        self.enter(None, now)
        for line in self.lines.values():
            line.failed = {host: task for host, task in line.failed.items() if host in failed}
            line.unreachable = {host: task for host, task in line.unreachable.items() if host in unreachable}

    def seconds(self) -> float:
        """Seconds from the start to the last event."""
        return self._now - self._started

    def table(self) -> list[str]:
        """Render the table: a heading, a line for each service, a total."""
        rows: list[tuple[str, ...]] = [("service", "hosts", "changed", "seconds", "round trips", "per host", "")]
        lines = {name: line for name, line in self.lines.items() if line.trips}
        for name, line in lines.items():
            trips = line.trips.values()
            counts = (len(trips), line.changed, f"{line.seconds:.1f}", sum(trips), max(trips))
            rows.append((name, *map(str, counts), line.marks()))
        hosts = {host for line in lines.values() for host in line.trips}
        changed = sum(line.changed for line in lines.values())
        trips_in_all = sum(sum(line.trips.values()) for line in lines.values())
        rows.append(("total", str(len(hosts)), str(changed), f"{self.seconds():.1f}", str(trips_in_all), "", ""))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        return [_aligned(row, widths) for row in rows]

    def figures(self) -> dict[str, Any]:
        """Give the figures as data: seconds, and for each service changed, seconds and round trips by host."""
        services = {
            name: {"changed": line.changed, "seconds": round(line.seconds, 3), "round_trips": line.trips}
            for name, line in self.lines.items()
            if line.trips
        }
        return {"seconds": round(self.seconds(), 3), "services": services}

    def _line(self, service: str) -> Line:
        return self.lines.setdefault(service, Line())


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row[:-1]
    cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
    return "  ".join([*cells, row[-1]]).rstrip()


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds: ``2:05``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def fitted(text: str, columns: int) -> str:
    """Cut a text so that it takes less than one line of a terminal."""
    return text if len(text) < columns else text[: max(columns - 4, 0)] + "..."
