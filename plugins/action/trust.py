# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try whom a host trusts: the controller's half, which makes the certificates to try it with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _pki, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

#: Whose certificate a question is about.
VERSIONS = {"accepted": "next", "served": "current", "refused": "retired"}
ARGUMENTS = {"state": {"type": "str", "choices": list(VERSIONS), "required": True}}
LIFE = timedelta(minutes=15)


class ActionModule(ActionBase):
    """Action `holdfast.platform.trust`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the certificates, and let the host try them."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        state = arguments["state"]
        try:
            held = open_store(variables, self._templar, self._loader).read(_site_ca.OWNER)
            today, asked = (_site_ca.authority_of(held, version) for version in ("current", VERSIONS[state]))
            if today is None or asked is None:
                raise AnsibleActionFail(f"pki: has no {VERSIONS[state]} CA, so nothing can be tried with it")
            ports = self._ports(variables)
            result["ports"] = [port["name"] for port in ports]
            if state == "refused" and asked.roots[0] in today.roots:
                return result
            names = self._names(variables)
            probes = {
                "probe": _pki.probe(asked.intermediate, names, datetime.now(UTC), LIFE),
                "current": _pki.probe(today.intermediate, names, datetime.now(UTC), LIFE),
                "stranger": _pki.probe(_pki.make_root("nobody", datetime.now(UTC)), names, datetime.now(UTC), LIFE),
            }
        except (SecretsError, InvalidError, _pki.PkiError) as error:
            raise AnsibleActionFail(str(error)) from error
        payload = {"ports": ports, "probes": probes, "issuer": today.intermediate.certificate}
        asked_host = self._execute_module(module_args={"state": state, "payload": payload}, task_vars=task_vars)
        return {**result, **asked_host}

    def _ports(self, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Where the services of this host serve their certificates: {name, address, number}."""
        catalogue = _catalogue.load(check=False)
        inventory = Inventory(variables, self._templar)
        me = next(
            host for host in inventory.hosts("site", catalogue) if host["name"] == str(variables["inventory_hostname"])
        )
        return [
            {
                "name": f"{service.name}/{port}",
                "address": me["address"],
                "number": catalogue.port(service.name, port, inventory.overrides()),
            }
            for service in catalogue.placed(inventory.groups_of_host())
            for port in sorted({port for certificate in service.certificates for port in certificate.ports})
        ]

    def _names(self, variables: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of this host: servers may compare those of a client with where it comes from."""
        domain = self._templar.template(variables.get("site_domain"))
        address = self._templar.template(variables.get("address") or variables.get("ansible_host"))
        return _pki.host_names(str(variables["inventory_hostname"]), domain, address)
