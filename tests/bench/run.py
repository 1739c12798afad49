# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All measurements of the house: ``make bench``, on a lab whose site stands.

First what the site costs when nothing changes, as a whole and for growing numbers of hosts, with the files of each
service written by stock modules beside it; then every ``bench_*.py`` of this directory. Fails when a budget of
docs/decisions/0002-run-settings.md is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
SECONDS = 60.0  # a run of the default lab that changes nothing
ROUND_TRIPS = 6  # of one service on one host, when nothing changes


def figures(site: str, playbook: Path, *options: str) -> dict[str, Any]:
    """Run a playbook and return the figures of the progress callback; its output only when it fails."""
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run(
            [PROGRAMS / "ansible-playbook", "-i", f"inventories/{site}", playbook, *options],
            cwd=CHECKOUT,
            env=os.environ | {"HOLDFAST_FIGURES": file.name, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout}{done.stderr}{playbook} failed with {done.returncode}")
        found: dict[str, Any] = json.load(file)
        return found


def hosts_of(site: str) -> list[str]:
    """List the hosts of a site, those with the most services first: a limit to the first n is a smaller site."""
    listing = json.loads(
        subprocess.run(
            [PROGRAMS / "ansible-inventory", "-i", f"inventories/{site}", "--list"],
            cwd=CHECKOUT,
            env=os.environ | {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
            capture_output=True,
            check=True,
        ).stdout
    )
    services = [path.parent.parent.name for path in CHECKOUT.glob("roles/*/meta/service.yml")]

    def members(group: str) -> set[str]:
        entry = listing.get(group, {})
        return set(entry.get("hosts", [])).union(*(members(child) for child in entry.get("children", [])))

    groups = [members(service) for service in services]
    return sorted(members("all"), key=lambda host: (-sum(host in group for group in groups), host))


def stock_play(service: str) -> dict[str, Any]:
    """Write the play that has a service's packages and files in place with stock modules, one task for each file."""
    role = CHECKOUT / "roles" / service
    templates = sorted(path for path in (role / "templates").rglob("*.j2"))
    tasks: list[dict[str, Any]] = [
        {"name": "Install", "ansible.builtin.apt": {"name": f"{{{{ __{service}_packages }}}}", "state": "present"}}
    ]
    for path in templates:
        target = f"/{path.relative_to(role / 'templates').with_suffix('')}"
        tasks.append({"name": target, "ansible.builtin.template": {"src": str(path), "dest": target}})
    return {
        "name": service,
        "hosts": service,
        "gather_facts": False,
        "become": True,
        "vars_files": [str(role / "defaults/main.yml"), str(role / "vars/main.yml")],
        "vars": {"role_path": str(role)},
        "tasks": tasks,
    }


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their heading, the first column to the left, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    for name, *cells in lines:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([name.ljust(widths[0]), *numbers]), flush=True)


def measure_site(site: str) -> list[str]:
    """Print what each service of the site costs, with stock modules beside it. Return what exceeds a budget."""
    found = figures(site, CHECKOUT / "playbooks/site.yml")
    services = {name: line for name, line in found["services"].items() if (CHECKOUT / "roles" / name).is_dir()}
    with tempfile.TemporaryDirectory() as directory:
        playbook = Path(directory) / "stock.yml"
        playbook.write_text(f"---\n{yaml.safe_dump([stock_play(name) for name in services], sort_keys=False)}")
        # Check mode: the stock modules know nothing of owners and modes here, and must not put theirs in place.
        stock = figures(site, playbook, "--check")["services"]
    print("\nThe site when nothing changes; packages and files alone with one stock task each beside it")
    heading = ("service", "hosts", "changed", "seconds", "s per host", "round trips per host", "stock s", "stock trips")
    rows = []
    for name, line in services.items():
        trips, count = line["round_trips"], len(line["round_trips"])
        rows.append(
            (
                *(name, count, line["changed"], f"{line['seconds']:.1f}", f"{line['seconds'] / count:.2f}"),
                *(max(trips.values()), f"{stock[name]['seconds']:.1f}", max(stock[name]["round_trips"].values())),
            )
        )
    table(heading, rows)
    print(f"whole run: {found['seconds']:.1f} s")
    over = [
        f"{name} costs {max(line['round_trips'].values())} round trips on a host; {ROUND_TRIPS} are its budget"
        for name, line in services.items()
        if max(line["round_trips"].values()) > ROUND_TRIPS
    ]
    over += [f"{name} changed {line['changed']} results" for name, line in services.items() if line["changed"]]
    over += [f"the whole run took {found['seconds']:.1f} s of {SECONDS:.0f}"] if found["seconds"] > SECONDS else []
    return over


def measure_growth(site: str) -> None:
    """Print how the run that changes nothing grows from one host to all of them."""
    names = hosts_of(site)
    print("\nFrom one host to all")
    rows = []
    for count in range(1, len(names) + 1):
        found = figures(site, CHECKOUT / "playbooks/site.yml", "--limit", ",".join(names[:count]))
        trips = sum(sum(line["round_trips"].values()) for line in found["services"].values())
        rows.append((count, f"{found['seconds']:.1f}", f"{found['seconds'] / count:.1f}", trips))
    table(("hosts", "seconds", "s per host", "round trips"), rows)


def main() -> int:
    """Run all measurements; return 1 when one of them exceeds its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", default="lab", help="directory under inventories/")
    site = parser.parse_args().site
    over = measure_site(site)
    measure_growth(site)
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"\n{path.stem.removeprefix('bench_')}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"tests.bench.{path.stem}"], cwd=CHECKOUT, check=False)
        over += [f"{path.name} failed with {done.returncode}"] if done.returncode else []
    for line in over:
        print(f"OVER BUDGET: {line}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
