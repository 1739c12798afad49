# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of chaos leaves: a table for people, a JSON file for everybody else."""

from __future__ import annotations

from collections.abc import Sequence

from .harness import Round

COLUMNS = tuple(
    "fault,victim,acknowledged,failed,unsure,appeared,lost,nowhere,inside,gap s,at s,in sync s,load,verdict".split(",")
)


def row(result: Round) -> tuple[str, ...]:
    """One line of the table."""
    victims = ",".join(result.victims)
    verdict = "skipped" if result.skipped else "FAILED" if result.violations else "ok"
    load = f"{max(result.load_average, default=0):.0f}"
    j = result.judgement
    if j is None:
        return (result.fault, victims, *[""] * 10, load, verdict)
    lost = len({number for ids in j.lost.values() for number in ids})
    nowhere = len({number for ids in j.nowhere.values() for number in ids})
    counts = (j.acknowledged, j.failed, j.indeterminate, j.appeared, lost, nowhere)
    inside = "" if j.inside is None else str(j.inside)
    in_sync = "never" if j.in_sync is None else f"{j.in_sync:.0f}"
    figures = (f"{j.gap:.1f}", f"{j.gap_after:+.1f}", in_sync, load, verdict)
    return (result.fault, victims, *[str(count) for count in counts], inside, *figures)


def table(results: Sequence[Round]) -> str:
    """All results, and below them why one failed or was skipped."""
    rows = [COLUMNS, *(row(result) for result in results)]
    widths = [max(len(cells[index]) for cells in rows) for index in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
    for result in results:
        lines += [f"{result.fault}: {violation}" for violation in result.violations]
        if result.skipped:
            lines.append(f"{result.fault}: SKIPPED, {result.reason}")
    return "\n".join(lines)
