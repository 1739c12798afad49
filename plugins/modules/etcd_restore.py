#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Bring one member of an etcd cluster back from a copy
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The steps of the verb C(restore), each on all members before the next one begins.
  - V(prepared) fetches the copy, checks it, and makes the member's new data beside the old ones. The running
    cluster is not touched.
  - V(swapped) stops the member, keeps the old data aside, and starts it with the new ones, for clients of its own host
    alone, and does not wait.
  - V(settled), on one member, waits for the new cluster and puts right what the copy says of its own time. Every lease
    ends, keys that match O(forget) go, and the administrator gets today's password.
  - V(opened) starts the member once more, for all clients, and waits until it serves.
  - The new cluster has a new token, and its revisions go on 1,000,000,000 above those of the copy, so that no client
    sees an older revision than it has seen before.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: Fetches and checks the copy, and touches no member.
  diff_mode:
    support: none
    description: Data have no diff.
options:
  state:
    description: The step.
    type: str
    choices: [prepared, swapped, settled, opened]
    required: true
  settings:
    description: File with the backup settings of the service.
    type: path
    default: /etc/holdfast/backup/etcd.json
  copy:
    description: The chosen copy, as M(holdfast.platform.restic) returns it.
    type: dict
    required: true
  name:
    description: Name of this member.
    type: str
    required: true
  members:
    description: Peer URLs of all members by name.
    type: dict
    required: true
  token:
    description: Token of the new cluster. The old data are kept under the last part of it.
    type: str
    required: true
  forget:
    description: Keys that the new cluster does not have, as shell patterns of whole keys.
    type: list
    elements: str
    default: []
  data_dir:
    description: Data directory of the member.
    type: path
    default: /var/lib/etcd/holdfast
  unit:
    description: The member's unit.
    type: str
    default: etcd.service
  owner:
    description: User and group that own the data.
    type: str
    default: etcd
  timeout:
    description: Seconds until the new cluster has to serve.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Prepare the new data
  holdfast.platform.etcd_restore:
    state: prepared
    copy: "{{ __etcd_copy.chosen }}"
    name: data-a1
    members: {data-a1: "https://10.77.1.11:2380"}
    token: north-etcd-20261121T100000
    endpoints: ["https://127.0.0.1:2379"]
    ca: /etc/holdfast/pki/etcd/ca.crt
    certificate: /etc/holdfast/pki/etcd/etcd.crt
    key: /etc/holdfast/pki/etcd/etcd.key
    password: "{{ etcd_root_password }}"
"""

RETURN = r"""
figures:
  description: What the manifest says of the copy, such as C(revision), C(keys) and C(bytes).
  type: dict
  returned: with O(state=prepared)
aside:
  description: Where the old data are kept.
  type: str
  returned: with O(state=swapped)
leases:
  description: How many leases were ended.
  type: int
  returned: with O(state=settled)
forgotten:
  description: The keys that went.
  type: list
  elements: str
  returned: with O(state=settled)
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _etcd_restore as rules
from ansible_collections.holdfast.platform.plugins.module_utils import _restic
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_snapshot import ACCESS as LOGIN
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_snapshot import SNAPSHOT
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


class Restore:
    """The steps, with what they share."""

    def __init__(self, module: AnsibleModule) -> None:
        given = module.params
        self.given, self.dry = given, module.check_mode
        self.plan = rules.Plan(given["name"], given["members"], given["token"], Path(given["data_dir"]))
        self.settings = _restic.load(given["settings"])
        self.copy = _restic.Copy.of(given["copy"])
        self.place = self.settings.home / "restore" / self.copy.id

    def client(self, user: str | None = None, password: str | None = None) -> Client:
        """A client of the endpoints; without login one that says who it is by its certificate alone."""
        files = {name: self.given[name] for name in ("ca", "certificate", "key")}
        return Client(self.given["endpoints"], **files, user=user, password=password)

    def prepared(self) -> dict[str, Any]:
        manifest = _restic.fetch(self.settings, self.copy, self.place)
        if not self.dry:
            rules.prepare(self.plan, self.place / SNAPSHOT, self.given["owner"])
        return {"figures": manifest["figures"]}

    def swapped(self) -> dict[str, Any]:
        if not self.dry:
            rules.swap(self.plan, self.given["unit"], self.given["endpoints"][0])
        return {"aside": str(self.plan.aside)}

    def settled(self) -> dict[str, Any]:
        if self.dry:
            return {"leases": 0, "forgotten": []}
        rules.wait(self.client(), self.given["timeout"])
        today = {"user": self.given["user"], "password": self.given["password"]}
        client = rules.enter([self.client(**rules.access(self.place / LOGIN)), self.client(**today)])
        return rules.settle(client, **today, forget=self.given["forget"])

    def opened(self) -> dict[str, Any]:
        if not self.dry:
            run(["systemctl", "restart", "--", self.given["unit"]], timeout=self.given["timeout"])
            rules.wait(self.client(), self.given["timeout"])
        return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "swapped", "settled", "opened"], "required": True},
            "settings": {"type": "path", "default": "/etc/holdfast/backup/etcd.json"},
            "copy": {"type": "dict", "required": True},
            "name": {"type": "str", "required": True},
            "members": {"type": "dict", "required": True},
            "token": {"type": "str", "required": True, "no_log": False},
            "forget": {"type": "list", "elements": "str", "default": []},
            "data_dir": {"type": "path", "default": "/var/lib/etcd/holdfast"},
            "unit": {"type": "str", "default": "etcd.service"},
            "owner": {"type": "str", "default": "etcd"},
            "timeout": {"type": "int", "default": 120},
            **ACCESS,
        },
        supports_check_mode=True,
    )
    try:
        restore = Restore(module)
        module.exit_json(changed=True, **getattr(restore, module.params["state"])())
    except (Failed, _restic.BackupError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
