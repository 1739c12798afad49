# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords are replaced while applications write: no operation fails, wherever the controller is killed."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from molecule.redis.conftest import MEMBERS, Redis
from tests.chaos.ledger import Entry
from tests.chaos.services import load
from tests.chaos.unharmed import unharmed
from tests.integration.conftest import ROOT, RunningLab

FILE = "/etc/app/cache.json"
#: Hosts that write, and for how long their connections live, in seconds: some connect all the time, some hold on.
WRITERS = {"app-c1": (0.5, 8.0), "data-b1": (5.0, 20.0)}
SECRETS = [f"redis/{name}" for name in ("app_cache", "admin", "replica", "sentinel")]
PLAY = ROOT / "playbooks/rotate.yml"
PHASES = ("added", "verified", "switched", "drained", "retired")


@dataclass
class Rotation:
    """Rotations of all passwords of Redis."""

    lab: RunningLab

    def options(self, **more: Any) -> list[str]:
        """The options of a run. The second host that writes is told of new values as the first one is."""
        entry = [{"secret": SECRETS[0], "path": FILE}]
        files = f"{{{{ {entry} if inventory_hostname in {list(WRITERS)} else [] }}}}"
        return ["--extra-vars", json.dumps({"rotate_secret": ",".join(SECRETS), "credentials_files": files, **more})]

    def rotate(self, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.lab.play(PLAY, *self.options(**more), *options)

    def killed(self, point: str) -> None:
        """Kill a run, with all that it started, when it comes to something."""
        self.lab.killed(PLAY, *self.options(), when=point, after=0.4)

    def known(self) -> dict[str, str]:
        return {secret: self.lab.secret(secret) for secret in SECRETS}

    def under_way(self) -> bool:
        return "' done, '" in self.lab.play(ROOT / "playbooks/secrets.yml").stdout

    def clients(self, name: str) -> AbstractContextManager[list[Entry]]:
        """Two hosts write all the while, with what their files say; a busy machine may let them wait."""
        clients = {
            host: {"credentials": FILE, "lifetime": lifetime, "timeout": 30} for host, lifetime in WRITERS.items()
        }
        return unharmed(load("redis", self.lab), clients, name)

    def judge(self, before: dict[str, str], redis: Redis) -> None:
        """Every value is another one, and nothing that a member keeps holds an old one."""
        after = self.known()
        assert not set(after.values()) & set(before.values())
        files = "cat /var/lib/redis/sentinel/sentinel.conf /etc/redis/*.conf /etc/redis/*.acl 2>/dev/null || true"
        for host in MEMBERS:
            found = redis.lab.run(host, files)
            assert "sentinel" in found
            assert not any(old in found for old in before.values())


@pytest.fixture(scope="module")
def rotation(lab: RunningLab) -> Rotation:
    """Rotations, with both hosts that write ready for it."""
    rotation = Rotation(lab)
    done = lab.play(ROOT / "playbooks/site.yml", "--tags", "credentials", *rotation.options())
    assert done.returncode == 0, done.stdout[-3000:]
    return rotation


def test_new_passwords_while_applications_write(
    rotation: Rotation, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The applications', and all that the members have among themselves."""
    before = rotation.known()
    with rotation.clients("redis-rotation") as entries:
        begun = time.monotonic()
        result = rotation.rotate("--diff")
        seconds = time.monotonic() - begun
    assert result.returncode == 0, result.stdout[-3000:]
    rotation.judge(before, redis)
    assert not any(value in result.stdout + result.stderr for value in (*before.values(), *rotation.known().values()))
    with capsys.disabled():
        print(f"\na rotation of {len(SECRETS)} passwords took {seconds:.1f} s, {len(entries)} writes, none failed")


@pytest.mark.full
def test_killed_anywhere(rotation: Rotation, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """A run is killed at one point, the next one at the point after it, and so on to the end of the rotation."""
    points = [
        "Record the start",
        *(f"{what} {phase}" for phase in PHASES for what in ("Enter", "Finish")),
        "Forget the old values",
    ]
    before, kills = rotation.known(), 0
    with rotation.clients("redis-killed") as entries:
        for point in points:
            if point == points[-1] and not rotation.under_way():  # killed a moment too late
                break
            rotation.killed(point)
            kills += 1
        if rotation.under_way():
            result = rotation.rotate()
            assert result.returncode == 0, result.stdout[-3000:]
    with capsys.disabled():
        print(f"\nkilled {kills} times, {len(entries)} writes, none failed")
    rotation.judge(before, redis)


@pytest.mark.full
def test_aborted_after_each_phase_the_old_values_are_back(rotation: Rotation, redis: Redis) -> None:
    before = rotation.known()
    with rotation.clients("redis-aborted"):
        for phase in PHASES:
            rotation.killed(f"Enter {phase}")
            if phase == PHASES[-1]:  # the old values are about to be refused: there is no way back
                break
            result = rotation.rotate(rotate_abort=True)
            assert result.returncode == 0, f"{phase}: {result.stdout[-3000:]}"
            assert rotation.known() == before, phase
            assert redis.cli("ping") == "PONG"
        result = rotation.rotate(rotate_abort=True)
        if result.returncode != 0:
            assert "the old value is refused already" in result.stdout, result.stdout[-3000:]
            assert rotation.rotate().returncode == 0
    verified = redis.play("verify")
    assert verified.returncode == 0, verified.stdout[-3000:]
