# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords are replaced while applications write: no operation fails, wherever the controller is killed."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from molecule.redis.conftest import MEMBERS, Redis
from tests.chaos.ledger import Entry
from tests.chaos.services import load
from tests.chaos.unharmed import unharmed
from tests.integration.conftest import RunningLab
from tests.rotations import JOURNALED, PHASES, WRITERS, Rotations

FILE = "/etc/app/cache.json"
SECRETS = [f"redis/{name}" for name in ("app_cache", "admin", "replica", "sentinel")]
EVERY = ",".join(SECRETS)


@dataclass
class Rotation(Rotations):
    """Rotations of all passwords of Redis."""

    def known(self) -> dict[str, str]:
        return {secret: self.lab.secret(secret) for secret in SECRETS}

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
    rotation = Rotation(lab, {"secret": SECRETS[0], "path": FILE})
    rotation.prepare()
    return rotation


def test_new_passwords_while_applications_write(
    rotation: Rotation, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The applications', and all that the members have among themselves."""
    before = rotation.known()
    with rotation.clients("redis-rotation") as entries:
        begun = time.monotonic()
        result = rotation.rotate(EVERY, "--diff")
        seconds = time.monotonic() - begun
    assert result.returncode == 0, result.stdout[-3000:]
    rotation.judge(before, redis)
    assert not any(value in result.stdout + result.stderr for value in (*before.values(), *rotation.known().values()))
    with capsys.disabled():
        print(f"\na rotation of {len(SECRETS)} passwords took {seconds:.1f} s, {len(entries)} writes, none failed")


@pytest.mark.full
def test_killed_anywhere(rotation: Rotation, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """A run is killed at one point, the next one at the point after it, and so on to the end of the rotation."""
    before = rotation.known()
    with rotation.clients("redis-killed") as entries:
        kills = rotation.killed_along(EVERY, [(point, 0.4) for point in JOURNALED])
    with capsys.disabled():
        print(f"\nkilled {kills} times, {len(entries)} writes, none failed")
    rotation.judge(before, redis)


@pytest.mark.full
def test_aborted_after_each_phase_the_old_values_are_back(rotation: Rotation, redis: Redis) -> None:
    before = rotation.known()
    with rotation.clients("redis-aborted"):
        for phase in PHASES:
            rotation.killed(EVERY, f"Enter {phase}")
            if phase == PHASES[-1]:  # the old values are about to be refused: there is no way back
                break
            result = rotation.rotate(EVERY, rotate_abort=True)
            assert result.returncode == 0, f"{phase}: {result.stdout[-3000:]}"
            assert rotation.known() == before, phase
            assert redis.cli("ping") == "PONG"
        result = rotation.rotate(EVERY, rotate_abort=True)
        if result.returncode != 0:
            assert "the old value is refused already" in result.stdout, result.stdout[-3000:]
            assert rotation.rotate(EVERY).returncode == 0
    verified = redis.play("verify")
    assert verified.returncode == 0, verified.stdout[-3000:]
