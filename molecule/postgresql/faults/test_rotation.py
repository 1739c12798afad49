# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application's password is replaced while it writes: no operation fails, wherever the controller is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.ledger import Ledger
from tests.chaos.services import load
from tests.integration.conftest import ROOT, RunningLab

ROTATE = ROOT / "playbooks/rotate.yml"
SECRET, FILE, APP = "postgresql/app_rw", "/etc/app/database.json", "app-c1"
LIFETIME = (0.5, 8.0)
#: What the run says when it comes to each write of its journal, and to each part of a phase.
POINTS = [
    "Record the start",
    *(
        f"{what} {phase}"
        for phase in ("added", "verified", "switched", "drained", "retired")
        for what in ("Enter", "Finish")
    ),
    "Forget the old values",
]


@contextmanager
def writing(lab: RunningLab, name: str) -> Iterator[None]:
    """An application writes all the while; afterwards not one of its operations has failed, and all are there."""
    service, run = load("postgresql", lab), f"{time.time_ns():x}"
    ledger = Ledger(lab, APP)
    settings = dict(service.prepare(APP, run))
    connection = {key: value for key, value in settings["connection"].items() if key not in ("user", "password")}
    ledger.start(service.client, {"run": run, "connection": connection, "credentials": FILE, "lifetime": LIFETIME})
    try:
        time.sleep(1)
        yield
        time.sleep(LIFETIME[1] / 2)
        entries = ledger.collect(lab.lab.home / f"{name}.journal")
    finally:
        ledger.discard()
    others = [entry for entry in entries if entry.outcome != "acknowledged"]
    assert not others, others[:5]
    numbers = {entry.number for entry in entries}
    assert len(numbers) > 100
    assert all(numbers <= set(present) for present in service.present(run).values())


def rotate(lab: RunningLab, *more: str, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    return lab.play(ROTATE, "--extra-vars", f"rotate_secret={secret}", *more)


def killed_at(lab: RunningLab, point: str) -> None:
    """Kill a rotation, its workers too, when it says that it comes to a point."""
    argv = ["ansible-playbook", "-i", str(lab.inventory), str(ROTATE), "--extra-vars", f"rotate_secret={SECRET}"]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=lab.environment(), start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        assert any(point in line for line in process.stdout), f"it never came to '{point}'"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_new_password_while_the_application_writes(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    before = lab.credential(SECRET)
    with writing(lab, "rotation"):
        begun = time.monotonic()
        result = rotate(lab, "--diff", "-vvv")
        seconds = time.monotonic() - begun
    assert result.returncode == 0, result.stdout[-3000:]
    after = lab.credential(SECRET)
    assert {before[0], after[0]} == {"app_rw_a", "app_rw_b"}
    assert after[1] != before[1]
    assert before[1] not in result.stdout + result.stderr
    assert after[1] not in result.stdout + result.stderr
    assert lab.run(APP, f"stat -c '%a %U' {FILE}").strip() == "600 root"
    check = lab.play(ROOT / "playbooks/site.yml", "--tags", "postgresql,credentials", "--check")
    assert check.returncode == 0
    assert " changed " not in check.stdout.partition("service ")[0], check.stdout
    with capsys.disabled():
        print(f"\na rotation of one password took {seconds:.1f} s")


def test_the_old_user_is_waited_for_and_others_are_kept_out(lab: RunningLab) -> None:
    """A program that keeps its connection stops the rotation where nothing is lost; another controller is refused."""
    user, password = lab.credential(SECRET)
    target = f"host=postgresql.lab.internal port=5000 dbname=app user={user} sslmode=require connect_timeout=10"
    lab.ssh(APP, "command -v psql || sudo apt-get -qy install postgresql-client >/dev/null")
    argv = [*lab.lab.ssh_command(lab.address(APP)), f"read -r PGPASSWORD; export PGPASSWORD; psql '{target}'"]
    held = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    assert held.stdin
    held.stdin.write(f"{password}\n")
    held.stdin.flush()
    try:
        time.sleep(3)
        result = rotate(lab, "--extra-vars", "postgresql_rotation_drain=0")
        assert result.returncode != 0
        assert f"{user} 1 times from" in result.stdout, result.stdout[-3000:]
        assert "(psql) at the pooler" in result.stdout
        listed = lab.play(ROOT / "playbooks/secrets.yml")
        assert "'switched' done, 'drained' next" in listed.stdout
    finally:
        held.kill()
        held.wait()
    assert rotate(lab, "--extra-vars", "rotate_abort=true").returncode == 0
    assert lab.credential(SECRET) == (user, password)


@pytest.mark.full
def test_killed_anywhere_it_goes_on_and_no_operation_fails(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(lab, "rotation-killed"):
        for point in POINTS:
            before = lab.credential(SECRET)
            killed_at(lab, point)
            result = rotate(lab)
            assert result.returncode == 0, f"after a kill at '{point}': {result.stdout[-3000:]}"
            assert lab.credential(SECRET) != before, point
    with capsys.disabled():
        print(f"\n{len(POINTS)} rotations, each killed once, and finished by the next run")
