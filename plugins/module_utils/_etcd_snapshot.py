# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a copy of an etcd cluster into a directory: the program that `_restic` starts on a member.

The role lays this file down on the members, so that it needs nothing but the standard library and etcd's own programs.
How the member is reached stands in ETCDCTL_* variables. Only the leader makes a copy; the others leave it to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOT_MY_TURN = 75  # what `_restic` takes for "another member makes the copy"
SNAPSHOT = "snapshot.db"
ACCESS = "access.json"


def leads(status: Mapping[str, Any]) -> bool:
    """Whether a member leads, from its own `etcdctl endpoint status`. Without a leader it does not."""
    return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]


def ask(*argv: str) -> Any:
    """Run a program that prints JSON."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise SystemExit(f"{' '.join(argv)}: exit status {done.returncode}: {said[-1000:]}")
    return json.loads(done.stdout) if "json" in argv else done.stdout


def main() -> int:
    """Write the snapshot, and how one gets into what is restored from it: the users are those of its time.

    Files that are named before the directory come along: keys without which the snapshot can't be read.
    """
    *along, last = sys.argv[1:]
    place = Path(last)
    status = ask("etcdctl", "endpoint", "status", "-w", "json")[0]["Status"]
    if not leads(status):
        return NOT_MY_TURN
    os.umask(0o077)
    ask("etcdctl", "snapshot", "save", str(place / SNAPSHOT))
    found = ask("etcdutl", "snapshot", "status", "-w", "json", str(place / SNAPSHOT))
    for file in along:
        shutil.copyfile(file, place / Path(file).name)
    user, _, password = os.environ.get("ETCDCTL_USER", "").partition(":")
    (place / ACCESS).write_text(json.dumps({"user": user, "password": password}), encoding="utf-8")
    figures = {
        "version": status["version"],
        "revision": found["revision"],
        "keys": found["totalKey"],
        "bytes": found["totalSize"],
        "hash": found["hash"],
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
