#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module holdfast.platform.patroni_config."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_config
short_description: Reconcile all of Patroni's dynamic configuration, and carry out the restarts that it needs
version_added: 0.1.0
description:
  - Compares the dynamic configuration of a Patroni cluster with the wanted one and writes all differences in one
    request.
  - What is declared is authoritative. A key that is no longer declared is removed. Others own the keys V(pause) and
    V(standby_cluster), and every replication slot below V(slots); those stay unless they are declared, and are removed
    when they are declared as V(null).
  - Two spellings of one value are no difference (V(on) and V(true), V(256MB) and V(262144kB), V(10) and V("10")).
  - After a change it waits until every member that answers shows the new configuration.
  - With O(guard), members that wait for a restart of PostgreSQL are restarted through Patroni, one at a time, each
    under guard and in sync again before the next. Standbys go first, and the leader after a switchover, unless a limit
    is lowered that a standby can't have smaller than its primary; then the leader goes first, in its place. Patroni's
    own reports decide who waits, so that the next run finishes what a dead one began.
  - Refuses what Patroni would silently drop or adjust, and secrets, before anything is written.
  - In check mode, when nothing runs at any of the addresses, it reports everything as a change.
  - Ask it from any one host that may reach the REST interface, with C(run_once).
extends_documentation_fragment:
  - holdfast.platform.guard
options:
  urls:
    description:
      - Addresses of the members' REST interfaces, V(https://<address>:<port>). The first that answers is asked.
    type: list
    elements: str
    required: true
    aliases: [url]
  config:
    description: The wanted dynamic configuration, complete.
    type: dict
    required: true
  ca_path:
    description:
      - File on the host with the certificate authorities that sign the members' certificates. Default is the system's.
    type: path
  username:
    description: User of the REST interface.
    type: str
  password:
    description: Password of the REST interface.
    type: str
  client_cert:
    description: Client certificate, where the REST interface asks for one.
    type: path
  client_key:
    description: Key of the client certificate.
    type: path
  timeout:
    description: Seconds in which a member must answer. Check mode asks each member once.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Tells what would change without writing, and warns when the guard would refuse restarts as things are.
  diff_mode:
    support: full
    description: Shows the whole configuration before and after as YAML.
author:
  - Holdfast founders (@holdfast)
"""

EXAMPLES = r"""
- name: Reconcile the dynamic configuration
  holdfast.platform.patroni_config:
    urls: ["https://10.77.1.11:8008", "https://10.77.2.11:8008", "https://10.77.3.11:8008"]
    ca_path: /etc/holdfast/pki/postgresql/ca.crt
    username: patroni
    password: "{{ lookup('holdfast.platform.secret', 'postgresql/patroni') }}"
    config:
      ttl: 30
      loop_wait: 10
      retry_timeout: 10
      synchronous_mode: true
      postgresql:
        use_pg_rewind: true
        parameters:
          max_connections: 200
          shared_buffers: 256MB
  run_once: true
"""

RETURN = r"""
restart_required:
  description: Names of the members that waited for a restart of PostgreSQL.
  returned: success
  type: list
  elements: str
  sample: [data-a1, data-b1]
restarts:
  description: Switchovers and restarts in their order; in check mode, who would be restarted.
  returned: success
  type: list
  elements: str
  sample: [restart data-b1, restart data-c1, switch over from data-a1 to data-b1, restart data-a1]
restart:
  description: The parameters among this run's changes that only a restart applies.
  returned: success
  type: dict
  contains:
    order:
      description:
        - V(none); V(any); V(standbys_first) because a limit is raised; V(primary_first) because one is lowered;
          V(mixed) for both, which is standbys, then the primary, then standbys again.
      type: str
      returned: success
    raised:
      description: Limits that are raised and that a standby must have before its primary.
      type: list
      elements: str
      returned: success
    lowered:
      description: Limits that are lowered, which the primary must have before a standby.
      type: list
      elements: str
      returned: success
    other:
      description: Other parameters that need a restart, in any order.
      type: list
      elements: str
      returned: success
url:
  description: The member that was asked; null when nothing runs yet (check mode).
  returned: success
  type: str
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.platform.plugins.module_utils import (
    _guard,
    _guard_options,
    _patroni,
    _patroni_restart,
)
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_reconcile import (
    NotConvergedError,
    Outcome,
    reconcile,
)
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_rest import (
    AbsentError,
    Client,
    FailedError,
    UnavailableError,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Seconds until a member that was restarted has to be in sync.
IN_SYNC = 180


def restart(given: Mapping[str, Any], waiting: Sequence[str]) -> list[str]:
    """Carry out restarts, when there are any to carry out. Raises _guard.Refused or Failed."""
    if not waiting:
        return []
    adapter = _guard_options.postgresql(given)
    return _patroni_restart.carry_out(adapter, lambda name: _guard_options.lock({**given, "name": name}), IN_SYNC)


def foresee(module: AnsibleModule, given: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """Tell which restarts there would be, and warn when the guard would refuse the first of them as things are."""
    if outcome.url is None or not (outcome.restart or outcome.restart_required):
        return []
    state = _guard_options.postgresql(given).load()
    members = outcome.restart_required or sorted(state.members)
    _guard_options.foresee(module, given, _patroni_restart.due(state) or _patroni_restart.first(state, outcome.restart))
    return [f"restart {name}" for name in members]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True, "aliases": ["url"]},
            "config": {"type": "dict", "required": True},
            "ca_path": {"type": "path"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "timeout": {"type": "int", "default": 30},
            "guard": _guard_options.OPTION,
        },
        required_together=[["username", "password"], ["client_cert", "client_key"]],
        supports_check_mode=True,
    )
    options = dict(module.params)
    config, timeout, urls, guard = (options.pop(name) for name in ("config", "timeout", "urls", "guard"))
    options.pop("url", None)
    try:
        outcome = reconcile(Client(urls, **options), config, check=module.check_mode, timeout=timeout)
        restarts: list[str] = []
        if guard:
            restarts = (
                foresee(module, guard, outcome) if module.check_mode else restart(guard, outcome.restart_required)
            )
    except _guard.Refused as refusal:
        module.fail_json(msg=f"a member waits for a restart: {refusal}", reasons=refusal.reasons)
    except Failed as error:
        module.fail_json(msg=f"restarts could not be carried out: {error}")
    except _patroni.ConfigError as error:
        module.fail_json(msg=f"config: {error}")
    except ValueError as error:
        module.fail_json(msg=str(error))
    except UnavailableError as error:
        module.fail_json(msg=f"no member of the cluster answers: {error}")
    except (AbsentError, FailedError, NotConvergedError) as error:
        module.fail_json(msg=f"the dynamic configuration could not be reconciled: {error}")
    if outcome.url is None:
        module.warn("nothing runs at any of the addresses yet; the whole configuration is reported as a change")
    result = {
        "changed": bool(outcome.plan.changes or restarts),
        "restarts": restarts,
        "restart_required": list(outcome.restart_required),
        "restart": {key: list(value) if key != "order" else value for key, value in asdict(outcome.restart).items()},
        "url": outcome.url,
    }
    if outcome.plan.changes:
        result["diff"] = {
            "before_header": "dynamic configuration",
            "after_header": "dynamic configuration",
            "before": _patroni.to_yaml(_patroni.mask(outcome.before)),
            "after": _patroni.to_yaml(_patroni.mask(outcome.plan.after)),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
