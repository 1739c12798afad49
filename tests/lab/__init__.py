# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a site on this machine, with one systemd container per host and one network per zone and tier.

`python -m tests.lab --help` lists the verbs; `make` calls them. Where things are:

- `machine`: this machine, its programs, processes, locks, and what is printed
- `engine`: the docker server, found or started
- `packages`: the apt cache and the mirrors that hosts install from
- `image`: the host image
- `site`: hosts and zones, read from the inventory
- `network`: the lab's address range, the cuts between zones (pure)
- `hosts`: what one host's container is made of
- `cli`: the command line (pure)
- `lab`: the verbs
"""

from __future__ import annotations
