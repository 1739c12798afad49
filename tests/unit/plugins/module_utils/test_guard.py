# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequence in which a member is stopped, with a cluster and a lock that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _guard, _wait
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Holder
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


@dataclass
class Cluster:
    """A cluster, its lock and its time in one. What happens to it is in `log`; `later` holds changes by second."""

    leader: str = "b"
    heir: str = "c"
    leaders: bool = False
    is_down: bool = False
    against: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    holder: Holder | None = None
    queue: list[str] = field(default_factory=list)
    lost: bool = False
    broken: bool = False
    later: dict[float, Callable[[Cluster], Any]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    now: float = 0.0
    patience: float = 40.0
    units: frozenset[str] = frozenset()

    def load(self) -> Cluster:
        return self

    def down(self, name: str) -> bool:  # noqa: ARG002 - the interface
        return self.is_down

    def leads(self, name: str) -> bool:
        return name == self.leader

    def reasons(self, name: str) -> list[str]:  # noqa: ARG002 - the interface
        return self.against

    def successor(self, name: str) -> str:  # noqa: ARG002 - the interface
        return self.heir

    def missing(self, name: str, before: Any) -> list[str]:  # noqa: ARG002 - the interface
        return self.lacks

    def hand_over(self, name: str, successor: str) -> None:
        self.log.append(f"{name} to {successor}")
        self.leader = successor

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append("let go")

    def announce(self) -> None:
        if self.broken:
            raise Failed("no space")
        self.log.append("announce")

    def look(self) -> Holder | None:
        if self.broken:
            raise Failed("no space")
        return self.holder

    def others(self) -> list[str]:
        return self.queue

    def take(self) -> Holder | None:
        if self.holder is None:
            self.log.append(f"take at {self.now:g}")
        return self.holder

    def same_run(self, holder: Holder) -> bool:
        return holder.controller == "mine"

    def insist(self) -> None:
        if self.lost:
            raise Failed("lost")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [moment for moment in self.later if moment <= self.now]:
            self.later.pop(moment)(self)

    def stop(self, **wish: Any) -> str:
        clock = _wait.Clock(lambda: self.now, self.sleep)
        wanted = _guard.Stop("a", timeout=30, **wish)
        return _guard.stop(self, self, wanted, lambda: self.log.append("act"), clock)


MINE = Holder("mine", "b", 1, "noon")
THEIRS = Holder("alice@laptop, process 7", "c", 2, "noon")


def test_a_follower() -> None:
    cluster = Cluster()
    assert cluster.stop() == ""
    assert cluster.log == ["announce", "take at 0", "act", "let go"]


def test_a_leader_lets_the_others_go_first_and_hands_over() -> None:
    cluster = Cluster(leader="a", queue=["b"], later={20: lambda cluster: cluster.queue.clear()})
    assert cluster.stop() == "c"
    assert cluster.log == ["announce", "take at 20", "a to c", "act", "let go"]


def test_a_leader_alone_waits_a_moment() -> None:
    cluster = Cluster(leader="a")
    cluster.stop()
    assert cluster.log[1] == f"take at {_guard.COURTESY}"


@pytest.mark.parametrize(("wish", "heir"), [({"leader": False}, "c"), ({}, "")])
def test_a_leader_that_need_not_or_can_not_hand_over(wish: dict[str, bool], heir: str) -> None:
    cluster = Cluster(leader="a", heir=heir)
    assert cluster.stop(**wish) == ""
    assert cluster.log[2:] == ["act", "let go"]


def test_a_member_that_is_down_needs_nobodys_leave() -> None:
    cluster = Cluster(is_down=True, against=["no quorum"], holder=THEIRS)
    cluster.stop()
    assert cluster.log == ["act"]


def test_all_reasons_and_nothing_done() -> None:
    cluster = Cluster(against=["c is down", "alarm NOSPACE"])
    with pytest.raises(_guard.Refused, match=r"^a may not stop now: c is down; alarm NOSPACE$") as refusal:
        cluster.stop()
    assert refusal.value.reasons == ["c is down", "alarm NOSPACE"]
    assert cluster.log == ["announce", "take at 0", "let go"]
    assert cluster.now == _guard.PATIENCE


def test_a_reason_that_goes_away() -> None:
    cluster = Cluster(against=["c is starting"], later={5: lambda cluster: cluster.against.clear()})
    cluster.stop()
    assert "act" in cluster.log


def test_the_same_run_is_waited_for() -> None:
    cluster = Cluster(holder=MINE, later={300: lambda cluster: setattr(cluster, "holder", None)})
    cluster.stop()
    assert cluster.log == ["announce", "take at 300", "act", "let go"]


def test_another_run_is_refused_after_a_dead_one_would_have_let_go() -> None:
    cluster = Cluster(holder=THEIRS)
    words = (
        r"another controller is at work: alice@laptop, process 7 holds the lock for c \(process 2 there\) since noon"
    )
    with pytest.raises(_guard.Refused, match=words):
        cluster.stop()
    assert cluster.log == ["announce", "let go"]
    assert cluster.patience < cluster.now < 2 * cluster.patience


def test_a_lock_that_can_not_be_asked_for() -> None:
    cluster = Cluster(broken=True, against=["alarm NOSPACE"])
    with pytest.raises(_guard.Refused, match="alarm NOSPACE; no space"):
        cluster.stop()
    assert cluster.log == ["let go"]


def test_a_lock_that_was_lost() -> None:
    cluster = Cluster(lost=True)
    with pytest.raises(Failed, match="lost"):
        cluster.stop()
    assert "act" not in cluster.log


def test_a_member_that_does_not_come_back() -> None:
    cluster = Cluster(lacks=["a does not stream"])
    with pytest.raises(Failed, match="a is not back in sync after 30 s: a does not stream"):
        cluster.stop()
    assert cluster.log[-2:] == ["act", "let go"]


def test_a_member_that_is_not_to_come_back() -> None:
    cluster = Cluster(lacks=["a is stopped"])
    cluster.stop(returns=False)
    assert cluster.log[-2:] == ["act", "let go"]


@pytest.mark.parametrize(
    ("cluster", "reasons"),
    [
        pytest.param(Cluster(), [], id="it may"),
        pytest.param(Cluster(is_down=True, against=["no quorum"], holder=THEIRS), [], id="it is down anyway"),
        pytest.param(
            Cluster(against=["c is down"], holder=THEIRS),
            ["c is down", f"another controller is at work: {THEIRS}"],
            id="two reasons",
        ),
        pytest.param(
            Cluster(against=["alarm NOSPACE"], broken=True),
            ["alarm NOSPACE", "the cluster's lock in etcd can't be asked for: no space"],
            id="no lock to be had",
        ),
    ],
)
def test_what_check_mode_foresees(cluster: Cluster, reasons: list[str]) -> None:
    assert _guard.foresee(cluster, cluster, "a") == reasons
    assert (cluster.log, cluster.now) == ([], 0.0), "nothing is taken or waited for"
