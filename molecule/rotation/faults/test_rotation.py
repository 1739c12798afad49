# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials are replaced while clients write: no operation fails, wherever the controller is killed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from molecule.rotation.conftest import APP, MEMBERS, OWN, Rotation
from tests.integration.conftest import PROGRAMS, ROOT, RunningLab
from tests.rotations import JOURNALED, PHASES, PLAYBOOK, Point, within

WRITER = "app-c1"
EVERY = (*OWN, APP)


def test_every_kind_at_once_while_two_hosts_write(
    rotation: Rotation, lab: RunningLab, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rotation.known(*EVERY)
    with rotation.clients("rotation") as entries:
        begun = time.monotonic()
        result = lab.play(PLAYBOOK, *rotation.options(",".join(EVERY)), "--diff", "-vvv")
        seconds = time.monotonic() - begun
    assert result.returncode == 0, result.stdout[-3000:]
    after = rotation.known(*EVERY)
    rotation.judge(before, after)
    for _, password in (*before.values(), *after.values()):
        assert password not in result.stdout + result.stderr
    check = lab.play(ROOT / "playbooks/site.yml", "--tags", "etcd,postgresql", "--check")
    assert check.returncode == 0
    assert " changed " not in check.stdout.partition("service ")[0], check.stdout
    with capsys.disabled():
        print(f"\n{len(EVERY)} credentials in {seconds:.1f} s, {len(entries)} operations, none failed")


def test_killed_it_goes_on(rotation: Rotation) -> None:
    """The same rotation three times; every run goes on where the one before it was."""
    before = rotation.known(*EVERY)
    with rotation.clients("rotation-killed"):
        for phase, task in (
            ("added", "Finish"),
            ("switched", "Apply the configuration"),
            ("retired", "Accept what is"),
        ):
            rotation.killed(",".join(EVERY), within(phase, task), after=0.5)
        result = rotation.rotate(",".join(EVERY))
    assert result.returncode == 0, result.stdout[-3000:]
    rotation.judge(before, rotation.known(*EVERY))


def test_a_second_controller_is_refused(rotation: Rotation, lab: RunningLab, tmp_path: Path) -> None:
    """By the store while both work from the same one, and by the hosts when the other has a copy of its own."""
    secret, copy = "postgresql/rewind", tmp_path / "secrets"
    shutil.copytree(lab.lab.home / "secrets", copy)
    argv: list[str | Path] = [PROGRAMS / "ansible-playbook", "-i", lab.inventory, PLAYBOOK]
    with subprocess.Popen(
        [*argv, *rotation.options(secret)], cwd=ROOT, env=lab.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as first:  # fmt: skip
        assert first.stdout
        assert any("Enter verified" in line for line in first.stdout)
        mine = rotation.rotate(secret)
        other = rotation.rotate(secret, secrets_dir=str(copy))
        said = first.stdout.read()
    assert first.returncode == 0, said
    assert mine.returncode != 0
    assert "is at work on its rotation" in mine.stdout, mine.stdout[-3000:]
    assert other.returncode != 0
    assert "is at work on a rotation, for another" in other.stdout, other.stdout[-3000:]


@pytest.mark.full
def test_the_old_user_is_waited_for(rotation: Rotation, lab: RunningLab) -> None:
    """A program that keeps its connection stops the rotation where nothing is lost, and it can be aborted there."""
    user, password = lab.credential(APP)
    target = f"host=postgresql.lab.internal port=5000 dbname=app user={user} sslmode=require connect_timeout=10"
    lab.ssh(WRITER, "command -v psql || sudo apt-get -qy install postgresql-client >/dev/null")
    argv = [*lab.lab.ssh_command(lab.address(WRITER)), f"read -r PGPASSWORD; export PGPASSWORD; psql '{target}'"]
    held = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    assert held.stdin
    held.stdin.write(f"{password}\n")
    held.stdin.flush()
    try:
        time.sleep(3)
        result = rotation.rotate(APP, postgresql_rotation_drain=0)
        assert result.returncode != 0
        assert f"{user} 1 times from" in result.stdout, result.stdout[-3000:]
        assert "(psql) at the pooler" in result.stdout
        listed = lab.play(ROOT / "playbooks/secrets.yml")
        assert "'switched' done, 'drained' next" in listed.stdout
    finally:
        held.kill()
        held.wait()
    assert rotation.rotate(APP, rotate_abort=True).returncode == 0
    assert lab.credential(APP) == (user, password)
    shown = lab.play(ROOT / "playbooks/evidence.yml").stdout
    assert "rotate-abort" in shown, shown


@pytest.mark.full
def test_aborted_after_each_phase_the_old_values_are_back(rotation: Rotation) -> None:
    with rotation.clients("rotation-aborted"):
        # Once the last phase has been entered there is no way back, so the last point is the end of the one before.
        for point in (*(f"Enter {phase}" for phase in PHASES[:-1]), f"Finish {PHASES[-2]}"):
            before = rotation.known(*EVERY)
            rotation.killed(",".join(EVERY), point)
            result = rotation.rotate(",".join(EVERY), rotate_abort=True)
            assert result.returncode == 0, f"at '{point}': {result.stdout[-3000:]}"
            assert rotation.known(*EVERY) == before, point
            for secret, known in before.items():
                assert rotation.gets_in("data-a1", secret, *known), f"{secret} at '{point}'"
    rotation.killed(",".join(EVERY), within("retired", "Make sure that the old values"))
    result = rotation.rotate(",".join(EVERY), rotate_abort=True)
    assert result.returncode != 0
    assert "the old value is refused already" in result.stdout
    assert rotation.rotate(",".join(EVERY)).returncode == 0


# Prints what this host's member of etcd says to a login that is signed here, with the key that stdin has.
SIGNED = """
import base64, hmac, json, socket, ssl, sys, time, urllib.error, urllib.request
def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
claims = {"username": "root", "revision": 1, "exp": int(time.time()) + 300}
body = b".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims))
token = body + b"." + part(hmac.digest(sys.stdin.read().encode() + b"\\n", body, "sha256"))
tls = ssl.create_default_context(cafile="/etc/holdfast/pki/etcd/ca.crt")
tls.load_cert_chain("/etc/holdfast/pki/etcd/etcd.crt", "/etc/holdfast/pki/etcd/etcd.key")
url = "https://" + socket.gethostname() + ":2379/v3/kv/range"
request = urllib.request.Request(url, json.dumps({"key": "Lw=="}).encode(), {"Authorization": token.decode()})
try:
    print(urllib.request.urlopen(request, context=tls, timeout=20).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


@pytest.mark.full
def test_another_key_of_etcds_logins(rotation: Rotation, lab: RunningLab) -> None:
    """Members restart, and know different keys meanwhile, for longer when the run is killed."""
    secret = "etcd/token"
    old = lab.secret(secret)
    with rotation.clients("rotation-token"):
        rotation.killed(secret, within("switched", "Run the member"), after=4)
        result = rotation.rotate(secret)
        assert result.returncode == 0, result.stdout[-3000:]
    new = lab.secret(secret)
    for host in MEMBERS:
        for key, answer in ((new, "auth store is old"), (old, "invalid auth token")):
            said = lab.run(host, f"python3 -c '{SIGNED}'", key)
            assert answer in said, said
    assert lab.play(ROOT / "playbooks/verify.yml").returncode == 0


#: What happens between two writes of the journal, for credentials of services and of applications.
BETWEEN = [
    ("added", "Keep other controllers out"),
    ("added", "Accept what is used"),
    ("verified", "Try the new values"),
    ("switched", "Accept what is used"),
    ("switched", "Apply the configuration"),
    ("switched", "Run the member"),
    ("switched", "Lay down what the programs"),
    ("drained", "Wait until nobody uses"),
    ("drained", "Log in with the new values"),
    ("retired", "Accept what is used"),
    ("retired", "Make sure that the old values"),
]


SINGLE = [path for path in OWN if not OWN[path][1]]
PAIRED = [path for path in OWN if OWN[path][1]]


@pytest.mark.full
@pytest.mark.parametrize(
    ("secrets", "points"),
    [
        pytest.param(EVERY, [(within(*point), after) for point in BETWEEN for after in (0.0, 0.7)], id="between"),
        pytest.param(EVERY, [(point, after) for point in JOURNALED for after in (0.0, 0.7)], id="journaled"),
        pytest.param([APP], [(point, 0.4) for point in JOURNALED], id="application"),
        pytest.param(PAIRED, [(point, 0.4) for point in JOURNALED], id="alternate"),
        pytest.param(SINGLE, [(point, 0.4) for point in JOURNALED], id="replace"),
    ],
)
def test_killed_anywhere(
    rotation: Rotation,
    secrets: Sequence[str],
    points: Sequence[tuple[Point, float]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run is killed at one point, the next one at the point after it, and so on to the end of the rotation. What it
    leaves is what rotations before and after it leave that nobody disturbs."""
    named = ",".join(secrets)
    assert rotation.rotate(named).returncode == 0
    undisturbed = rotation.state()
    before = rotation.known(*secrets)
    begun = time.monotonic()
    with rotation.clients("rotation-killed"):
        kills = rotation.killed_along(named, points)
    with capsys.disabled():
        print(f"\n{len(secrets)} credentials: killed {kills} times in {time.monotonic() - begun:.0f} s")
    rotation.judge(before, rotation.known(*secrets))
    assert rotation.rotate(named).returncode == 0
    assert rotation.state() == undisturbed
