# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one lookup of the site model costs: `python -m tests.bench.bench_lookups [hosts ...]`.

Each figure is the median of 9 evaluations in milliseconds, in one process, on the host that has most to say (a
database host), with an inventory of that many hosts: once from the site plugin, once written by hand with groups and
host variables.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from tests.bench.bench_inventory import CHECKOUT, site_file

LOOKUPS = (
    "'port', 'etcd', 'client'",
    "'hosts', 'etcd'",
    "'flows'",
    "'sources', 'postgresql', 'pooled'",
    "'hosts', 'site'",
)


def by_hand(hosts: int) -> Iterator[str]:
    """Yield an INI inventory of the same hosts as `site_file` has."""
    for number in range(hosts):
        tier = "data" if number < 3 else "app"
        address = IPv4Address(f"10.{number % 3 + 1}.0.10") + number
        yield f"{tier}{number} ansible_host={address} zone={'abc'[number % 3]} tier={tier}"
    for service in ("etcd", "postgresql"):
        yield from (f"[{service}]", "data0", "data1", "data2")


def measured(source: Path) -> Iterator[float]:
    """Yield the milliseconds of each lookup."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(source)])
    manager = VariableManager(loader=loader, inventory=inventory)
    HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    variables: dict[str, Any] = manager.get_vars(host=inventory.get_host("data0"))
    for lookup in LOOKUPS:
        name, _, terms = lookup.partition(", ")
        template = trust_as_template(
            f"{{{{ lookup('holdfast.platform.{name[1:-1]}'{', ' + terms if terms else ''}) }}}}"
        )
        times = []
        for _ in range(9):
            began = time.perf_counter()
            Templar(loader=loader, variables=variables).template(template)
            times.append(1000 * (time.perf_counter() - began))
        yield statistics.median(times)


def main() -> None:
    """Print one line for each inventory."""
    init_plugin_loader([str(CHECKOUT / "collections")])
    print(f"{'inventory':<12}{'hosts':>7}  " + "".join(f"{lookup.replace(chr(39), ''):>30}" for lookup in LOOKUPS))
    with tempfile.TemporaryDirectory() as directory:
        for hosts in map(int, sys.argv[1:] or ("10", "1000")):
            for name, lines, file in (
                ("site file", site_file(hosts), "site.yml"),
                ("by hand", by_hand(hosts), "hosts.ini"),
            ):
                source = Path(directory) / file
                source.write_text("\n".join(lines) + "\n", encoding="utf-8")
                print(f"{name:<12}{hosts:>7}  " + "".join(f"{ms:>30.2f}" for ms in measured(source)), flush=True)


if __name__ == "__main__":
    main()
