# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the backups of a PostgreSQL cluster as they should be, and what did the last one cost?

The program of the role postgresql makes them and tells what there is; this decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A copy is looked for every hour, and takes its time.
SLACK = 2 * 3600


@dataclass(frozen=True)
class Wish:
    """What was declared: seconds between two full copies, and seconds of commits that may be lost (the RPO)."""

    every: float
    rpo: float


def first_awaited(report: Mapping[str, Any]) -> bool:
    """Whether a store that answers has no copy at all: a new cluster's first one is on its way."""
    stores = report.get("stores", {}).values()
    return any(not store.get("error") and not store["backups"] for store in stores)


def judge(wish: Wish, report: Mapping[str, Any]) -> list[str]:
    """What is wrong, in words. report: what the program's `report` printed on the leader; ages are in seconds."""
    problems = []
    for name, store in sorted(report["stores"].items()):
        if store.get("error"):
            problems.append(f"store {name}: {store['error']}")
            continue
        fulls = [backup for backup in store["backups"] if backup["type"] == "full"]
        if not fulls:
            problems.append(f"store {name} has no copy")
            continue
        age = report["now"] - fulls[-1]["timestamp"]["stop"]
        if age > wish.every + SLACK:
            problems.append(
                f"the newest copy in store {name} is {age / 3600:.1f} h old, one is due every {wish.every / 3600:g} h"
            )
        if fulls[-1].get("error"):
            problems.append(f"the newest copy in store {name}, {fulls[-1]['label']}, holds damaged pages")
    for name, entry in sorted(report["missed"].items()):
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(entry["since"]))
        problems.append(f"store {name} misses WAL from {entry['file']} on ({since}); its next copy makes it whole")
    if report["waiting_seconds"] > wish.rpo:
        problems.append(
            f"{report['waiting']} WAL files wait to be archived, the oldest for {report['waiting_seconds']:.0f} s"
        )
    return problems


def way_back(wish: Wish, report: Mapping[str, Any]) -> str:
    """Say why nobody could go back from here: no store has a sound copy, or the newest one of all is too old.

    Empty when there is one. One store is enough, so a store that is down holds nothing up that needs a way back.
    """
    stores = report["stores"].values()
    copies = [copy for store in stores if not store.get("error") for copy in store["backups"]]
    sound = [copy["timestamp"]["stop"] for copy in copies if copy["type"] == "full" and not copy.get("error")]
    if not sound:
        return "no store has a sound copy"
    age = report["now"] - max(sound)
    if age <= wish.every + SLACK:
        return ""
    return f"the newest copy of all stores is {age / 3600:.1f} h old, one is due every {wish.every / 3600:g} h"


def figures(run: Mapping[str, Any]) -> dict[str, Any]:
    """What one run of backups came to: newest label, seconds, bytes of the database and of one copy, and the stores."""
    done = {name: entry for name, entry in run["stores"].items() if "error" not in entry}
    return {
        "label": max((entry["label"] for entry in done.values()), default=None),
        "seconds": round(sum(entry["seconds"] for entry in done.values()), 1),
        "bytes": max((entry["bytes"] for entry in done.values()), default=0),
        "stored_bytes": max((entry["stored_bytes"] for entry in done.values()), default=0),
        "repositories": ", ".join(sorted(done)),
        "failed": ", ".join(sorted(run["stores"].keys() - done.keys())),
    }
