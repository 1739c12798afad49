# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a live cluster's dynamic configuration to what is wanted: read, one PATCH, see it on every live member."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.holdfast.platform.plugins.module_utils import _patroni
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_rest import (
    AbsentError,
    FailedError,
    UnavailableError,
)

#: Seconds beyond Patroni's own loop until a member must have taken a change over.
GRACE = 10
#: Seconds for a member to notice that a parameter waits for a restart, after it took the change over.
NOTICE = 10


class Client(Protocol):
    """What this needs of `_patroni_rest.Client`."""

    urls: list[str]

    def request(self, url: str, path: str, *, method: str = "GET", body: object = None) -> Any:
        """Send one request to one member."""

    def first(self, path: str, *, patience: float = 0) -> tuple[str, Any]:
        """Ask the members in turn."""


class NotConvergedError(Exception):
    """The cluster does not show what was written."""


@dataclass(frozen=True)
class Outcome:
    """What was found and done. `url` is the member that was asked, None when nothing runs yet (check mode)."""

    url: str | None
    before: _patroni.Config
    plan: _patroni.Plan
    restart: _patroni.Restart
    restart_required: tuple[str, ...]


def reconcile(
    client: Client,
    desired: Mapping[str, Any],
    *,
    check: bool,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Reconcile the configuration; with `check` only tell what would be done.

    timeout: seconds in which some member must answer. Raises _patroni.ConfigError, UnavailableError, FailedError,
    NotConvergedError.
    """
    _patroni.check(desired)
    try:
        url, before = client.first("/config", patience=0 if check else timeout)
    except UnavailableError as error:
        if not (check and error.absent):
            raise
        plan = _patroni.plan({}, desired)
        return Outcome(None, {}, plan, _patroni.Restart(), ())

    plan = _patroni.plan(before, desired)
    if not plan.patch or check:
        return Outcome(url, before, plan, _patroni.restart(plan.changes), _pending(client, url))

    before, plan = _write(client, url, before, desired, plan)
    seconds = max(_number(before.get("loop_wait")), _number(plan.after.get("loop_wait"))) + GRACE
    members = _confirm(client, desired, seconds, clock, sleep)
    restart = _patroni.restart(plan.changes)
    pending = set(_pending(client, url)) | _notice(client, members, NOTICE if restart else 0, clock, sleep)
    return Outcome(url, before, plan, restart, tuple(sorted(pending)))


def _number(value: Any) -> float:
    """Return a setting in seconds, Patroni's default of loop_wait when it is absent or odd."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 10.0


def _write(
    client: Client, url: str, before: _patroni.Config, desired: Mapping[str, Any], plan: _patroni.Plan
) -> tuple[_patroni.Config, _patroni.Plan]:
    """Send the PATCH; when another writer was faster (409), plan again from what it left."""
    for attempt in range(3):
        try:
            client.request(url, "/config", method="PATCH", body=plan.patch)
            break
        except FailedError as error:
            if error.status != 409 or attempt == 2:
                raise
            before = client.request(url, "/config")
            plan = _patroni.plan(before, desired)
            if not plan.patch:
                break
    return before, plan


def _confirm(
    client: Client,
    desired: Mapping[str, Any],
    seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[str]:
    """Wait until every member that answers shows the new configuration; return their addresses.

    A member serves the configuration of its last loop, so this also tells that it has taken the change over.
    """
    deadline = clock() + seconds
    waiting, seen = list(client.urls), []
    while True:
        for url in list(waiting):
            try:
                current = client.request(url, "/config")
            except AbsentError:
                waiting.remove(url)  # a member that is down reads the configuration when it starts
                continue
            except FailedError:
                continue
            if not _patroni.plan(current, desired).patch:
                waiting.remove(url)
                seen.append(url)
        if not waiting or clock() >= deadline:
            break
        sleep(0.5)
    stale = [url for url in waiting if _differs(client, url, desired)]
    if stale or not seen:
        raise NotConvergedError(
            f"{', '.join(stale) or 'no member'} did not show the new configuration within {seconds:g} s; "
            "either its store is out of reach or somebody else changes the configuration too"
        )
    return seen


def _differs(client: Client, url: str, desired: Mapping[str, Any]) -> bool:
    """Tell whether a member that answers still shows another configuration; one that is down does not count."""
    try:
        return bool(_patroni.plan(client.request(url, "/config"), desired).patch)
    except (AbsentError, FailedError):
        return False


def _pending(client: Client, url: str) -> tuple[str, ...]:
    return tuple(_patroni.pending_restart(client.request(url, "/cluster")))


def _notice(
    client: Client, members: list[str], seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> set[str]:
    """Ask members themselves whether they wait for a restart: the cluster's own list is one loop behind."""
    deadline = clock() + seconds
    waiting, found = set(members), set()
    while waiting:
        for url in sorted(waiting):
            try:
                state = client.request(url, "/patroni")
            except (AbsentError, FailedError):
                state = {}
            if state.get("pending_restart"):
                waiting.discard(url)
                name = state.get("patroni", {}).get("name")  # members tell it since Patroni 3.1
                found.update([name] if name else [])
        if clock() >= deadline:
            break
        sleep(0.5)
    return found
