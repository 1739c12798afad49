# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harness needs to know of a service. Each service is one small class, in a module of its name here."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.lab.running import RunningLab

if TYPE_CHECKING:
    from tests.chaos.faults import Fault


class Service(ABC):
    """A service of a running lab, as chaos sees it."""

    name: ClassVar[str]
    client: ClassVar[Path]
    """The program that writes, see tests/chaos/writer.py."""

    faults: ClassVar[Mapping[str, type[Fault]]]
    """Those that make sense for it, by name."""

    rate: ClassVar[float] = 80.0
    """Writes a second."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab

    @property
    @abstractmethod
    def members(self) -> Sequence[str]:
        """Hosts that carry it."""

    @property
    @abstractmethod
    def clients(self) -> Sequence[str]:
        """Hosts that may reach it as a client does, the best first; one outside the failed zone is taken."""

    @abstractmethod
    def prepare(self, host: str, run: str) -> Mapping[str, Any]:
        """Make a host able to write, and a place for what this run writes; the client's settings."""

    @abstractmethod
    def leader(self) -> str:
        """The host that leads now. Raises LabError when nobody tells."""

    @abstractmethod
    def trouble(self) -> str:
        """Why it is not fully in sync; empty when it is."""

    @abstractmethod
    def present(self, run: str) -> Mapping[str, Sequence[int]]:
        """The numbers of this run that each member holds."""

    def figures(self) -> Mapping[str, Any]:
        """What else belongs beside a result: who leads what."""
        return {"leader": self.leader()}


def load(name: str, lab: RunningLab) -> Service:
    """The service of a name; raises LookupError with the known ones."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if not path.stem.endswith("_client"))
    if name not in known:
        raise LookupError(f"SERVICE={name or '?'} is unknown; known: {', '.join(known)}")
    service: Service = importlib.import_module(f"{__name__}.{name}").SERVICE(lab)
    return service
