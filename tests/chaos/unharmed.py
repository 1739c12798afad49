# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that must not notice what is done to a service meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.chaos.ledger import Entry, Ledger, writing
from tests.chaos.services import Service

#: Numbers of one host's writes are its own.
_APART = 10_000_000


@contextmanager
def unharmed(
    service: Service, clients: Mapping[str, Mapping[str, Any]], name: str, rate: float | None = None
) -> Iterator[list[Entry]]:
    """Hosts write all the while, `rate` times a second each; afterwards no operation has failed, and all are there.

    clients: the settings of the writer on each host, beside those of the service. The entries of all are in the
    list afterwards.
    """
    run = f"{time.time_ns():x}"
    entries: list[Entry] = []
    parts = []
    with ExitStack() as stack:
        for number, (host, more) in enumerate(clients.items()):
            settings = {**service.prepare(host, run), **more}
            ledger = Ledger(service.lab, host, rate or service.rate, number * _APART + 1)
            parts.append(stack.enter_context(writing(ledger, service.client, settings, f"{name}-{host}")))
        time.sleep(1)
        yield entries
        time.sleep(4)  # connections of before have had their time
    for part in parts:
        assert len(part) > 100
        entries += part
    others = [entry for entry in entries if entry.outcome != "acknowledged"]
    assert not others, others[:5]
    numbers = {entry.number for entry in entries}
    assert all(numbers <= set(present) for present in service.present(run).values())
