# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a site's inventory takes to list, and how much memory: `python -m tests.bench.bench_inventory [hosts ...]`.

Every line is one whole `ansible-inventory --list` process on one core, the fastest of three, of a site file with that
many listed hosts over three zones. CPU seconds are what it takes on a core of its own, and what is judged; the seconds
on the clock are more where the machine is shared. `--programs` names the directories of further installations.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LIMIT = 5.0  # seconds for 10,000 hosts: docs/site.md, design section 7


def site_file(hosts: int) -> Iterator[str]:
    """Yield the lines of a site file: three database hosts, the rest application hosts, a zone after the other."""
    yield "plugin: holdfast.platform.site"
    yield "name: bench"
    yield "domain: bench.internal"
    yield "admin: [10.0.0.5]"
    yield "zones:"
    for zone, second in zip("abc", (10, 20, 30), strict=True):
        yield f"  {zone}: {{cidr: {{data: 10.{second}.0.0/16, app: 10.{second + 1}.0.0/16}}}}"
    yield "pools:"
    for pool, tier, services, numbers in (
        ("data", "data", "[etcd, postgresql]", range(3)),
        ("app", "app", "[]", range(3, hosts)),
    ):
        yield f"  {pool}:\n    tier: {tier}\n    services: {services}\n    hosts:"
        for number in numbers:
            address = IPv4Address(f"10.{10 * (number % 3 + 1) + (tier == 'app')}.0.10") + number
            yield f"      - {{name: {pool}{number}, zone: {'abc'[number % 3]}, address: {address}}}"


def listed(program: Path, source: Path) -> tuple[float, float, float]:
    """List an inventory once on one core. Return CPU seconds, seconds, and the peak of resident memory in MiB."""
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
    }
    core = {min(os.sched_getaffinity(0))}
    began = time.monotonic()
    process = subprocess.Popen(
        [program, "-i", source, "--list"],
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    os.sched_setaffinity(process.pid, core)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Print one line for each installation and number of hosts; fail when 10,000 hosts take too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", type=int, default=[1000, 5000, 10000])
    parser.add_argument("--programs", nargs="*", type=Path, default=[Path(sys.executable).parent])
    given = parser.parse_args()
    slow = False
    print(f"{'core':<10}{'hosts':>8}{'CPU s':>8}{'clock s':>9}{'CPU ms per host':>17}{'MiB':>6}")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "site.yml"
        for programs in given.programs:
            program = programs / "ansible-inventory"
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            core = version.split("core ", 1)[1].split("]", 1)[0]
            for hosts in given.hosts:
                source.write_text("\n".join(site_file(hosts)) + "\n", encoding="utf-8")
                used, seconds, memory = min(listed(program, source) for _ in range(3))
                slow |= hosts <= 10000 and used > LIMIT
                print(f"{core:<10}{hosts:>8}{used:>8.2f}{seconds:>9.2f}", end="")
                print(f"{1000 * used / hosts:>17.2f}{memory:>6.0f}", flush=True)
    if slow:
        raise SystemExit(f"more than {LIMIT:g} s for 10,000 hosts or fewer")


if __name__ == "__main__":
    main()
