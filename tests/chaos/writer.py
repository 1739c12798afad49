# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The half of the ledger that runs on a host: writes numbers through a service's client, notes what became of each.

Started with its settings as JSON on standard input. Beside it lies `client.py` with a class `Client`:

- `Client(settings)` connects; when that fails, nothing was written.
- `write(number)` returns once the write was acknowledged.
- `refused(error)` tells whether an error of `write` says for certain that nothing was written.
- `close()` never fails.

Each line of the journal is `WORD NUMBER MONOTONIC WALL REASON`. An attempt is noted before it is made, so that a
writer that dies leaves nothing in the service that it did not announce.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

WORKERS = 6
MOST = 40
HANGING = 1.0
PAUSE = 0.3


class Connection(Protocol):
    """What a service's client does."""

    def write(self, number: int) -> None: ...
    def refused(self, error: Exception) -> bool: ...
    def close(self) -> None: ...


class Writer:
    """Writes at a steady rate. A worker whose call hangs for a second is replaced by a fresh one, up to MOST."""

    def __init__(self, connect: Callable[[], Connection], journal: TextIO, rate: float, first: int = 1) -> None:
        self.connect, self.journal, self.rate = connect, journal, rate
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._number = first - 1
        self._due = time.monotonic()
        self._busy: dict[int, float] = {}
        self._threads: list[threading.Thread] = []

    def note(self, word: str, number: int, reason: str = "") -> None:
        """Write one line of the journal."""
        reason = " ".join(reason.split())
        with self._lock:
            self.journal.write(f"{word} {number} {time.monotonic():.4f} {time.time():.4f} {reason}\n")
            self.journal.flush()

    def run(self) -> None:
        """Keep enough workers at work until stopped."""
        while not self.stopped.wait(0.1):
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for _ in range(min(WORKERS - self._free(), MOST - len(self._threads))):
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _free(self) -> int:
        late = time.monotonic() - HANGING
        with self._lock:
            return len(self._threads) - sum(since < late for since in self._busy.values())

    def _turn(self) -> int:
        """Wait for this worker's turn; the number that it writes. What was missed is not made up for."""
        with self._lock:
            self._due = max(self._due + 1 / self.rate, time.monotonic() - 1 / self.rate)
            self._number += 1
            number, due = self._number, self._due
        time.sleep(max(0.0, due - time.monotonic()))
        return number

    def _work(self) -> None:
        connection: Connection | None = None
        own = threading.get_ident()
        while not self.stopped.is_set() and self._free() <= WORKERS:
            number = self._turn()
            self.note("attempted", number)
            self._busy[own] = time.monotonic()
            word, reason, connected = "failed", "", connection is not None
            try:
                connection = connection or self.connect()
                connected = True
                connection.write(number)
                word = "acknowledged"
            except Exception as error:  # noqa: BLE001 - whatever a client raises is an outcome
                reason = f"{type(error).__name__}: {error}"
                if connected and connection is not None and not connection.refused(error):
                    word = "indeterminate"
            with self._lock:
                del self._busy[own]
            self.note(word, number, reason)
            if reason:
                if connection is not None:
                    connection.close()
                connection = None
                self.stopped.wait(PAUSE)
        if connection is not None:
            connection.close()


def main() -> None:
    """Go to the background, write until SIGTERM. Prints the process id."""
    settings: dict[str, Any] = json.load(sys.stdin)
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here))
    from client import Client  # type: ignore[import-not-found]

    journal = (here / "journal").open("w", encoding="utf-8")
    if child := os.fork():
        print(child, flush=True)
        return
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    errors = os.open(here / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, target in ((0, quiet), (1, errors), (2, errors)):
        os.dup2(target, number)
    writer = Writer(lambda: Client(settings["client"]), journal, settings["rate"], settings["first"])
    signal.signal(signal.SIGTERM, lambda *_: writer.stopped.set())
    writer.run()
    time.sleep(1)  # what is on its way may still arrive; the rest stays without an outcome
    os._exit(0)


if __name__ == "__main__":
    main()
