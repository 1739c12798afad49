# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round: load, fault, healing, judgement."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from tests.lab.machine import LabError, say

from .faults import Fault, Skipped, await_sync
from .judge import Judgement, judge
from .ledger import Ledger
from .services import Service

CALM = 6.0
PATIENCE = 240.0
INSIDE = 1_000_000_001
"""The first number of a writer within the failed zone."""


@dataclass(frozen=True)
class Round:
    """What became of one fault. Without a judgement it was skipped, or could not be carried out: `reason` says why."""

    fault: str
    victims: list[str]
    writer: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    load_average: list[float]
    judgement: Judgement | None
    reason: str = ""
    skipped: bool = False

    @property
    def violations(self) -> list[str]:
        if self.judgement is None:
            return [] if self.skipped else [self.reason]
        return [*self.judgement.violations, *([self.reason] if self.reason else [])]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "violations": self.violations}


def await_writes(ledger: Ledger, since: float, until: float, least: float = 1.0) -> None:
    """Wait until writes are acknowledged `least` seconds after since, at most until that moment (monotonic)."""
    while ledger.acknowledged() < since + least and time.monotonic() < until:
        time.sleep(0.5)


def perform(service: Service, name: str, random: Random, meanwhile: Callable[[Fault], None] | None = None) -> Round:
    """Carry out one fault of a service and judge it. Whatever happens, it is healed.

    meanwhile: what a test looks at while the fault lasts.
    """
    loads = [os.getloadavg()[0]]
    if trouble := await_sync(service, PATIENCE):
        return Round(name, [], "", {}, {}, loads, None, f"not fit to begin: {trouble}")
    fault = service.faults[name](service, random)
    try:
        fault.aim()
        if trouble := await_sync(service, PATIENCE):
            return Round(name, fault.victims, "", {}, {}, loads, None, f"not fit to begin: {trouble}")
        return _under_load(service, name, fault, loads, meanwhile or (lambda _: None))
    except Skipped as reason:
        say(f"SKIPPED {name}: {reason}")
        return Round(name, [], "", {}, {}, loads, None, str(reason), skipped=True)
    finally:
        with suppress(KeyboardInterrupt):
            fault.clean()


def outside(service: Service, fault: Fault) -> str:
    """The best client that the fault does not reach: neither its zones nor its victims."""
    for host in service.clients:
        if host not in fault.victims and fault.zone(host) not in fault.zones:
            return host
    raise Skipped(f"no client of {service.name} is outside of {', '.join([*sorted(fault.zones), *fault.victims])}")


def _under_load(
    service: Service, name: str, fault: Fault, loads: list[float], meanwhile: Callable[[Fault], None]
) -> Round:
    host = outside(service, fault)
    run = secrets.token_hex(6)  # not by the seed: two rounds never share the rows of a ledger
    before = service.figures()
    ledgers = [Ledger(service.lab, host, service.rate)]
    if fault.inside:
        ledgers.append(Ledger(service.lab, fault.inside, service.rate, INSIDE))
    ledger = ledgers[0]
    keep = service.lab.lab.home / "chaos" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{name}"
    keep.mkdir(parents=True, exist_ok=True)
    healed_at, reason = 0.0, ""
    try:
        for item in ledgers:
            item.start(service.client, dict(service.prepare(item.host, run)))
        begun = time.monotonic()
        await_writes(ledger, begun, begun + 60, CALM)
        if ledger.acknowledged() < begun + CALM:
            raise LabError(f"the load on {host} did not get going: {ledger.refusal()}")
        loads.append(os.getloadavg()[0])
        say(f"{name}: {fault.what} ({', '.join(fault.victims)}); {host} writes")
        injected = time.monotonic()
        try:
            fault.inject()
            ended = time.monotonic()
            meanwhile(fault)
            time.sleep(max(0.0, injected + fault.hold - time.monotonic()))
            await_writes(ledger, ended + min(2.0, fault.hold), injected + fault.hold_most)
            loads.append(os.getloadavg()[0])
        finally:
            healed_at = time.monotonic()
            fault.heal()
        trouble = await_sync(service, PATIENCE)
        in_sync = None if trouble else round(time.monotonic() - healed_at, 1)
        reason = trouble
        time.sleep(fault.afterwards)
        stopped = time.monotonic()
        entries, *inside = [item.collect(keep / f"{item.host}.journal") for item in ledgers]
    finally:
        for item in ledgers:
            with suppress(LabError):
                item.discard()
    present = service.present(run) if in_sync is not None else {}
    judgement = judge(
        entries,
        present,
        injected=injected,
        healed=healed_at,
        stopped=stopped,
        in_sync=in_sync,
        limits=fault.limits,
        least_rate=0.6 * service.rate,
        given_up=fault.given_up,
        inside=inside[0] if inside else None,
    )
    after = service.figures() if in_sync is not None else {}
    return Round(name, fault.victims, host, before, after, loads, judgement, reason)
