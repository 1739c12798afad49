# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May this member of a cluster stop now?

An adapter loads the live state of its service (`Adapter.load`); the state decides, purely. `stop` is the one sequence
in which a member is stopped: its turn, the question, a hand-over by the leader, the act, and back in sync.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Lock
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock, until

#: Seconds for which a reason may last before it is a refusal: a member that has just been started is not in sync yet.
PATIENCE = 20
#: Seconds for which the leader lets other members of the same run ask for their turn before it.
COURTESY = 4
#: Seconds for a planned hand-over, until the former leader is in sync again: it archives its last WAL before it ends.
HAND_OVER = 300


class Refused(Failed):
    """The cluster can't spare the member; nothing was done. reasons has all of them."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        """Take the member and why."""
        super().__init__(f"{name} may not stop now: {'; '.join(reasons)}")
        self.reasons = reasons


class State(Protocol):
    """One look at a cluster, and what follows from it."""

    def down(self, name: str) -> bool:
        """Tell whether the member does not work at all: stopping it costs nothing."""

    def leads(self, name: str) -> bool:
        """Tell whether the member leads."""

    def reasons(self, name: str) -> list[str]:
        """Say why the member may not stop now; empty when it may."""

    def successor(self, name: str) -> str:
        """Name the member that is to lead instead; empty when there is nobody."""

    def missing(self, name: str, before: Any) -> list[str]:
        """Say what the member still lacks until it is in sync as in the state before; empty when it is."""


class Adapter(Protocol):
    """What a service knows of its cluster."""

    #: Units of the member whose stop the cluster feels; others of the host (a proxy, say) move no leader.
    units: frozenset[str]
    #: Whether there are several leaders, which must not wait for each other.
    leaders: bool

    def load(self) -> State:
        """Look at the cluster. What can't be read is part of the state."""

    def hand_over(self, name: str, successor: str) -> None:
        """Let successor lead. Raises Failed when it does not."""


def ask(adapter: Adapter, name: str, clock: Clock = REAL, patience: float = PATIENCE) -> State:
    """Return the state in which the member may stop.

    Raises Refused when the reasons against it last longer than patience (seconds).
    """
    end = clock.now() + patience
    while True:
        state = adapter.load()
        reasons = state.reasons(name)
        if not reasons:
            return state
        if clock.now() >= end:
            raise Refused(name, reasons)
        clock.sleep(1)


def foresee(adapter: Adapter, lock: Lock, name: str) -> list[str]:
    """Say why a run would not be allowed to stop the member, as things are; nothing is taken or waited for.

    Empty when it would be. For check mode.
    """
    state = adapter.load()
    if state.down(name):
        return []
    reasons = state.reasons(name)
    try:
        holder = lock.look()
    except Failed as error:
        return [*reasons, f"the cluster's lock in etcd can't be asked for: {error}"]
    return [*reasons, f"another controller is at work: {holder}"] if holder else reasons


def settle(adapter: Adapter, name: str, before: State | None, seconds: float, clock: Clock = REAL) -> None:
    """Wait until the member is back in sync, or in sync at all. Raises Failed with what it lacks."""
    lacks = until(lambda: adapter.load().missing(name, before), seconds, 1, clock)
    if lacks:
        raise Failed(f"{name} is not back in sync after {seconds:g} s: {'; '.join(lacks)}")


def turn(adapter: Adapter, lock: Lock, name: str, clock: Clock = REAL) -> None:
    """Take the lock. The leader lets the other members of its run go first, so that it moves once.

    Raises Failed, with the holder, when another controller does not let go.
    """
    lock.announce()
    begin = clock.now()
    foreign_since: float | None = None
    while True:
        early = clock.now() - begin < COURTESY
        if (early or (not adapter.leaders and lock.others())) and adapter.load().leads(name):
            clock.sleep(1)
            continue
        holder = lock.take()
        if holder is None:
            return
        if lock.same_run(holder):
            foreign_since = None
        elif foreign_since is None:
            foreign_since = clock.now()
        elif clock.now() - foreign_since > lock.patience:
            raise Refused(name, [f"another controller is at work: {holder}"])
        clock.sleep(1)


def hand_over(adapter: Adapter, name: str, state: State, clock: Clock = REAL) -> tuple[State, str]:
    """Move the lead away from the member, when it has it and there is somebody to take it.

    Returns the state afterwards, in which it may stop, and the successor (empty when nothing was moved).
    """
    successor = state.successor(name) if state.leads(name) else ""
    if not successor:
        return state, ""
    adapter.hand_over(name, successor)
    end = clock.now() + HAND_OVER
    while adapter.load().leads(name):
        if clock.now() >= end:
            raise Failed(f"{name} still leads {HAND_OVER} s after {successor} was asked to")
        clock.sleep(0.5)
    settle(adapter, name, state, HAND_OVER, clock)  # a former leader starts anew, and is down until then
    return ask(adapter, name, clock), successor


@dataclass(frozen=True)
class Stop:
    """How a member is stopped: whether the cluster feels it (`leader`: a leader hands over first), whether it comes
    back, and seconds until it must be in sync."""

    name: str
    leader: bool = True
    returns: bool = True
    timeout: float = 120


def stop(adapter: Adapter, lock: Lock, wish: Stop, act: Callable[[], None], clock: Clock = REAL) -> str:
    """Carry out act, which stops the member, when the cluster can spare it.

    A member that is down already needs neither permission nor a turn. Returns the member that took the lead over,
    empty when none had to. Raises Refused (nothing was done) or Failed.
    """
    if adapter.load().down(wish.name):
        act()
        return ""
    successor = ""
    with lock:
        try:
            turn(adapter, lock, wish.name, clock)
        except Refused:
            raise
        except Failed as error:  # a full etcd takes no lock: say that it is full too
            raise Refused(wish.name, [*adapter.load().reasons(wish.name), str(error)]) from error
        state = ask(adapter, wish.name, clock)
        if wish.leader:
            state, successor = hand_over(adapter, wish.name, state, clock)
        lock.insist()
        act()
        if wish.returns:
            settle(adapter, wish.name, state, wish.timeout, clock)
    return successor
