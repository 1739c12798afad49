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

from .cli import parser
from .lab import Lab
from .machine import LabError


def perform(arguments: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit status."""
    if arguments.verb in ("up", "down", "clean") and os.geteuid() != 0:
        raise LabError("a lab needs root, for its networks and container engine: run make as root")
    lab = Lab(arguments.lab)
    match arguments.verb:
        case "up":
            lab.up(arguments.site)
        case "down":
            lab.down()
        case "clean":
            lab.clean()
        case "tour":
            lab.tour()
        case "status":
            lab.status()
        case "ssh":
            return lab.ssh(arguments.host, arguments.command)
        case "renew":
            lab.renew(arguments.host)
        case "zone-cut":
            lab.zone_cut(arguments.zone, arguments.way)
        case "zone-kill":
            lab.zone_kill(arguments.zone)
        case "zone-heal":
            lab.zone_heal(arguments.zone)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; what a person can act on is printed in one line."""
    arguments = parser().parse_args(argv)
    try:
        return perform(arguments)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
    except docker.errors.DockerException as error:
        print(f"error: the container engine says: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
