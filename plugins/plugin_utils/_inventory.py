# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lookups want to know of the inventory: hosts, their addresses, zones and tiers, without templating every host.

A lookup runs for each host of each task, in a process of its own, so what it reads must cost little. In an inventory
of the site plugin the address is a plain variable of the host itself, and zone and tier are groups. In any other
inventory they may stand in host_vars, group_vars or templates; then Ansible is asked for each host that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError, Problem, nearest

#: Where pods have their addresses unless the site says otherwise; the range that flannel's own documents use.
POD_NETWORK = "10.244.0.0/16"


class InventoryError(InvalidError):
    """The inventory lacks something that a lookup needs."""


class Inventory:
    """The inventory as the current host sees it. `variables` are a lookup's variables, `templar` its templar."""

    def __init__(self, variables: Mapping[str, Any], templar: Any) -> None:
        self._variables = variables
        self._templar = templar
        self._groups: Mapping[str, list[str]] = variables["groups"]
        self._hostvars = variables["hostvars"]
        self._planned = "site_zones" in variables  # by the site plugin

    def setting(self, name: str, default: Any) -> Any:
        """Return a variable of the current host, its templates resolved."""
        value = self._variables.get(name)
        return default if value is None else self._templar.template(value)

    def overrides(self) -> Mapping[str, Mapping[str, int]]:
        """Return the site's own port numbers, {service: {port: number}}."""
        return {service: dict(ports) for service, ports in self.setting("site_ports", {}).items()}

    def groups_of_host(self) -> list[str]:
        """Return the groups that the current host is in."""
        return list(self._variables.get("group_names", ()))

    def groups_with_hosts(self) -> list[str]:
        """Return the groups of the whole site that have hosts."""
        return [group for group, hosts in self._groups.items() if hosts]

    def hosts(self, group: str, catalogue: Catalogue) -> list[dict[str, str]]:
        """Return the hosts of a group, or of the whole `site`, as {name, address, zone, fqdn}, sorted by name.

        A service that no host carries has none.

        :raises InventoryError: no such group or service; a host without address or zone.
        """
        if group == "site":
            names = self._groups["all"]
        elif group in self._groups:
            names = self._groups[group]
        elif group in catalogue.services:
            names = self._groups["all"] if catalogue.services[group].everywhere else []
        else:
            raise InventoryError(
                [Problem("inventory", "groups", group, "no such group or service", nearest(group, self._groups))]
            )
        domain = self.setting("site_domain", "")
        return [
            {
                "name": name,
                "address": self._address(name),
                "zone": self._zone(name),
                "fqdn": f"{name}.{domain}" if domain else name,
            }
            for name in sorted(names)
        ]

    def everyone(self) -> Iterator[str]:
        return map(self._address, self._groups["all"])

    def members(self, service: str) -> Iterator[str]:
        return map(self._address, self._groups.get(service, ()))

    def tier(self, tier: str) -> Iterator[str]:
        names: Iterable[str] = self._groups.get(f"tier_{tier}", ())
        if not names and not self._planned:
            names = [name for name in self._groups["all"] if self._of(name, "tier") == tier]
        return map(self._address, names)

    def admin(self) -> list[str]:
        return self._networks("site_admin", [])

    def pods(self) -> list[str]:
        return self._networks("site_pod_network", POD_NETWORK)

    def _networks(self, name: str, default: str | list[str]) -> list[str]:
        given = self.setting(name, default)
        sources = [given] if isinstance(given, str) else list(given)
        for source in sources:
            try:
                ip_network(source)
            except ValueError:
                reason, fix = "neither an address nor a network", "write 10.0.0.5 or 10.0.0.0/24"
                raise InventoryError([Problem("inventory", name, source, reason, fix)]) from None
        return sources

    def _of(self, host: str, name: str) -> Any:
        """Return a variable of any host: its own one where the site plugin put it, else what Ansible merges."""
        # hostvars[host] gathers and copies all there is for the host: 0.3 ms. There is no public way to ask for less.
        inventory = getattr(self._hostvars, "_inventory", None) if self._planned else None
        own = inventory.get_host(host).vars if inventory is not None else {}
        return own[name] if name in own else self._hostvars[host].get(name)

    def _address(self, host: str) -> str:
        address = self._of(host, "address") or self._of(host, "ansible_host") or host
        try:
            ip_address(address)
        except ValueError:
            reason = "a host needs an address, and this is none" if address != host else "a host needs an address"
            problem = Problem(
                "inventory", f"hosts.{host}.address", address, reason, f"set the variable `address` of {host}"
            )
            raise InventoryError([problem]) from None
        return str(address)

    def _zone(self, host: str) -> str:
        zone = self._zones[host] if host in self._zones else self._of(host, "zone")
        if not zone:
            problem = Problem("inventory", f"hosts.{host}.zone", None, "missing", f"set the variable `zone` of {host}")
            raise InventoryError([problem])
        return str(zone)

    @cached_property
    def _zones(self) -> dict[str, str]:
        """Return {host: zone} of a planned inventory, where each zone is a group."""
        names = [name for name in self._groups if name.startswith("zone_")] if self._planned else []
        return {host: name.removeprefix("zone_") for name in names for host in self._groups[name]}
