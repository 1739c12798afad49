# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import threading
import time

from tests.chaos.ledger import Entry, parse
from tests.chaos.writer import WORKERS, Writer

JOURNAL = """attempted 1 10.0 1000.0\x20
attempted 2 10.1 1000.1\x20
acknowledged 1 10.2 1000.2\x20
failed 2 10.3 1000.3 OperationalError: no one home
attempted 3 10.4 1000.4\x20
indeterminate 3 11.4 1001.4 OperationalError: server closed
attempted 4 11.5 1001.5\x20
acknowledged 4 11."""


def test_a_journal_becomes_entries_and_what_was_cut_off_is_indeterminate() -> None:
    assert parse(JOURNAL) == [
        Entry(1, "acknowledged", 10.0, 10.2, 1000.2),
        Entry(2, "failed", 10.1, 10.3, 1000.3, "OperationalError: no one home"),
        Entry(3, "indeterminate", 10.4, 11.4, 1001.4, "OperationalError: server closed"),
        Entry(4, "indeterminate", 11.5, 11.5, 1001.5),
    ]


def test_an_empty_journal() -> None:
    assert parse("") == []


class Client:
    """Acknowledges, apart from what the tests ask for; hangs for ever on the numbers that hang."""

    hang: frozenset[int] = frozenset()

    def write(self, number: int) -> None:
        if number in self.hang:
            threading.Event().wait()
        if number % 5 == 0:
            raise ValueError("refused")
        if number % 7 == 0:
            raise OSError("gone\nin two lines")

    def refused(self, error: Exception) -> bool:
        return isinstance(error, ValueError)

    def close(self) -> None:
        pass


def run(client: type[Client], seconds: float, least: int) -> list[Entry]:
    """Write until there are so many acknowledged entries, at most that long."""
    journal = io.StringIO()
    writer = Writer(client, journal, rate=200)
    thread = threading.Thread(target=writer.run)
    thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and journal.getvalue().count("\nacknowledged") < least:
        time.sleep(0.05)
    writer.stopped.set()
    thread.join()
    return parse(journal.getvalue())


def test_outcomes() -> None:
    by_number = {entry.number: entry for entry in run(Client, 30, 20)}
    assert by_number[1].outcome == "acknowledged"
    assert (by_number[5].outcome, by_number[5].reason) == ("failed", "ValueError: refused")
    assert (by_number[7].outcome, by_number[7].reason) == ("indeterminate", "OSError: gone in two lines")


def test_calls_that_hang_do_not_stop_the_load() -> None:
    class Hanging(Client):
        hang = frozenset(range(1, WORKERS + 1))

    entries = run(Hanging, 30, 10)
    assert [entry.outcome for entry in entries[:WORKERS]] == ["indeterminate"] * WORKERS
    assert sum(entry.outcome == "acknowledged" for entry in entries) >= 10


def test_a_connection_that_fails_wrote_nothing() -> None:
    class Absent(Client):
        def __init__(self) -> None:
            raise ConnectionRefusedError

    entries = run(Absent, 1, 1)
    assert entries
    assert {entry.outcome for entry in entries} == {"failed"}
