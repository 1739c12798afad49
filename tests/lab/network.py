# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a lab and the rules that cut its zones apart. Pure: nothing here touches a network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

WAYS = ("in", "out", "both")
TABLE = "lab"


def choose(preferred: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network:
    """A /16 for a lab that overlaps nothing in use: the site's own when it is free, else the next one.

    Raises LookupError when the private ranges are exhausted.
    """
    busy = list(taken)
    second = int(preferred.network_address) >> 16 & 0xFF
    candidates = [preferred, *(IPv4Network(f"10.{(second + step) % 256}.0.0/16") for step in range(1, 256))]
    for candidate in candidates:
        if not any(candidate.overlaps(network) for network in busy):
            return candidate
    raise LookupError("every 10.x.0.0/16 overlaps a network of this machine")


def gateway(subnet: IPv4Network) -> IPv4Address:
    """The controller's address in a network of a zone: the first."""
    return subnet.network_address + 1


def router(subnet: IPv4Network) -> IPv4Address:
    """The router's address in a network of a zone: the last."""
    return subnet.broadcast_address - 1


def masquerade(table: str, network: IPv4Network) -> str:
    """nft rules of the machine that let hosts out under its address, and leave traffic between zones alone.

    The engine's own rule would also rewrite what the router passes from one bridge to the next (br_netfilter).
    """
    return f"""table ip {table}
delete table ip {table}
table ip {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} ip daddr != {network} masquerade
    }}
}}
"""


def masqueraded(ruleset: str) -> dict[str, IPv4Network]:
    """The networks that tables of `masquerade` are for, by table, from `nft list ruleset` of the machine."""
    found = re.findall(r"^table ip (\S+) \{\n[^}]*ip saddr (\S+) ip daddr != \2 masquerade$", ruleset, re.MULTILINE)
    return {table: IPv4Network(cidr) for table, cidr in found}


def cut_rules(cuts: Mapping[str, str], zones: Mapping[str, Sequence[IPv4Network]]) -> str:
    """nft rules of the router, one transaction, for a set of cuts.

    `cuts`: zone to way, as seen from the zone: `in` drops what would enter it, `out` what would leave it. No rule
    knows of connections, so that established ones are cut as well; traffic inside a zone goes on.
    """
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", "    chain cut {"]
    lines.append("        type filter hook forward priority filter; policy accept;")
    for zone, way in sorted(cuts.items()):
        own = "{ " + ", ".join(str(subnet) for subnet in zones[zone]) + " }"
        if way in ("in", "both"):
            lines.append(f'        ip saddr != {own} ip daddr {own} drop comment "{zone} in"')
        if way in ("out", "both"):
            lines.append(f'        ip saddr {own} ip daddr != {own} drop comment "{zone} out"')
    return "\n".join([*lines, "    }", "}", ""])


def read_cuts(ruleset: str) -> dict[str, str]:
    """The cuts in force, zone to way, from `nft -j list ruleset` of the router."""
    cuts: dict[str, str] = {}
    for item in json.loads(ruleset)["nftables"]:
        comment = item.get("rule", {}).get("comment", "")
        if comment:
            zone, way = comment.split()
            cuts[zone] = "both" if zone in cuts else way
    return cuts
