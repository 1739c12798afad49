# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a run, for people and for locks, and whether a run of this machine is still there."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import re
import socket
from pathlib import Path


def name() -> str:
    """User, machine and process, such as `alice@laptop, process 4711`: the same for all hosts and tasks of a run."""
    # Ansible works on a task in a process of its own, a child of the run's.
    parent = multiprocessing.parent_process()
    return f"{getpass.getuser()}@{socket.gethostname()}, process {parent.pid if parent else os.getpid()}"


def gone(controller: str, proc: Path = Path("/proc")) -> bool:
    """Whether a run is known to have ended: it was one of this machine, and its process is there no more.

    A number that another program has by now is no run: Ansible's name is in its command line.
    """
    match = re.fullmatch(rf".*@{re.escape(socket.gethostname())}, process (\d+)", controller)
    if match is None:
        return False
    try:
        return b"ansible" not in (proc / match[1] / "cmdline").read_bytes()
    except OSError:
        return True
