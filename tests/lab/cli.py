# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line of the lab understands."""

from __future__ import annotations

import argparse
import os

DEFAULT = "holdfast"


def parser() -> argparse.ArgumentParser:
    """The verbs and their arguments; the environment names the lab (HOLDFAST_LAB)."""
    top = argparse.ArgumentParser(prog="python -m tests.lab", description="A site on this machine.")
    top.add_argument("--lab", default=os.environ.get("HOLDFAST_LAB") or DEFAULT, help="name of the lab")
    verbs = top.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring the lab up")
    up.add_argument("--site", default=os.environ.get("HOLDFAST_SITE") or "lab", help="directory under inventories/")
    verbs.add_parser("down", help="remove the lab")
    verbs.add_parser("clean", help="remove all labs of this checkout and what they share")
    verbs.add_parser("tour", help="show what to try in a deployed site")
    verbs.add_parser("status", help="show hosts, zones and cuts")
    ssh = verbs.add_parser("ssh", help="log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("renew", help="put an empty host in the place of one").add_argument("host")
    cut = verbs.add_parser("zone-cut", help="cut a zone off from the others")
    cut.add_argument("zone")
    cut.add_argument("--way", default="both", help="in, out or both, as seen from the zone")
    verbs.add_parser("zone-kill", help="kill all hosts of a zone").add_argument("zone")
    verbs.add_parser("zone-heal", help="connect and start a zone again").add_argument("zone")
    return top
