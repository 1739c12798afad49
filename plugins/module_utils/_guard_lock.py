# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member at a time, whoever asks: a lock in etcd that lives as long as the process that holds it.

Keys under the service's own prefix, bound to a lease that a thread renews: `waiting/<member>` for each that asks for
its turn, `lock` for the one that has it. A process that dies lets go when its lease runs out.

An operation of many steps on many hosts (a restore) holds `lock` from its first step to its last: each step goes on
with the lease of the one before (`join`), and renews it when it ends (`leave`).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import NOT_FOUND, Client, Refused, plain, text
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Seconds of the lease.
LEASE = 30


@dataclass(frozen=True)
class Holder:
    """Who has the lock: the run that asked for it, the member that it is for, process and time (UTC) there."""

    controller: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        """Tell it to a person."""
        run = self.controller or "an unknown controller"
        return f"{run} holds the lock for {self.host} (process {self.pid} there) since {self.since}"


class Lock:
    """The lock of one cluster.

    client reaches etcd, keeper does so for the thread that renews the lease; prefix ends with `/`. patience is how many
    seconds another controller's lock is waited for: longer than a dead one can hold it.
    """

    def __init__(self, client: Client, keeper: Client, prefix: str, controller: str, host: str) -> None:
        """Keep how to reach etcd, and who asks."""
        self.client, self.keeper, self.prefix = client, keeper, prefix
        self.patience: float = LEASE + 10
        self.me = Holder(controller, host, os.getpid(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self._lease = ""
        self._end = threading.Event()
        self._renewed = 0.0

    def __enter__(self) -> Lock:
        """Nothing is asked for yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of everything; a lease that can't be revoked runs out."""
        self._end.set()
        if self._lease:
            with contextlib.suppress(Failed):
                self.client.post("lease/revoke", {"ID": self._lease})
            self._lease = ""

    def announce(self) -> None:
        """Ask for a turn. Raises Failed when etcd can't be reached."""
        try:
            self._grant()
            key, value = f"{self.prefix}waiting/{self.me.host}", json.dumps(asdict(self.me))
            self.client.post("kv/put", {"key": text(key), "value": text(value), "lease": self._lease})
        except Failed as error:
            raise Failed(f"the cluster's lock in etcd can't be asked for: {error}") from error

    def _grant(self) -> None:
        self._keep(str(self.client.post("lease/grant", {"TTL": LEASE})["ID"]))

    def _keep(self, lease: str) -> None:
        """Renew a lease from now on."""
        self._end.set()
        self._lease, self._end, self._renewed = lease, threading.Event(), time.monotonic()
        threading.Thread(target=self._renew, args=(lease, self._end), daemon=True).start()

    def _renew(self, lease: str, end: threading.Event) -> None:
        while not end.wait(LEASE / 6):
            with contextlib.suppress(Failed):
                self._alive(self.keeper, lease)

    def _alive(self, client: Client, lease: str) -> bool:
        """Renew a lease once; whether it had not run out."""
        answer = client.post("lease/keepalive", {"ID": lease}).get("result", {})
        if int(answer.get("TTL", 0)) <= 0:
            return False
        self._renewed = time.monotonic()
        return True

    def insist(self) -> None:
        """Raise Failed when the lease may have run out: somebody else may have the lock."""
        if time.monotonic() - self._renewed > LEASE * 0.8:
            raise Failed("the cluster's lock in etcd was lost: its lease could not be renewed")

    def others(self) -> list[str]:
        """Name the other members for which a turn is asked."""
        start = f"{self.prefix}waiting/"
        body = {"key": text(start), "range_end": text(start[:-1] + chr(ord("/") + 1)), "keys_only": True}
        found = self.client.post("kv/range", body).get("kvs", ())
        names = (plain(item["key"]).removeprefix(start) for item in found)
        return sorted(name for name in names if name != self.me.host)

    def take(self) -> Holder | None:
        """Take the lock; return who has it instead. A lease that ran out while waiting is asked for anew."""
        try:
            return self._take()
        except Refused as refusal:
            if refusal.code != NOT_FOUND:
                raise
        self.announce()
        return self._take()

    def _take(self) -> Holder | None:
        key = text(f"{self.prefix}lock")
        put = {"key": key, "value": text(json.dumps(asdict(self.me))), "lease": self._lease}
        answer = self.client.post(
            "kv/txn",
            {
                "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": put}],
                "failure": [{"request_range": {"key": key}}],
            },
        )
        if answer.get("succeeded"):
            return None
        return _holder(answer["responses"][0]["response_range"]["kvs"][0])

    def join(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lock for a run of several steps, or go on with it when this run has it already.

        A dead run lets go when its lease runs out, which is waited for; a live one is seen by a lease that was renewed.
        Raises Failed with who has the lock, or had it until now: what was looked at before is no longer true.
        """
        left: int | None = None
        while True:
            found = self._found()
            if found is None:
                if left is not None and left > 2:  # noqa: PLR2004 - seconds that looking twice may take
                    raise Failed("another controller was at work until now; see what it did, and run this again")
                self._grant()
                if self._take() is None:
                    return
                self.__exit__()
                continue
            holder, lease = found
            if self.same_run(holder):
                if self._alive(self.client, lease):
                    self._keep(lease)
                    return
                sleep(1)
                continue
            before, left = left, int(self.client.post("lease/timetolive", {"ID": lease}).get("TTL", 0))
            if before is not None and left > before:
                raise Failed(f"another controller is at work: {holder}. Was it killed? Its last step ends by itself")
            sleep(1)

    def leave(self) -> None:
        """End a step: the next one of this run has as long as a lease to go on."""
        self._end.set()
        with contextlib.suppress(Failed):
            self._alive(self.client, self._lease)
        self._lease = ""

    def release(self) -> None:
        """Let go of what the steps of this run held."""
        found = self._found()
        if found and self.same_run(found[0]):
            self.client.post("lease/revoke", {"ID": found[1]})

    def look(self) -> Holder | None:
        """See who has the lock, without asking for it. Raises Failed when etcd can't be reached."""
        found = self._found()
        return found[0] if found else None

    def _found(self) -> tuple[Holder, str] | None:
        """Who has the lock, and the lease that it is bound to."""
        found = self.client.post("kv/range", {"key": text(f"{self.prefix}lock")}).get("kvs", ())
        return (_holder(found[0]), str(found[0].get("lease", "0"))) if found else None

    def same_run(self, holder: Holder) -> bool:
        """Tell whether the holder belongs to the same run, which ends by itself."""
        return bool(self.me.controller) and holder.controller == self.me.controller


def _holder(found: dict[str, Any]) -> Holder:
    """Read who has the lock out of its key."""
    try:
        return Holder(**json.loads(plain(found["value"])))
    except (KeyError, TypeError, ValueError):
        return Holder("", "an unknown member", 0, "an unknown time")
