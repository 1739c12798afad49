# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has seen of the site's evidence: a file for each chain, a line `<sequence> <hash>` for each head."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path("/var/lib/holdfast/evidence")


def heads(text: str) -> list[list[object]]:
    """The heads in a file's text as [sequence, hash]; a line that a crash cut off is left out."""
    found = (re.fullmatch(r"(\d+) ([0-9a-f]{64})", line) for line in text.splitlines())
    return [[int(match[1]), match[2]] for match in found if match]


def read(root: Path = ROOT) -> dict[str, list[list[object]]]:
    """What this host has seen, {chain: heads}. Raises OSError."""
    paths = sorted(root.iterdir()) if root.is_dir() else []
    return {path.name: heads(path.read_text(encoding="ascii", errors="replace")) for path in paths}


def keep(chain: str, sequence: int, own: str, root: Path = ROOT) -> bool:
    """Add a head; whether it is new here. Nothing is ever taken away. Raises OSError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = root / chain
    if path.exists() and [sequence, own] in heads(path.read_text(encoding="ascii", errors="replace")):
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, f"{chr(10) if torn else ''}{sequence} {own}\n".encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True
