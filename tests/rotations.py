# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations on a running lab: runs of them to the end, and runs that are killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab.running import ROOT, RunningLab

PLAYBOOK = ROOT / "playbooks/rotate.yml"
PHASES = ("added", "verified", "switched", "drained", "retired")
#: Each write of the journal: what a run says when it comes to it.
JOURNALED = (
    "Record the start",
    *(f"{what} {phase}" for phase in PHASES for what in ("Enter", "Finish")),
    "Forget the old values",
)
#: Hosts that write, and for how long their connections live, in seconds: some connect all the time, some hold on.
WRITERS = {"app-c1": (0.5, 8.0), "data-b1": (5.0, 20.0)}

#: What a run says, or whether something came true of what it has said.
Point = str | Callable[[str], bool]


def within(phase: str, task: str) -> Point:
    """The point at which a run comes to something within a phase."""
    return lambda said: task in said.partition(f"Enter {phase}")[2]


def asked(secrets: str, **more: Any) -> list[str]:
    """The options of a run for these secrets, with commas between them; more are other variables of it."""
    return ["--extra-vars", json.dumps({"rotate_secret": secrets, **more})]


def rotate(lab: RunningLab, secrets: str, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Rotate to the end, or to what stops it."""
    return lab.play(PLAYBOOK, *asked(secrets, **more), *options)


@dataclass
class Rotations:
    """Rotations while the hosts of WRITERS use a credential; file is its entry for the role credentials."""

    lab: RunningLab
    file: Mapping[str, str]

    def options(self, secrets: str, **more: Any) -> list[str]:
        """The options of a run: it tells all hosts that write, also one that the site does not know as a client."""
        files = f"{{{{ {[dict(self.file)]} if inventory_hostname in {list(WRITERS)} else [] }}}}"
        return asked(secrets, credentials_files=files, **more)

    def prepare(self) -> None:
        """Lay the file down on the hosts that write."""
        done = self.lab.play(ROOT / "playbooks/site.yml", "--tags", "credentials", *self.options(""))
        assert done.returncode == 0, done.stdout[-3000:]

    def rotate(self, secrets: str, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Rotate to the end, or to what stops it."""
        return self.lab.play(PLAYBOOK, *self.options(secrets, **more), *options)

    def killed(self, secrets: str, when: Point, after: float = 0, **more: Any) -> None:
        """Kill a run, with all that it started, `after` seconds after a point."""
        self.lab.killed(PLAYBOOK, *self.options(secrets, **more), when=when, after=after)

    def killed_along(self, secrets: str, points: Iterable[tuple[Point, float]]) -> int:
        """Kill a run at one point, the next one at the point after it, and so on to the end of the rotation, which is
        reached undisturbed. Returns how many were killed."""
        kills = 0
        for when, after in points:
            if when == JOURNALED[-1] and not self.under_way():  # the one before was killed a moment too late
                break
            self.killed(secrets, when, after)
            kills += 1
            print(f"killed {kills} times", flush=True)
        if self.under_way():
            result = self.rotate(secrets)
            assert result.returncode == 0, result.stdout[-3000:]
        return kills

    def under_way(self) -> bool:
        """Whether any rotation is."""
        return "' done, '" in self.lab.play(ROOT / "playbooks/secrets.yml").stdout
