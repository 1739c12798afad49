# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the users of Redis that secrets stand for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_users
short_description: Users of Redis, with the passwords that it has to accept now
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Takes users by name. Each names its C(secret), and the C(keys) (patterns) that it may touch; C(channels) it may
    use, by default none; C(commands) as C(ACL SETUSER) spells them, by default all that are neither dangerous nor
    administrative; C(discovery), what it may do at the Sentinels, by default what a client needs that asks them for
    the primary.
  - Redis knows several passwords of a user. In the middle of a rotation there are the old one and the new one.
options:
  _terms:
    description: The mapping of users.
    type: list
    elements: dict
    required: true
  drained:
    description:
      - Instead of the users, the moment (ISO 8601, in UTC) by name of each one whose secret's rotation is at the phase
        V(drained), in the hands of this run. Connections from before that moment came with the old value.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show who may log in
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.redis_users', users) | map(attribute='name') }}"
  vars:
    users: {shop: {secret: redis/shop, keys: ["shop:*"]}}
"""

RETURN = r"""
_raw:
  description:
    - One item, the list of users as M(holdfast.platform.redis_state) takes them; or the mapping.
  type: list
  elements: raw
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    open_store,
    read_secret,
    site_secrets,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError

KEYS = ("secret", "keys", "channels", "commands", "discovery")
COMMANDS = ("+@all", "-@admin", "-@dangerous", "+info", "+role")
#: What clients send to a Sentinel, https://redis.io/docs/latest/develop/reference/sentinel-clients/.
DISCOVERY = (
    "+ping",
    "+role",
    "+client|setname",
    "+client|id",
    "+subscribe",
    "+psubscribe",
    "+unsubscribe",
    "+punsubscribe",
    "+sentinel|get-master-addr-by-name",
    "+sentinel|master",
    "+sentinel|masters",
    "+sentinel|replicas",
    "+sentinel|slaves",
    "+sentinel|sentinels",
)


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.redis_users', users)`."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]] | list[dict[str, str]]:
        """Return a list that holds the list of users, or the mapping."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 1 or not isinstance(terms[0], Mapping):
            raise AnsibleError("give one mapping of users")
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            store = open_store(variables, self._templar, self._loader)
            extra = site_secrets(variables, self._templar)

            def read(path: str) -> Secret:
                return read_secret(store, path, extra, check=check)

            if self.get_option("drained"):
                return [_leaving(terms[0], read)]
            return [[_user(str(name), given or {}, read) for name, given in terms[0].items()]]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error


def _user(name: str, given: Mapping[str, Any], read: Callable[[str], Secret]) -> dict[str, Any]:
    where = f"redis_users.{name}"
    unknown = sorted(set(given) - set(KEYS))
    if unknown:
        raise SecretsError(f"{where}.{unknown[0]}: is not known; a user has {', '.join(KEYS)}")
    if not given.get("secret"):
        raise SecretsError(f"{where}.secret: has to name a secret, <owner>/<name>")
    secret = read(str(given["secret"]))
    if secret.policy is not None and secret.policy.rotation == "alternate":
        raise SecretsError(
            f"{where}.secret: {given['secret']} alternates, and Redis knows two passwords: make it 'dual'"
        )
    return {
        "name": name,
        "passwords": _rotation.passwords(secret),
        "keys": list(given.get("keys", ())),
        "channels": list(given.get("channels", ())),
        "commands": list(given.get("commands", COMMANDS)),
        "discovery": list(given.get("discovery", DISCOVERY)),
    }


def _leaving(users: Mapping[str, Any], read: Callable[[str], Secret]) -> dict[str, str]:
    found = {str(name): read(str(given["secret"])) for name, given in users.items()}
    mine = {name: secret for name, secret in found.items() if _rotation.at(secret, "drained", _controller.name())}
    return {name: secret.journal.switched for name, secret in sorted(mine.items()) if secret.journal}
