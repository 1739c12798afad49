# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the space back that an etcd cluster does not use, one member at a time, and ends a NOSPACE alarm then.

The role lays this file down on the members, and a timer starts it, so that it needs only the standard library and
etcdctl, whose ETCDCTL_* variables say how the member is reached. Only the leader does something, for all members.
A member serves nobody while it defragments (https://etcd.io/docs/v3.5/op-guide/maintenance/).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SMALL = 64 * 1024 * 1024  # bytes; the space that a smaller database wastes is not worth a pause
WASTE = 0.5  # part of the database file that holds nothing
FULL = 0.8  # part of the quota


class Refusal(Exception):
    """Nothing more is done; the text says why."""


@dataclass(frozen=True)
class Member:
    """What one member says of itself: ids as numbers, sizes in bytes; error is why it says nothing."""

    endpoint: str
    id: int = 0
    leader: int = 0
    size: int = 0
    used: int = 0
    revision: int = 0
    learner: bool = False
    error: str = ""


def wasteful(member: Member) -> bool:
    """Whether the member's file is worth a pause."""
    return member.size > SMALL and member.size - member.used > WASTE * member.size


def order(members: Sequence[Member], *, alarm: bool) -> list[Member]:
    """The members to defragment, the leader last: those that waste space, all of them after an alarm.

    Raises Refusal unless every member answers and has a vote: each one is missing for a moment.
    """
    chosen = [member for member in members if alarm or wasteful(member)]
    if chosen:
        away = [f"{member.endpoint} ({member.error})" for member in members if member.error]
        if away:
            raise Refusal(f"a member does not answer, and no other one may pause: {', '.join(away)}")
        joining = [member.endpoint for member in members if member.learner]
        if joining:
            raise Refusal(f"a member is joining, and no other one may pause: {', '.join(joining)}")
    return sorted(chosen, key=lambda member: (member.id == member.leader, member.endpoint))


def still_full(members: Sequence[Member], quota: int) -> list[str]:
    """Members whose space is not enough to end the alarm, in words."""
    return [
        f"{member.endpoint} holds {member.used} of {quota} bytes"
        for member in members
        if member.error or member.size > FULL * quota
    ]


def ctl(*words: str, endpoint: str = "") -> Any:
    """Run etcdctl, at one endpoint where it is given; what it printed, as JSON where it was asked for."""
    argv = ["etcdctl", *words]
    # etcdctl refuses an option whose variable is set, too.
    env = {**os.environ, **({"ETCDCTL_ENDPOINTS": endpoint} if endpoint else {})}
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"{' '.join(argv)}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout) if "json" in words else done.stdout


def parse(endpoint: str, status: Mapping[str, Any]) -> Member:
    """A member from its `endpoint status`."""
    return Member(
        endpoint,
        id=status["header"]["member_id"],
        leader=status.get("leader", 0),
        size=status.get("dbSize", 0),
        used=status.get("dbSizeInUse", 0),
        revision=status["header"].get("revision", 0),
        learner=bool(status.get("isLearner", False)),
    )


def look() -> list[Member]:
    """Ask every member of the cluster."""
    found = []
    for entry in ctl("member", "list", "-w", "json")["members"]:
        urls = entry.get("clientURLs") or []
        if not urls:
            found.append(Member(entry.get("name") or entry["peerURLs"][0], error="it never started"))
            continue
        try:
            status = ctl("endpoint", "status", "-w", "json", endpoint=urls[0])[0]["Status"]
        except (Refusal, IndexError, KeyError) as error:
            found.append(Member(urls[0], error=str(error)))
        else:
            found.append(parse(urls[0], status))
    return found


def defragment(member: Member) -> None:
    """Let one member defragment, and wait until it serves again."""
    ctl("defrag", endpoint=member.endpoint)
    end = time.monotonic() + 60
    while True:
        try:
            ctl("endpoint", "status", endpoint=member.endpoint)  # its health is bad while there is an alarm
        except Refusal:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return


def compact(revision: int) -> None:
    """Drop the history before revision; a round that was cut off may have done it."""
    try:
        ctl("compact", "--physical", str(revision))
    except Refusal as refusal:
        if "has been compacted" not in str(refusal):
            raise


def disarm(members: Sequence[Member], quota: int) -> None:
    """End the alarm when there is room again."""
    full = still_full(members, quota)
    if full:
        raise Refusal(f"the alarm NOSPACE stays: {'; '.join(full)}. Delete keys and start this again")
    ctl("alarm", "disarm")
    print("the alarm NOSPACE is over")


def main() -> int:
    """One round. Its exit status is 1 when something that has to be done could not be."""
    quota = int(sys.argv[1])
    try:
        own = parse("", ctl("endpoint", "status", "-w", "json")[0]["Status"])
        if not own.leader or own.id != own.leader:
            print("the leader does it")
            return 0
        alarm = "NOSPACE" in ctl("alarm", "list")
        members = look()
        chosen = order(members, alarm=alarm)
        if alarm:  # without its history the database is smaller, and writes are worth more than old revisions
            compact(own.revision)
        for member in chosen:
            defragment(member)
            print(f"{member.endpoint}: defragmented, it had {member.size} bytes and used {member.used}")
        if alarm:
            disarm(look(), quota)
    except Refusal as error:
        print(f"etcd is not maintained: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
