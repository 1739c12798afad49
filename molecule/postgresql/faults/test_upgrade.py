# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Newer packages, rebuilt from those that are installed, reach every member, also when the controller is killed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import ROOT, RunningLab
from tests.integration.postgresql_client import Cluster, Psql

UPGRADE = ROOT / "playbooks/upgrade.yml"
MEMBERS = ("data-a1", "data-b1", "data-c1")
PACKAGES = ("patroni", "postgresql-17")
LIST = "/etc/apt/sources.list.d/newer.list"

# Prints an archive of a local repository: PACKAGES with a higher version, nothing else changed.
REBUILD = r"""
set -e
rm -rf /var/tmp/newer && mkdir -p /var/tmp/newer/out && cd /var/tmp/newer
for name in $PACKAGES; do
  # What the archive has: what is installed may be an earlier product of this script.
  apt-get -qq download "$name=$(apt-cache madison "$name" | cut -d'|' -f2 | tr -d ' ' | head -n 1)" 2>/dev/null
done
for deb in *.deb; do
  dpkg-deb -R "$deb" tree
  sed -i "s/^Version: .*/&+lab$SUFFIX/" tree/DEBIAN/control
  dpkg-deb -Zgzip -z1 -b tree "out/$deb" >/dev/null
  rm -rf tree
done
cd out
for deb in *.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
tar -cf - .
"""
INSTALL = f"""
set -e
rm -rf /srv/newer && mkdir -p /srv/newer && tar -C /srv/newer -xf -
echo 'deb [trusted=yes] file:/srv/newer ./' > {LIST}
"""


def root(lab: RunningLab, host: str, script: str, data: bytes = b"") -> bytes:
    """Run a script on a host as root, with data on its standard input."""
    argv = [*lab.lab.ssh_command(lab.address(host)), f"sudo sh -c {shlex.quote(script)}"]
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True, timeout=300).stdout


def versions(lab: RunningLab) -> dict[str, set[str]]:
    """Versions of each package over the members."""
    found: dict[str, set[str]] = {name: set() for name in PACKAGES}
    for host in MEMBERS:
        for line in lab.ssh(host, f"dpkg-query -W {' '.join(PACKAGES)}").stdout.splitlines():
            name, version = line.split("\t")
            found[name].add(version)
    return found


def records(lab: RunningLab) -> list[dict[str, Any]]:
    lines = (lab.lab.home / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["operation"] == "upgrade"]


def offer(lab: RunningLab, suffix: str) -> None:
    """Let apt on every member know newer packages."""
    for host in MEMBERS:
        lab.ssh(host, f"sudo rm -f {LIST}; sudo apt-get -q update")
    archive = root(lab, "data-a1", f"PACKAGES='{' '.join(PACKAGES)}' SUFFIX={suffix}\n{REBUILD}")
    for host in MEMBERS:
        root(lab, host, INSTALL, archive)


@pytest.fixture(scope="module", autouse=True)
def _no_leftovers(lab: RunningLab) -> Iterator[None]:
    yield
    for host in MEMBERS:
        lab.ssh(host, f"sudo rm -rf /srv/newer /var/tmp/newer {LIST}; sudo apt-get -q update")


def test_an_open_transaction_stops_it_before_anything_changes(lab: RunningLab) -> None:
    offer(lab, "1")
    before = versions(lab)
    sleep = "psql -d postgres -c 'BEGIN' -c 'SELECT 1' -c 'SELECT pg_sleep(20)' >/dev/null"
    lab.ssh("data-c1", f'sudo -u postgres setsid -f sh -c "{sleep}" </dev/null >/dev/null 2>&1; sleep 3')
    done = lab.play(UPGRADE, "--tags", "postgresql", "-e", "postgresql_upgrade_longest_transaction=1")
    assert done.returncode != 0
    assert "has a transaction that is open for" in done.stdout
    assert versions(lab) == before


def test_replicas_first_the_leader_last(lab: RunningLab, cluster: Cluster, psql: Psql) -> None:
    leader = next(name for name, member in cluster().items() if member["Role"] == "Leader")
    begin = time.monotonic()
    done = lab.play(UPGRADE, "--tags", "postgresql")
    assert done.returncode == 0, done.stdout
    print(f"upgraded after {time.monotonic() - begin:.0f} s")
    assert all(len(found) == 1 and found.pop().endswith("+lab1") for found in versions(lab).values())
    members = cluster()
    assert members[leader]["Role"] != "Leader"
    assert {member["State"] for name, member in members.items() if member["Role"] != "Leader"} == {"streaming"}
    assert psql("SELECT 1").stdout.strip() == "1"
    record = records(lab)[-1]
    assert (record["outcome"], record["figures"]["members"], record["figures"]["switchovers"]) == ("succeeded", 3, 1)
    again = lab.play(UPGRADE, "--tags", "postgresql")
    assert again.returncode == 0, again.stdout
    assert records(lab)[-1]["figures"]["members"] == 0


def test_a_killed_upgrade_goes_on_where_it_was(lab: RunningLab, cluster: Cluster) -> None:
    offer(lab, "2")
    run = subprocess.Popen(
        [ROOT / ".venv/bin/ansible-playbook", "-i", lab.inventory, UPGRADE, "--tags", "postgresql"],
        cwd=ROOT,
        env=lab.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 300
    while not any(version.endswith("+lab2") for version in versions(lab)["patroni"]):
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.5)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    done = lab.play(UPGRADE, "--tags", "postgresql")
    assert done.returncode == 0, done.stdout
    assert all(len(found) == 1 and found.pop().endswith("+lab2") for found in versions(lab).values())
    outcomes = [record["outcome"] for record in records(lab)[-3:]]
    assert outcomes == ["started", "started", "succeeded"]
    shown = lab.play(ROOT / "playbooks/evidence.yml")
    assert shown.returncode == 0, shown.stdout
    assert "no outcome: killed or still running" in shown.stdout
    assert len(cluster()) == len(MEMBERS)
