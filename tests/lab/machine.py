# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine: programs it needs, processes that outlive us, locks, and progress for people."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path("/var/cache/holdfast")
"""What all labs of the machine share: downloaded packages, logs and process ids of what a lab started."""

_started = time.monotonic()


class LabError(Exception):
    """Something the person at the terminal can act on; printed without a traceback."""


def say(text: str) -> None:
    """Print one line of progress, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str], *, stdin: str | None = None, what: str = "") -> str:
    """Run a program and return its standard output; raises LabError with its last words when it fails."""
    result = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        words = "\n".join((result.stderr or result.stdout).strip().splitlines()[-12:])
        raise LabError(f"{what or argv[0]} failed (exit {result.returncode}): {words}")
    return result.stdout


def require(programs: dict[str, str]) -> bool:
    """Install the packages of those programs that are not on this machine; True when there were any.

    `programs`: program to package.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in programs.items() if not shutil.which(program, path=path)})
    if not missing:
        return False
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError(f"the lab needs {', '.join(missing)}: install them, or run as root on a Debian machine")
    say(f"installing from the distribution: {' '.join(missing)}")
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    run(["apt-get", "update", "-q"], what="apt-get update")
    run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], what="apt-get install")
    return True


#: What a kubelet insists on, and hosts can't set: these settings are the machine's (kubernetes/pkg/kubelet/cm).
NODES = {
    "vm/overcommit_memory": 1,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "fs/inotify/max_user_watches": 524288,
}


def raise_limit(name: str, least: int) -> None:
    """Raise a limit of the whole machine that many hosts share, when it is lower; `name` is below /proc/sys."""
    file = Path("/proc/sys") / name
    if int(file.read_text()) < least:
        file.write_text(str(least))
        say(f"{name} of this machine is now {least}")


def start(name: str, argv: Sequence[str], *, user: str | None = None) -> int:
    """Start a daemon that outlives this command and remember it under its name; returns its process id."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", user=user
        )
    (STATE / f"{name}.pid").write_text(f"{process.pid}\n")
    return process.pid


def started(name: str) -> int | None:
    """Process id of the daemon that a lab started under this name, if it still runs."""
    try:
        pid = int((STATE / f"{name}.pid").read_text())
        running = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        own = name in Path(f"/proc/{pid}/cmdline").read_text()
    except (OSError, ValueError):
        return None
    return pid if running and own else None


def stop(name: str, seconds: float = 30) -> bool:
    """Stop the daemon that a lab started under this name; True when there was one."""
    pid = started(name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while started(name) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
    (STATE / f"{name}.pid").unlink(missing_ok=True)
    return pid is not None


@contextmanager
def locked(directory: Path, what: str) -> Iterator[None]:
    """Hold the only lock on a directory, which is made for it; it vanishes with the process, and with the directory."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting: another command is at work on {what}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever held the lock may have removed the directory: then this lock guards nothing.
            if directory.exists() and os.fstat(handle).st_ino == directory.stat().st_ino:
                try:
                    yield
                finally:
                    with suppress(OSError):  # goes only when nothing was put into it
                        directory.rmdir()
                return
        finally:
            os.close(handle)
