# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a cluster is brought back from a snapshot, in steps that can each be run again.

Prepared beside the running member, then swapped in; the first start lets in nobody from other hosts, so that what the
snapshot says of its own time (leases, passwords) is put right before any client reads it.
Source of the procedure: https://etcd.io/docs/v3.5/op-guide/recovery/
"""

from __future__ import annotations

import base64
import fnmatch
import json
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import INVALID_ARGUMENT, Client, Refused, text
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_auth import ROOT, range_end
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_member import FIRST_START, begin
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

# Higher than any revision that clients have seen since the snapshot: a revision never goes back for them.
BUMP = 1000000000


@dataclass(frozen=True)
class Plan:
    """The member that comes out of the snapshot: its name, peer URLs of all members by name, the token of the new
    cluster, and the data directory that it gets in the end."""

    name: str
    members: Mapping[str, str]
    token: str
    data: Path

    @property
    def prepared(self) -> Path:
        """Where the new data wait for the swap."""
        return self.data.with_name(f"{self.data.name}.restored")

    @property
    def aside(self) -> Path:
        """Where the old data are kept."""
        return self.data.with_name(f"{self.data.name}.before-{self.token.rpartition('-')[2]}")


def arguments(plan: Plan, snapshot: Path) -> list[str]:
    """The call of etcdutl that makes the member's data from a snapshot."""
    return [
        "etcdutl", "snapshot", "restore", str(snapshot),
        "--data-dir", str(plan.prepared),
        "--name", plan.name,
        "--initial-cluster", ",".join(f"{name}={url}" for name, url in sorted(plan.members.items())),
        "--initial-advertise-peer-urls", plan.members[plan.name],
        "--initial-cluster-token", plan.token,
        "--bump-revision", str(BUMP),
        "--mark-compacted",
    ]  # fmt: skip


def prepare(plan: Plan, snapshot: Path, owner: str) -> None:
    """Make the new data beside the old ones; the member goes on meanwhile. Raises Failed, and nothing has changed."""
    free = shutil.disk_usage(plan.data.parent).free
    needed = 2 * snapshot.stat().st_size + 200 * 1024 * 1024  # the database, and the first log files
    if free < needed:
        raise Failed(f"{plan.data.parent} has {free >> 20} MiB left, and the restored data need {needed >> 20} MiB")
    shutil.rmtree(plan.prepared, ignore_errors=True)
    run(arguments(plan, snapshot))
    run(["chown", "-R", f"{owner}:{owner}", str(plan.prepared)])
    plan.prepared.chmod(0o700)


def swap(plan: Plan, unit: str, listen: str) -> None:
    """Stop the member, put the old data aside and the new ones in their place, and start for this host's clients alone.

    Cut off and run again it goes on where it was. listen is the URL that the first start serves.
    """
    run(["systemctl", "stop", "--", unit])
    if plan.prepared.exists():
        if plan.data.exists() and plan.aside.exists():
            shutil.rmtree(plan.data)  # a directory that somebody made after the old data were put aside
        if plan.data.exists():
            plan.data.rename(plan.aside)
        plan.prepared.rename(plan.data)
    begin(unit, plan.data / FIRST_START, f"ETCD_LISTEN_CLIENT_URLS={listen}\n")


def obsolete(keys: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The keys that match one of patterns (shell patterns of whole keys)."""
    wanted = list(patterns)
    return [key for key in keys if any(fnmatch.fnmatchcase(key, pattern) for pattern in wanted)]


def enter(clients: Sequence[Client]) -> Client:
    """The first of clients that gets in: with the snapshot's password, or with today's when that was set already."""
    for client in clients:
        try:
            client.post("auth/user/list")
        except Refused as refusal:
            if refusal.code != INVALID_ARGUMENT:
                raise
            continue
        return client
    raise Failed("the restored cluster takes neither the password that came with the copy nor today's")


def settle(client: Client, *, user: str, password: str, forget: Sequence[str]) -> dict[str, Any]:
    """Put right what the snapshot says of its own time: every lease ends, with its keys (who leads, who is there), keys
    that match forget go, and today's administrator gets in and no other. Returns how many of each."""
    leases = client.post("lease/leases").get("leases", [])
    for lease in leases:
        client.post("lease/revoke", {"ID": lease["ID"]})
    gone: list[str] = []
    for prefix in sorted({pattern.partition("*")[0] for pattern in forget}):
        answer = client.post("kv/range", {"key": text(prefix), "range_end": text(range_end(prefix)), "keys_only": True})
        keys = [base64.b64decode(entry["key"]).decode(errors="replace") for entry in answer.get("kvs", ())]
        gone += obsolete(keys, [pattern for pattern in forget if pattern.partition("*")[0] == prefix])
    for key in sorted(set(gone)):
        client.post("kv/deleterange", {"key": text(key)})
    if client.user and (client.user, client.password) != (user, password):
        if client.user != user and user not in client.post("auth/user/list").get("users", []):
            client.post("auth/user/add", {"name": user, "password": secrets.token_urlsafe(32)})
            client.post("auth/user/grant", {"user": user, "role": ROOT})
        client.post("auth/user/changepw", {"name": user, "password": password})
        if client.user != user:
            client.post("auth/user/changepw", {"name": client.user, "password": secrets.token_urlsafe(32)})
    return {"leases": len(leases), "forgotten": sorted(set(gone))}


def access(path: Path) -> dict[str, str]:
    """User and password that came with the copy. Raises Failed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"user": found["user"], "password": found["password"]}
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"{path} does not say how one gets into the restored cluster: {error}") from error


def wait(client: Client, seconds: float) -> None:
    """Wait until the member at client serves reads that need a leader. Raises Failed after seconds."""

    def trouble() -> str:
        try:
            client.members()
        except Failed as error:
            return str(error)
        return ""

    reason = until(trouble, seconds)
    if reason:
        raise Failed(f"the restored cluster has no leader after {seconds:g} s: {reason}")
