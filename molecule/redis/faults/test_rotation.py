# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords are replaced while an application writes: no operation fails."""

from __future__ import annotations

import time

import pytest

from molecule.redis.conftest import MEMBERS, Redis
from tests.chaos.ledger import Ledger, writing
from tests.chaos.services import load
from tests.integration.conftest import ROOT, RunningLab

APP, FILE = "app-c1", "/etc/app/cache.json"
LIFETIME = (0.5, 8.0)


def test_new_passwords_while_the_application_writes(
    lab: RunningLab, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The application's, and all that the members have among themselves."""
    site = lab.play(ROOT / "playbooks/site.yml", "--tags", "credentials", "--limit", APP)
    assert site.returncode == 0, site.stdout[-3000:]
    secrets = [f"redis/{name}" for name in ("app_cache", "admin", "replica", "sentinel")]
    before = {secret: lab.secret(secret) for secret in secrets}
    service, run = load("redis", lab), f"{time.time_ns():x}"
    settings = {**service.prepare(APP, run), "credentials": FILE, "lifetime": LIFETIME}
    with writing(Ledger(lab, APP), service.client, settings, "redis-rotation") as entries:
        time.sleep(1)
        begun = time.monotonic()
        result = lab.play(ROOT / "playbooks/rotate.yml", "--extra-vars", f"rotate_secret={','.join(secrets)}", "--diff")
        seconds = time.monotonic() - begun
        time.sleep(LIFETIME[1] / 2)
    assert result.returncode == 0, result.stdout[-3000:]
    others = [entry for entry in entries if entry.outcome != "acknowledged"]
    assert not others, others[:5]
    numbers = {entry.number for entry in entries}
    assert len(numbers) > 100
    assert all(numbers <= set(present) for present in service.present(run).values())
    for secret, old in before.items():
        assert lab.secret(secret) != old
        assert old not in result.stdout + result.stderr
    found = redis.lab.run(MEMBERS[0], "cat /var/lib/redis/sentinel/sentinel.conf /etc/redis/holdfast-running.conf")
    assert not any(old in found for old in before.values())
    with capsys.disabled():
        print(f"\na rotation of {len(secrets)} passwords took {seconds:.1f} s, {len(numbers)} writes, none failed")
