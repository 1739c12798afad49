# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For which architecture a program is, by its first bytes: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html."""

from __future__ import annotations

import struct
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: e_machine: EM_X86_64, EM_AARCH64.
MACHINES = {62: "amd64", 183: "arm64"}
#: What the kernel calls them (uname -m).
KERNEL = {"x86_64": "amd64", "aarch64": "arm64"}
HEADER = 20
"""Bytes that are needed to tell."""


def of_machine(machine: str) -> str:
    """What this host (`platform.machine()`) is called here. Raises Failed for one that there is nothing for."""
    if machine not in KERNEL:
        raise Failed(f"this host is a {machine}; there are artifacts for {', '.join(sorted(KERNEL))}")
    return KERNEL[machine]


def told(header: bytes) -> str:
    """amd64, arm64, or a description of what it is instead. header: the first HEADER bytes."""
    if len(header) < HEADER or header[:4] != b"\x7fELF":
        return "no Linux machine (no ELF program)"
    order = "<" if header[5] == 1 else ">"
    (machine,) = struct.unpack_from(f"{order}H", header, 18)
    return MACHINES.get(machine, f"an unknown machine (ELF machine {machine})")


def architecture(path: Path) -> str:
    """See told(). Raises OSError."""
    with path.open("rb") as file:
        return told(file.read(HEADER))
