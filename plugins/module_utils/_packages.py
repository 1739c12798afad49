# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of a Debian-family host: what is missing, and its installation without any service being started."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

# invoke-rc.d asks this program before it starts a service; 101 forbids it
# (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt).
POLICY = Path("/usr/sbin/policy-rc.d")
OURS = b"#!/bin/sh\n# Holdfast installs packages: no service is started before it has its configuration.\nexit 101\n"
APT = [
    "apt-get",
    "-q",
    "-y",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Dpkg::Options::=--force-confdef",
]
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def missing(names: Iterable[str], status: str) -> list[str]:
    """Which of names are not installed.

    status is what `dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n'` printed; `ii ` and `hi ` are installed
    (dpkg-query(1)). The order of names is kept.
    """
    installed = {line[3:].strip() for line in status.splitlines() if line[:2] in ("ii", "hi")}
    return [name for name in names if name not in installed]


def planned(simulation: str) -> list[str]:
    """The packages that an `apt-get --simulate install` would set up: its `Inst name ...` lines, sorted."""
    return sorted({line.split()[1] for line in simulation.splitlines() if line.startswith("Inst ")})


def insist(files: str, version: str, key: str) -> None:
    """Raise Failed when a file of the pattern `files` names another version than the one that key asks for."""
    for path in sorted(glob.glob(files)):  # noqa: PTH207 - the pattern is absolute
        found = Path(path).read_text(encoding="utf-8").strip()
        if found != version:
            raise Failed(
                f"{key} is {version}, and {path} says {found}: packages of another major version can't run these data, "
                f"and nothing was changed. Set {key}: {found}; to a new major version leads docs/operations/upgrade.md"
            )


def read_missing(names: list[str]) -> list[str]:
    """Ask dpkg which of names are missing. Raises Failed on a host without dpkg."""
    done = run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *names], check=False)
    return missing(names, done.out)


@contextlib.contextmanager
def services_stay_down() -> Iterator[None]:
    """Let no package start its service: a service starts after it has its configuration, not before.

    A policy that the host already has is put aside as it is, and back afterwards, also when the installation fails.
    """
    allow_services()  # a run that was killed may have left its policy
    if os.path.lexists(POLICY):
        POLICY.replace(_aside())
    descriptor, temporary = tempfile.mkstemp(dir=POLICY.parent, prefix=".policy-rc.d-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(OURS)
    Path(temporary).chmod(0o755)
    Path(temporary).replace(POLICY)
    try:
        yield
    finally:
        allow_services()


def _aside() -> Path:
    """Where the host's own policy waits while ours is in force."""
    return POLICY.with_name("policy-rc.d.kept-by-holdfast")


def allow_services() -> None:
    """Take our policy away, and put the host's own back; nothing when ours is not in force."""
    ours = POLICY.is_file() and POLICY.read_bytes() == OURS
    if os.path.lexists(_aside()) and (ours or not os.path.lexists(POLICY)):
        _aside().replace(POLICY)
    elif ours:
        POLICY.unlink()


def write_before(files: dict[str, str]) -> None:
    """Write configuration that a package reads while it is being installed: a path and its content each."""
    for path, content in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")


def install(names: list[str], *, check: bool) -> list[str]:
    """Install names and what they need; the package lists are renewed when a name is not in them.

    Returns the packages that were (with check: would be) set up. Raises Failed with what apt said.
    """
    simulation = run([*APT, "--simulate", "--no-install-recommends", "install", *names], env=QUIET, check=False)
    if simulation.status and not check:
        run([*APT, "update"], env=QUIET)
        simulation = run([*APT, "--simulate", "--no-install-recommends", "install", *names], env=QUIET, check=False)
    if simulation.status:
        if check:  # package lists that are missing or old: a run would renew them first
            return sorted(names)
        raise Failed(f"apt can't install {', '.join(names)}: {simulation.err.strip()[-2000:]}")
    plan = planned(simulation.out)
    if not check:
        with services_stay_down():
            done = run([*APT, "--no-install-recommends", "install", *names], env=QUIET, timeout=1800, check=False)
            if done.status:
                # A run that was killed may have left packages half done; apt asks for a person's hand then.
                repair = ["dpkg", "--configure", "-a", "--force-confold", "--force-confdef"]
                run(repair, env=QUIET, timeout=1800, check=False)
                # And the lists may name files that the archive has replaced since.
                run([*APT, "update"], env=QUIET)
                run([*APT, "--no-install-recommends", "install", *names], env=QUIET, timeout=1800)
    return plan
