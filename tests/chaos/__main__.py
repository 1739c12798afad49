# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: python -m tests.chaos --service postgresql [--fault zone-kill] [--seed 7]."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from random import Random

from tests.lab.machine import LabError, say
from tests.lab.running import running

from . import services
from .harness import Round, perform
from .report import table


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults under load, judged by a ledger.")
    top.add_argument("--service", required=True, help="a module of tests/chaos/services")
    top.add_argument("--fault", action="append", default=[], help="only this one; may be given again")
    top.add_argument("--seed", type=int, default=None, help="order and choices of an earlier run")
    return top


def order(names: Iterable[str], seed: int) -> list[str]:
    """All faults in the order that the seed decides."""
    shuffled = sorted(names)
    Random(seed).shuffle(shuffled)  # noqa: S311 - nothing secret
    return shuffled


def choices(name: str, seed: int) -> Random:
    """What decides within a fault: the same alone as among the others."""
    return Random(f"{seed} {name}")  # noqa: S311


def main(argv: Sequence[str] | None = None) -> int:
    """Run the faults in an order that the seed decides; 1 when any judgement was violated, 2 for wrong arguments."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # heals, as Ctrl-C does
    try:
        lab = running()
        service = services.load(arguments.service, lab)
    except (LabError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    unknown = sorted(set(arguments.fault) - set(service.faults))
    if unknown:
        print(f"error: FAULT={', '.join(unknown)} is unknown; known: {', '.join(service.faults)}", file=sys.stderr)
        return 2
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    names = arguments.fault or order(service.faults, seed)
    file = lab.lab.home / "chaos" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    file.parent.mkdir(exist_ok=True)
    results: list[Round] = []
    say(f"seed {seed}: {', '.join(names)}")
    for number, name in enumerate(names, 1):
        say(f"{number} of {len(names)}: {name}")
        try:
            result = perform(service, name, choices(name, seed))
        except Exception as error:  # noqa: BLE001 - the others are judged all the same
            result = Round(name, [], "", {}, {}, [], None, f"{type(error).__name__}: {error}")
        results.append(result)
        print(table([result]), flush=True)
        report = {
            "service": service.name,
            "lab": lab.name,
            "seed": seed,
            "order": names,
            "rounds": [item.as_dict() for item in results],
        }
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(results)}\n\nseed {seed}, {file}")
    return 1 if any(result.violations for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
