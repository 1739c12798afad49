# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that any service can meet. Each is aimed at the live cluster, injected, and healed; healing twice is safe."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from tests.lab.running import ROOT

from .judge import Limits
from .services import Service


class Skipped(Exception):
    """The machine lacks a named thing that this fault needs."""


def await_sync(service: Service, seconds: float) -> str:
    """Wait until the service is fully in sync; empty, or what was still wrong after so many seconds."""
    end = time.monotonic() + seconds
    while trouble := service.trouble():
        if time.monotonic() > end:
            return trouble
        time.sleep(1)
    return ""


class Fault(ABC):
    """One kind of failure.

    `hold` is how long it lasts at least, in seconds; it lasts on until writes are acknowledged again, or `hold_most`.
    """

    what: ClassVar[str]
    limits: ClassVar[Limits] = Limits()
    hold: ClassVar[float] = 25.0
    hold_most: ClassVar[float] = 60.0
    afterwards: ClassVar[float] = 4.0
    """Seconds that the load goes on when all is in sync again."""

    def __init__(self, service: Service, random: Random) -> None:
        self.service, self.random, self.lab = service, random, service.lab
        self.victims: list[str] = []
        self.zones: set[str] = set()
        self.given_up: tuple[float, float] | None = None
        """From when to when (wall clock) writes are thrown away on purpose, by a restore."""

        self.inside = ""  # a host that goes on writing inside the failure, while it can

    def aim(self) -> None:
        """Choose the victims in the live cluster, and prepare them. Raises Skipped."""
        self.victims = [self.service.leader()]

    @abstractmethod
    def inject(self) -> None:
        """Do it."""

    @abstractmethod
    def heal(self) -> None:
        """Undo it, whatever has become of it."""

    def clean(self) -> None:  # noqa: B027 - most prepare nothing
        """After the judgement: take back what aim prepared."""

    def zone(self, host: str) -> str:
        return str(self.lab.containers[host].labels["holdfast.zone"])


class _Zone(Fault):
    """The leader's zone fails."""

    def aim(self) -> None:
        super().aim()
        self.zones = {self.zone(self.victims[0])}

    def heal(self) -> None:
        for zone in self.zones:
            self.lab.lab.zone_heal(zone)


class ZoneKill(_Zone):
    what = "the leader's zone loses its power"

    def inject(self) -> None:
        for zone in self.zones:
            self.lab.lab.zone_kill(zone)


class ZoneCut(_Zone):
    what = "nothing enters or leaves the leader's zone"
    way: ClassVar[str] = "both"

    def aim(self) -> None:
        super().aim()
        self.inside = self.victims[0]

    def inject(self) -> None:
        for zone in self.zones:
            self.lab.lab.zone_cut(zone, self.way)


class ZoneCutIn(ZoneCut):
    what = "nothing enters the leader's zone, what leaves it passes"
    way = "in"


class ZoneCutOut(ZoneCut):
    what = "nothing leaves the leader's zone, what enters it passes"
    way = "out"


class Kill(Fault):
    """SIGKILL to one process of the leader."""

    hold = 5.0
    command: ClassVar[str]

    def inject(self) -> None:
        self.lab.run(self.victims[0], self.command)

    def heal(self) -> None:
        """Nothing: the service has to come back by itself."""


class ControllerKilled(Fault):
    """The controller dies in the middle of a run: SIGKILL of the whole process group. Healing is to run it again."""

    limits = Limits(gap=20.0, in_sync=None)  # healing is a whole run
    hold = 3.0
    hold_most = 600.0
    playbook: ClassVar[str]

    def aim(self) -> None:
        super().aim()
        self.options: Sequence[str] = ()
        if not (ROOT / self.playbook).is_file():
            raise Skipped(f"there is no {self.playbook}")
        self.done = False

    def ripe(self) -> bool:
        """Whether the run is in the middle, as the service itself tells."""
        raise NotImplementedError

    def inject(self) -> None:
        self.lab.killed(ROOT / self.playbook, *self.options, when=lambda _: self.ripe())

    def heal(self) -> None:
        if not self.done:
            self.again()
            self.done = True

    def again(self) -> None:
        """The same run, to its end."""
        again = self.lab.play(ROOT / self.playbook, *self.options)
        if again.returncode:
            raise RuntimeError(f"the second run failed:\n{again.stdout[-3000:]}{again.stderr[-1000:]}")
