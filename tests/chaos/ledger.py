# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: what a client outside the failure tried to write, and what it was told. Started and collected here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.machine import LabError
from tests.lab.running import RunningLab

PLACE = "/var/tmp/holdfast-chaos"
WRITER = Path(__file__).with_name("writer.py")


@dataclass(frozen=True)
class Entry:
    """One write: when it began and ended (seconds of the machine's monotonic clock, which its labs share), the wall
    clock at its end, and the outcome: `acknowledged`, `failed` (surely not written) or `indeterminate`."""

    number: int
    outcome: str
    begun: float
    ended: float
    wall: float
    reason: str = ""


def parse(journal: str) -> list[Entry]:
    """Entries by number. An attempt whose outcome was never noted is indeterminate, and ends where it began."""
    entries: dict[int, Entry] = {}
    for line in journal.splitlines(keepends=True):
        if not line.endswith("\n"):  # cut off while it was written
            continue
        word, number_, monotonic_, wall_, reason = line.rstrip("\n").split(" ", 4)
        number, monotonic, wall = int(number_), float(monotonic_), float(wall_)
        begun = entries[number].begun if number in entries else monotonic
        outcome = "indeterminate" if word == "attempted" else word
        entries[number] = Entry(number, outcome, begun, monotonic, wall, reason)
    return [entries[number] for number in sorted(entries)]


class Ledger:
    """A writer on a host of the lab."""

    def __init__(self, lab: RunningLab, host: str, rate: float, first: int = 1) -> None:
        self.lab, self.host, self.first, self.rate = lab, host, first, rate

    def start(self, client: Path, settings: dict[str, Any]) -> None:
        """Start to write through a client program; settings (they may hold a password) go by standard input."""
        self.discard()
        for name, source in (("writer.py", WRITER), ("client.py", client)):
            self._run(f"umask 077; mkdir -p {PLACE}; cat > {PLACE}/{name}", source.read_text(encoding="utf-8"))
        self._run(
            f"python3 {PLACE}/writer.py > {PLACE}/pid",
            json.dumps({"client": settings, "rate": self.rate, "first": self.first}),
        )

    def refusal(self) -> str:
        """The last error that the writer met."""
        return self._run(f"grep -v -e ^attempted -e ^acknowledged {PLACE}/journal | tail -n 1 || true").strip()

    def acknowledged(self) -> float:
        """When the newest acknowledged write ended (monotonic), 0 when there is none."""
        newest = self._run(f"tail -n 4000 {PLACE}/journal | grep ^acknowledged | tail -n 1 || true")
        return float(newest.split()[2]) if newest else 0.0

    def collect(self, keep: Path) -> list[Entry]:
        """Stop writing; all entries. The journal itself is kept in a file."""
        self._run(f"p=$(cat {PLACE}/pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.2; done")
        errors = self._run(f"cat {PLACE}/errors")
        if errors:
            raise LabError(f"the writer on {self.host} said: {errors}")
        journal = self._run(f"cat {PLACE}/journal")
        keep.write_text(journal, encoding="utf-8")
        return parse(journal)

    def discard(self) -> None:
        """Remove it from the host, and end a writer that still runs there."""
        self._run(f"test ! -s {PLACE}/pid || kill $(cat {PLACE}/pid) 2>/dev/null; rm -rf {PLACE}")

    def _run(self, command: str, stdin: str = "") -> str:
        return self.lab.run(self.host, command, stdin)


@contextmanager
def writing(ledger: Ledger, client: Path, settings: Mapping[str, Any], name: str) -> Iterator[list[Entry]]:
    """Write all the while; the entries are in the list afterwards, and the journal in a file of that name."""
    entries: list[Entry] = []
    ledger.start(client, dict(settings))
    try:
        yield entries
        entries += ledger.collect(ledger.lab.lab.home / f"{name}.journal")
    finally:
        ledger.discard()
