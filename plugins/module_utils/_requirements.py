# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has to be before a service is installed on it, told all at once and before anything is changed."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


@dataclass(frozen=True)
class Wanted:
    """What is required. `kernel` is a version, `memory` is in MiB, `modules` are kernel modules and what shows that one
    is in force, `controllers` are those of cgroups, `ports` are TCP ports that nobody may listen on yet."""

    kernel: str = ""
    memory: int = 0
    swap: bool = True
    controllers: Sequence[str] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()


@dataclass(frozen=True)
class Host:
    """What a host is. `swap` are the devices and files in use, `lost` the modules that are neither there nor to be had,
    `listening` TCP ports."""

    kernel: str
    memory: int
    swap: Sequence[str]
    controllers: frozenset[str]
    lost: Sequence[str]
    listening: frozenset[int]


def judge(wanted: Wanted, host: Host) -> list[str]:
    """What the host lacks, in words, and what would be right."""
    problems = []
    if wanted.kernel and _version(host.kernel) < _version(wanted.kernel):
        problems.append(f"the kernel is {host.kernel}; {wanted.kernel} or newer is needed")
    if host.memory < wanted.memory:
        problems.append(f"the host has {host.memory} MiB of memory; {wanted.memory} are needed")
    if host.swap and not wanted.swap:
        problems.append(f"swap is on ({', '.join(host.swap)}); turn it off for good (`swapoff -a`, /etc/fstab)")
    if absent := [name for name in wanted.controllers if name not in host.controllers]:
        problems.append(f"cgroups have no controller {', '.join(absent)}; the kernel's command line may disable it")
    problems += [
        f"the kernel has no {name}, and no module of that name to load (expected {wanted.modules[name]})"
        for name in host.lost
    ]
    problems += [
        f"port {port} is in use already; end what listens there (`ss -ltnp`), or move it by site_ports"
        for port in wanted.ports
        if port in host.listening
    ]
    return problems


def read(wanted: Wanted) -> Host:
    """Look at this host."""
    (kib,) = re.findall(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    return Host(
        kernel=platform.release(),
        memory=int(kib) // 1024,
        swap=[line.split()[0] for line in Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]],
        controllers=_controllers(),
        lost=[name for name, shown in wanted.modules.items() if not Path(shown).exists() and not _loadable(name)],
        listening=frozenset(port for table in ("tcp", "tcp6") for port in _listening(Path("/proc/net") / table)),
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _controllers() -> frozenset[str]:
    """Those of the unified hierarchy where there is one, else of version 1."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return frozenset(unified.read_text(encoding="utf-8").split())
    rows = [line.split() for line in Path("/proc/cgroups").read_text(encoding="utf-8").splitlines()[1:]]
    return frozenset(row[0] for row in rows if row[3] == "1")


def _loadable(module: str) -> bool:
    try:
        return run(["modprobe", "--dry-run", "--quiet", module], check=False).status == 0
    except Failed:  # no kmod, no modules
        return False


def _listening(table: Path) -> list[int]:
    """TCP ports in state LISTEN (0A): https://docs.kernel.org/networking/proc_net_tcp.html."""
    rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines()[1:]] if table.exists() else []
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"]
