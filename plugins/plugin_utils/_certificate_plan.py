# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates a host should have, from a descriptor's `certificates` and the host's variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import parse_duration
from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import USAGES, PkiError, Wanted, host_names

# It becomes a file name; `ca.crt` is taken by the trusted roots.
NAME = re.compile(r"[a-z][a-z0-9_-]*")
KEYS = ("owner", "group", "usage", "names")


@dataclass(frozen=True)
class Plan:
    """By certificate name: `wanted` for the one who signs, `slots` (owner and group of the key) for the host."""

    wanted: Mapping[str, Wanted]
    slots: Mapping[str, Mapping[str, str]]


def read_plan(
    declared: Mapping[str, Any], *, hostname: str, domain: str | None, addresses: Sequence[str | None], lifetime: str
) -> Plan:
    """Read the declaration for one host.

    declared: {name: {owner, group, usage, names}}, as in a descriptor; owner and group default to root and the owner,
    usage to server and client. addresses: candidates for the host's address; the first that is an address counts.
    Raises PkiError naming the key, what is wrong and what would be right.
    """
    try:
        span = parse_duration(lifetime)
    except ValueError as error:
        raise PkiError(f"lifetime: {error}") from error
    address = next((candidate for candidate in addresses if candidate and _is_address(candidate)), None)
    wanted: dict[str, Wanted] = {}
    slots: dict[str, Mapping[str, str]] = {}
    for name, entry in sorted(declared.items()):
        where = f"certificates.{name}"
        if NAME.fullmatch(str(name)) is None or name == "ca":
            raise PkiError(f"{where}: use lower-case letters, digits, _ and - for the name, and not 'ca'")
        if not isinstance(entry, Mapping):
            raise PkiError(f"{where}: has to be a mapping with the keys {', '.join(KEYS)}")
        if unknown := sorted(entry.keys() - set(KEYS)):
            raise PkiError(f"{where}: unknown key '{unknown[0]}'; known are {', '.join(KEYS)}")
        for key in ("usage", "names"):
            if not isinstance(entry.get(key) or [], list | tuple):
                raise PkiError(f"{where}.{key}: has to be a list")
        usage = tuple(entry.get("usage") or USAGES)
        if wrong := [word for word in usage if word not in USAGES]:
            raise PkiError(f"{where}.usage: '{wrong[0]}' is unknown; known are {', '.join(USAGES)}")
        owner = str(entry.get("owner") or "root")
        slots[name] = {"owner": owner, "group": str(entry.get("group") or owner)}
        wanted[name] = Wanted(host_names(hostname, domain, address, entry.get("names") or ()), usage, span)
    if not wanted:
        raise PkiError("certificates: none are declared, neither by the service's descriptor nor by the task")
    return Plan(wanted, slots)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
