# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab: python -m tests.lab <verb>."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import docker

from .lab import DEFAULT, Lab
from .machine import LabError


def parser() -> argparse.ArgumentParser:
    """The verbs and their arguments; the environment names the lab (HOLDFAST_LAB)."""
    top = argparse.ArgumentParser(prog="python -m tests.lab", description="A site on this machine.")
    top.add_argument("--lab", default=os.environ.get("HOLDFAST_LAB") or DEFAULT, help="name of the lab")
    verbs = top.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring the lab up")
    up.add_argument("--site", default="lab", help="directory under inventories/")
    verbs.add_parser("down", help="remove the lab")
    verbs.add_parser("status", help="show hosts, zones and cuts")
    ssh = verbs.add_parser("ssh", help="log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    cut = verbs.add_parser("zone-cut", help="cut a zone off from the others")
    cut.add_argument("zone")
    cut.add_argument("--way", default="both", help="in, out or both, as seen from the zone")
    verbs.add_parser("zone-kill", help="kill all hosts of a zone").add_argument("zone")
    verbs.add_parser("zone-heal", help="connect and start a zone again").add_argument("zone")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        lab = Lab(arguments.lab)
        match arguments.verb:
            case "up":
                lab.up(arguments.site)
            case "down":
                lab.down()
            case "status":
                lab.status()
            case "ssh":
                return lab.ssh(arguments.host, arguments.command)
            case "zone-cut":
                lab.zone_cut(arguments.zone, arguments.way)
            case "zone-kill":
                lab.zone_kill(arguments.zone)
            case "zone-heal":
                lab.zone_heal(arguments.zone)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except docker.errors.DockerException as error:
        print(f"error: the container engine says: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
