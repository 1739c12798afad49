# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the certificates of a service on a host: the controller's half, which decides and signs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._certificate_plan import Plan, read_plan
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import declared_certificates, open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError

ARGUMENTS = {
    "service": {"type": "str", "required": True},
    "directory": {"type": "path"},
    "certificates": {"type": "dict"},
    "effects": {"type": "dict", "default": {}},
    "trust_effects": {"type": "dict", "default": {}},
    "bundle": {"type": "str"},
    "lifetime": {"type": "str", "default": "90d"},
}


class ActionModule(ActionBase):
    """Action `holdfast.platform.certificate`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host what it has, sign what has to be issued, and install that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        now = datetime.now(UTC)
        try:
            plan = self._plan(arguments, variables)
            authority = _site_ca.authority_of(open_store(variables, self._templar, self._loader).read(_site_ca.OWNER))
            if authority is None and not self._task.check_mode:
                raise AnsibleActionFail(
                    "the site has no CA yet; the task holdfast.platform.secrets, "
                    "the first of playbooks/site.yml, makes it"
                )
            if authority is not None:
                _pki.check_authority(authority, now)
            directory = arguments["directory"] or f"/etc/holdfast/pki/{arguments['service']}"
            call = {"service": arguments["service"], "directory": directory}
            payload: dict[str, Any] = {
                "certificates": plan.slots,
                "authority": authority.bundle if authority else None,
                "bundle": arguments["bundle"] or arguments["service"],
                "effects": _effects("effects", arguments["effects"]),
                "trust_effects": _effects("trust_effects", arguments["trust_effects"]),
            }
            seen = self._execute_module(module_args={**call, "payload": payload}, task_vars=task_vars)
            if seen.get("failed"):
                return {**result, **seen, "round_trips": 1}
            reasons, chains = _decide(plan, seen["certificates"], authority, now)
            paths = list(seen["paths"])
            trips = 1
            if reasons and not self._task.check_mode:
                payload["chains"] = {name: chains[name] for name in reasons}
                done = self._execute_module(module_args={**call, "payload": payload}, task_vars=task_vars)
                trips = 2
                if done.get("failed"):
                    return {**result, **done, "round_trips": trips}
                paths += done["paths"]
        except (SecretsError, _pki.PkiError) as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(
            changed=bool(paths or reasons),
            paths=sorted(set(paths) | {f"{directory}/{name}.crt" for name in reasons}),
            round_trips=trips,
            certificates={
                name: {
                    "issued": name in reasons,
                    "reason": reasons.get(name, ""),
                    **(_pki.facts(chains[name]) if name in chains else {"not_after": "", "serial": ""}),
                }
                for name in plan.slots
            },
        )
        if reasons:
            result["diff"] = {
                "before": "",
                "after": "".join(f"{directory}/{name}.crt: {reason}\n" for name, reason in reasons.items()),
            }
        return result

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Plan:
        """What the host should have, from the descriptor or the task and the host's own variables."""
        declared = arguments["certificates"]
        if declared is None:
            declared = declared_certificates(arguments["service"])
        return read_plan(
            declared,
            hostname=str(variables["inventory_hostname"]),
            domain=self._templar.template(variables.get("site_domain")),
            addresses=[self._templar.template(variables.get(name)) for name in ("address", "ansible_host")],
            lifetime=arguments["lifetime"],
        )


def _effects(option: str, effects: Mapping[str, Any]) -> Mapping[str, Any]:
    """The effects, if each is one that a unit can have. Raises PkiError."""
    for unit, effect in effects.items():
        if effect not in ("reload", "restart"):
            raise _pki.PkiError(f"{option}.{unit}: is {effect!r}, it has to be reload or restart")
    return effects


def _decide(
    plan: Plan, seen: Mapping[str, Mapping[str, Any]], authority: _pki.Authority | None, now: datetime
) -> tuple[dict[str, str], dict[str, str]]:
    """Why each certificate has to be issued, and the chains that hosts will have: signed now, or kept.

    Without an authority or a request (check mode only) there is a reason and no chain.
    """
    reasons: dict[str, str] = {}
    chains: dict[str, str] = {}
    for name, wanted in plan.wanted.items():
        request, chain = seen[name]["request"], seen[name]["chain"]
        if authority is None:
            reasons[name] = "the site has no CA yet"
        elif request is None:
            reasons[name] = "the host has no key yet"
        elif reason := _pki.needs_issue(chain, _pki.request_public_key(request), authority, wanted, now):
            reasons[name] = reason
            chains[name] = _pki.sign(request, authority, wanted, now)
        else:
            chains[name] = chain
    return reasons, chains
