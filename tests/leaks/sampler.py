# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down the command lines and environments of the processes of some PID namespaces, until it is ended.

Run as a program, as root of the machine: `sampler.py FILE NAMESPACE...`, such as pid:[4026531836]. It sees containers'
processes too. One line of JSON for each text that was not seen before, with the keys space, pid, user, kind and parts.
A process is looked at as soon as it is seen, as often as possible while it is young, and ten times a second afterwards:
it may become another program. FILE is for root alone: it holds secrets if there is anything to find.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import FrameType

#: Written when every process that was there at first has been looked at.
READY = "{}\n"
PAUSE = 0.003
YOUNG = 0.5
AGAIN = 0.1


def main(file: str, *spaces: str) -> None:
    ended: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGTERM, end)
    os.nice(-10)  # a process that lives for a moment has to be seen on a busy machine too
    me = os.getpid()
    known: dict[int, tuple[float, float, str]] = {}  # first and last seen, namespace
    seen: set[int] = set()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", buffering=1) as out:
        while not ended:
            pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - some hundred times a second
            now = time.monotonic()
            start = not known
            for pid in known.keys() - pids:
                del known[pid]
            for pid in pids - {me}:
                first, last, space = known.get(pid, (now, now - AGAIN, ""))
                if now - first > YOUNG and (space not in spaces or now - last < AGAIN):
                    continue
                try:
                    space = space or os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
                    for kind in ("cmdline", "environ") if space in spaces else ():
                        with open(f"/proc/{pid}/{kind}", "rb", buffering=0) as stream:  # noqa: PTH123
                            text = stream.read()
                        if text and (key := hash((space, kind, text))) not in seen:
                            seen.add(key)
                            shown = text.decode(errors="replace").rstrip("\0").split("\0")
                            user = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
                            sample = {"space": space, "pid": pid, "user": user, "kind": kind, "parts": shown}
                            out.write(json.dumps(sample) + "\n")
                except OSError:
                    continue  # it has ended
                known[pid] = (first, now, space)
            if start:
                out.write(READY)
            time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
