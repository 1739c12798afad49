# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ledger proves. Pure: from entries and what the service holds afterwards to figures and violations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .ledger import Entry


@dataclass(frozen=True)
class Limits:
    """Most seconds without an acknowledged write, and from healing until fully in sync; None: only measured.

    loss: seconds from the fault on in which what is acknowledged may be lost, for a service that replicates later.
    """

    gap: float | None = 20.0
    in_sync: float | None = 180.0
    loss: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """Figures of one fault. Times in seconds; gap_after counts from the fault to the last write before the gap,
    calm_gap is the longest gap before the fault: what the machine itself costs. inside: writes that were acknowledged
    within the failed zone while the fault lasted, from its second second on."""

    attempted: int
    acknowledged: int
    failed: int
    indeterminate: int
    appeared: int
    lost: Mapping[str, Sequence[int]]
    nowhere: Mapping[str, Sequence[int]]
    inside: int | None
    rate: float
    gap: float
    gap_after: float
    calm_gap: float
    in_sync: float | None
    violations: Sequence[str]


def gaps(times: Sequence[float], begin: float, end: float) -> list[tuple[float, float]]:
    """Spells without an acknowledged write between begin and end: (length, start), the last one running to the end."""
    points = [begin, *sorted(time for time in times if begin <= time <= end), end]
    return [(later - earlier, earlier) for earlier, later in pairwise(points)]


def judge(
    entries: Sequence[Entry],
    present: Mapping[str, Sequence[int]],
    *,
    injected: float,
    healed: float,
    stopped: float,
    in_sync: float | None,
    limits: Limits,
    least_rate: float,
    given_up: tuple[float, float] | None = None,
    inside: Sequence[Entry] | None = None,
) -> Judgement:
    """Judge one fault.

    present: the numbers that each member holds afterwards. injected, healed and stopped are the moments (monotonic)
    when the fault began, when healing began and when the load ended; in_sync the seconds from healing until all was
    in sync, None: never.
    least_rate: writes a second that have to be acknowledged before the fault, or the load was none.
    given_up: writes of that time (wall clock) may be missing, for they were thrown away on purpose.
    inside: entries of a second writer within the failed zone; they must not be lost either, and count for no gap.
    A number that a member holds twice, though it was attempted once, came out of nowhere too.
    """
    everything = [*entries, *(inside or ())]
    outcomes = Counter(entry.outcome for entry in everything)
    first, last = given_up or (math.inf, -math.inf)
    acknowledged = {e.number for e in everything if e.outcome == "acknowledged" and not first <= e.wall <= last}
    attempted = Counter(entry.number for entry in everything)
    unsure = {entry.number for entry in everything if entry.outcome == "indeterminate"}
    refused = {entry.number for entry in everything if entry.outcome == "failed"}
    held = {name: Counter(numbers) for name, numbers in present.items()}
    lost = {name: sorted(acknowledged - set(numbers)) for name, numbers in held.items()}
    nowhere = {name: sorted({*(numbers - attempted), *(refused & set(numbers))}) for name, numbers in held.items()}
    times = [entry.ended for entry in entries if entry.outcome == "acknowledged"]
    begin = min(times, default=injected)
    # A gap that the fault falls into began before it.
    gap, gap_start = max(gaps(times, max((t for t in times if t <= injected), default=begin), stopped))
    calm = [entry for entry in entries if entry.ended <= injected and entry.outcome == "acknowledged"]
    rate = len(calm) / max(injected - begin, 0.001)
    within = [e for e in inside or () if e.outcome == "acknowledged" and injected + 1 < e.ended < healed]
    violations = []
    allowed = set()
    if limits.loss:
        # What was on its way when the fault began counts as well: it was acknowledged, and not yet replicated.
        allowed = {e.number for e in everything if injected - 1 <= e.ended <= injected + limits.loss}
    too_much = {name: [number for number in ids if number not in allowed] for name, ids in lost.items()}
    for what, found in (("acknowledged and lost", too_much), ("out of nowhere", nowhere)):
        violations += [f"{len(ids)} {what} on {name}: {shorten(ids)}" for name, ids in found.items() if ids]
    if not present:
        violations.append("nobody could be asked what is there")
    if rate < least_rate:
        violations.append(f"only {rate:.0f} writes a second before the fault, {least_rate:.0f} are wanted")
    if limits.gap is not None and gap >= limits.gap:
        violations.append(f"{gap:.1f} s without an acknowledged write, less than {limits.gap:g} s is wanted")
    if in_sync is None:
        violations.append("not in sync again")
    elif limits.in_sync is not None and in_sync >= limits.in_sync:
        violations.append(f"in sync {in_sync:.0f} s after healing, less than {limits.in_sync:g} s is wanted")
    return Judgement(
        attempted=len(everything),
        acknowledged=outcomes["acknowledged"],
        failed=outcomes["failed"],
        indeterminate=outcomes["indeterminate"],
        appeared=len(unsure & set().union(*held.values())),
        lost={name: ids for name, ids in lost.items() if ids},
        nowhere={name: ids for name, ids in nowhere.items() if ids},
        inside=None if inside is None else len(within),
        rate=round(rate, 1),
        gap=round(gap, 2),
        gap_after=round(gap_start - injected, 2),
        calm_gap=round(max(length for length, _ in gaps(times, begin, max(begin, injected))), 2),
        in_sync=in_sync,
        violations=violations,
    )


def shorten(numbers: Sequence[int], most: int = 5) -> str:
    """A few of many numbers, for people."""
    shown = ", ".join(str(number) for number in numbers[:most])
    return shown if len(numbers) <= most else f"{shown}, ..."
