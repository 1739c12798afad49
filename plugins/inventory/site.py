# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: site
short_description: Hosts, groups, addresses and ports of a site from one short file
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads C(site.yml), which names a site's zones and their networks, its pools of hosts and the services that these
    carry.
  - Every host gets the variables C(ansible_host), C(address), C(zone), C(tier) and C(pool), and is in one group for
    each of its services and in C(zone_<zone>), C(pool_<pool>) and C(tier_<tier>).
  - All hosts get C(site_name), C(site_domain), C(site_network), C(site_zones), C(site_admin) and C(site_ports).
  - What can't work is refused, with file, key, value, reason and fix of every problem; for instance an unknown
    service, a duplicate host or address, overlapping networks, an address outside of its zone, two services on one
    port, an even quorum, or one with its majority in a single zone.
  - A lab's hosts are generated. Their addresses move to the network of the running lab that E(HOLDFAST_LAB) names,
    whose state is below E(HOLDFAST_LAB_HOME).
requirements: [jsonschema]
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [holdfast.platform.site]
  name:
    description: The site's name.
    type: str
    required: true
  domain:
    description: The DNS domain of the hosts.
    type: str
    required: true
  lab:
    description: Whether this is a lab. Its hosts may be generated.
    type: bool
    default: false
  network:
    description: The network that holds every zone. A lab needs a C(/16).
    type: str
  admin:
    description: The addresses and networks that administrators come from.
    type: list
    elements: str
  zones:
    description: The failure zones, each with C(cidr), one network or a mapping of one for each tier.
    type: dict
    required: true
  pools:
    description:
      - Sets of like hosts, each with C(tier), C(services), C(vars) and either C(hosts) (a list of C(name), C(zone),
        C(address), C(vars)) or, in a lab, C(generate) (C(zones), C(per_zone), C(first)).
    type: dict
    required: true
  ports:
    description: Ports that differ from the catalogue's, as C(service), C(port name), C(number).
    type: dict
"""

EXAMPLES = r"""
---
plugin: holdfast.platform.site
name: north
domain: north.example.org
admin: [172.31.0.5]
zones:
  a: {cidr: {data: 172.22.0.0/26, app: 172.21.0.0/26}}
  b: {cidr: {data: 172.22.0.64/26, app: 172.21.0.64/26}}
  c: {cidr: {data: 172.22.0.128/26, app: 172.21.0.128/26}}
pools:
  data:
    tier: data
    services: [etcd, postgresql]
    hosts:
      - {name: db1, zone: a, address: 172.22.0.11}
      - {name: db2, zone: b, address: 172.22.0.75}
      - {name: db3, zone: c, address: 172.22.0.139}
  app:
    tier: app
    hosts:
      - {name: app1, zone: a, address: 172.21.0.11, vars: {app_workers: 8}}
ports: {postgresql: {server: 10000}}
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _lab, _secret_store, _site
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError, read


class InventoryModule(BaseInventoryPlugin):
    """Put a site into Ansible's inventory."""

    NAME = "holdfast.platform.site"
    # Templates in the operator's own variables work: the site file is as much theirs as group_vars are.
    trusted_by_default = True

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and Path(path).name in ("site.yml", "site.yaml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        try:
            site = _site.build(read(Path(path)), _catalogue.load(), path)
            lab = _lab.find(os.environ) if site.lab else None
            if lab and lab.state:
                site = _site.rebase(site, str(lab.state.get("network")))
        except InvalidError as error:
            count = len(error.problems)
            what = "a problem" if count == 1 else f"{count} problems"
            raise AnsibleParserError(f"{what} in the site model:\n{error}") from None
        self._fill(site, lab)
        variables = lab.variables() if lab else {}
        _secret_store.preload(Path(path).parent, {"site_name": site.name, **variables}, loader)

    def _fill(self, site: _site.Site, lab: _lab.Lab | None) -> None:
        inventory = self.inventory
        shared = {
            "site_name": site.name,
            "site_domain": site.domain,
            "site_zones": site.zones,
            "site_admin": list(site.admin),
            "site_ports": site.ports,
        }
        if site.network:
            shared["site_network"] = site.network
        for name, value in (shared | (lab.variables() if lab else {})).items():
            inventory.set_variable("all", name, value)
        # Parents first: a host that joins a group then takes its place in all of them at once.
        for group, children in site.children.items():
            inventory.add_group(group)
            for child in children:
                inventory.add_group(child)
                inventory.add_child(group, child)
        for group, variables in site.variables.items():
            inventory.add_group(group)
            for name, value in variables.items():
                inventory.set_variable(group, name, value)
        for host in site.hosts:
            inventory.add_host(host.name)
            for name, value in {"ansible_host": host.address, **host.variables, "address": host.address}.items():
                inventory.set_variable(host.name, name, value)
            inventory.add_child(f"zone_{host.zone}", host.name)
            inventory.add_child(f"pool_{host.pool}", host.name)
