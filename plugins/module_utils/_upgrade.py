# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Newer packages of a member: what is due, and getting it.

What is due is asked of the host each time, so that an upgrade that was cut off goes on where it was: a package is due
when apt knows a newer version, a unit when it runs since before its package was unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _packages
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

DPKG_INFO = Path("/var/lib/dpkg/info")
#: Bytes that have to be free where packages land, beside what apt itself asks for.
ROOM = 512 * 1024 * 1024


@dataclass(frozen=True)
class Package:
    """A package as apt and dpkg know it: installed and candidate version, and when it was unpacked (seconds, epoch)."""

    name: str
    installed: str
    candidate: str
    unpacked: float = 0.0


@dataclass(frozen=True)
class Due:
    """What has to be done: packages by name with `old version -> new version`, and units to restart, in their order."""

    packages: Mapping[str, str] = field(default_factory=dict)
    units: Sequence[str] = ()


def parse_policy(text: str) -> dict[str, tuple[str, str]]:
    """Versions from what `apt-cache policy` printed: {name: (installed, candidate)}; '' for (none)."""
    found: dict[str, tuple[str, str]] = {}
    name, installed = "", ""
    for line in text.splitlines():
        key, _, value = line.strip().partition(": ")
        if line and not line[0].isspace():
            name = line.rstrip(":")
        elif key == "Installed":
            installed = "" if value == "(none)" else value
        elif key == "Candidate":
            found[name] = (installed, "" if value == "(none)" else value)
    return found


def decide(packages: Iterable[Package], owners: Mapping[str, str], started: Mapping[str, float]) -> Due:
    """What is due.

    owners: the unit that runs a package, {package: unit}. started: since when each unit runs (seconds, epoch; 0 for one
    that does not run), in the order of their start. A candidate that differs is newer: apt picks the one to go to.
    """
    newer = {
        package.name: f"{package.installed} -> {package.candidate}"
        for package in packages
        if package.installed and package.candidate and package.candidate != package.installed
    }
    stale = {
        owners[package.name] for package in packages if 0 < started.get(owners[package.name], 0) < package.unpacked
    }
    stale |= {owners[name] for name in newer}
    return Due(newer, [unit for unit in started if unit in stale])


def started(shown: str, unit: str) -> float:
    """Seconds since the epoch at which a unit's program began; 0 when it does not run, or has none (a timer, say).

    shown: what `systemctl show -p Id,ExecMainStartTimestamp --timestamp=unix` printed.
    """
    for block in shown.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        when = values.get("ExecMainStartTimestamp", "")
        if values.get("Id") == unit and when.startswith("@"):
            return float(when[1:])
    return 0.0


def read(owners: Mapping[str, str], units: Sequence[str]) -> Due:
    """Ask apt, dpkg and systemd. Raises Failed."""
    policy = parse_policy(run(["apt-cache", "policy", *owners]).out)
    packages = [Package(name, *policy.get(name, ("", "")), unpacked=_unpacked(name)) for name in owners]
    shown = run(["systemctl", "show", "--timestamp=unix", "-p", "Id,ExecMainStartTimestamp", "--", *units]).out
    return decide(packages, owners, {unit: started(shown, unit) for unit in units})


def _unpacked(name: str) -> float:
    """When dpkg last unpacked a package."""
    paths = [DPKG_INFO / f"{name}.list", *DPKG_INFO.glob(f"{name}:*.list")]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def fetch(owners: Mapping[str, str], units: Sequence[str]) -> Due:
    """Renew the package lists and download what is due; nothing is installed. Raises Failed."""
    run([*_packages.APT, "update", "--error-on=any"], env=_packages.QUIET)
    due = read(owners, units)
    for path in ("/usr", "/var"):
        free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        if due.packages and free < ROOM:
            raise Failed(f"{path} has {free >> 20} MiB free; an upgrade wants {ROOM >> 20} MiB")
    if due.packages:
        run([*_packages.APT, "--download-only", "--only-upgrade", "install", *due.packages], env=_packages.QUIET)
    return due


def install(names: Iterable[str]) -> None:
    """Bring packages to their candidates without any service being stopped or started. Raises Failed."""
    command = [*_packages.APT, "--only-upgrade", "install", *names]
    with _packages.services_stay_down():
        done = run(command, env=_packages.QUIET, timeout=1800, check=False)
        if done.status:  # a run that was killed may have left packages half done
            repair = ["dpkg", "--configure", "-a", "--force-confold", "--force-confdef"]
            run(repair, env=_packages.QUIET, timeout=1800, check=False)
            run(command, env=_packages.QUIET, timeout=1800)
