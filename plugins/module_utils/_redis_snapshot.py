# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a copy of a Redis cluster into a directory: the program that `_restic` starts on a member.

The role lays this file down on the members, so that it needs nothing but the standard library and Redis' own programs.
Only the primary makes a copy; the others leave it to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NOT_MY_TURN = 75  # what `_restic` takes for "another member makes the copy"
SNAPSHOT = "dump.rdb"
CLI = Path(__file__).resolve().parent / "cli"  # redis-cli as the administrator, laid down by the role too


def ask(*argv: str) -> str:
    """What a program prints. Ends with what it complained of when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise SystemExit(f"{' '.join(argv)}: exit status {done.returncode}: {said[-1000:]}")
    return done.stdout


def leads(role: str) -> bool:
    """Whether a member leads, from what it says to ROLE."""
    return role.split()[:1] == ["master"]


def version(said: str) -> str:
    """The server's version, from INFO."""
    return next((line.split(":", 1)[1] for line in said.split() if line.startswith("redis_version:")), "")


def persistence() -> dict[str, str]:
    """What the server says of its files."""
    lines = ask(str(CLI), "INFO", "persistence").split()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def snapshot() -> Path:
    """Let the server write its snapshot; where it is.

    Not `redis-cli --rdb`: the Sentinels would take it for a replica, and watch it for ever.
    """
    time.sleep(1.1)  # the time of a snapshot is in whole seconds
    before = int(persistence()["rdb_last_save_time"])
    ask(str(CLI), "BGSAVE", "SCHEDULE")
    end = time.monotonic() + 1800
    while int((facts := persistence())["rdb_last_save_time"]) <= before or facts["rdb_bgsave_in_progress"] != "0":
        if facts["rdb_last_bgsave_status"] != "ok" or time.monotonic() > end:
            raise SystemExit("the server could not write its snapshot; its journal says why")
        time.sleep(0.3)
    settings = ask(str(CLI), "CONFIG", "GET", "dir", "dbfilename").split()
    found = dict(zip(settings[::2], settings[1::2]))
    return Path(found["dir"], found["dbfilename"])


def main() -> int:
    """Copy a new snapshot, and have it checked."""
    place = Path(sys.argv[1])
    if not leads(ask(str(CLI), "ROLE")):
        return NOT_MY_TURN
    os.umask(0o077)
    file = place / SNAPSHOT
    shutil.copyfile(snapshot(), file)
    ask("redis-check-rdb", str(file))
    figures = {
        "version": version(ask(str(CLI), "INFO", "server")),
        "keys": int(ask(str(CLI), "DBSIZE")),
        "bytes": file.stat().st_size,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
