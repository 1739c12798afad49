#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_restore
short_description: Bring one control plane of a Kubernetes cluster back from a copy
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - The steps of the verb C(restore), each on all control planes before the next one begins.
  - V(prepared) fetches the copy, checks it, and makes the member's new data beside the old ones. The running cluster is
    not touched.
  - V(closed) ends the API server. V(swapped) ends the member of etcd, keeps its old data aside, and starts it with the
    new ones. Keys that encrypted the copy's Secrets and are not in use any more can be read with from then on.
  - V(opened) waits for the member, starts the API server, and lets those begin anew who watched the old history.
  - The revisions go on 1,000,000,000 above those of the copy, so that no client sees an older one than it has seen.
extends_documentation_fragment:
  - holdfast.platform.etcd
attributes:
  check_mode:
    support: full
    description: Fetches and checks the copy, and touches nothing else.
  diff_mode:
    support: none
    description: Data have no diff.
options:
  state:
    description: The step.
    type: str
    choices: [prepared, closed, swapped, opened]
    required: true
  settings:
    description: File with the backup settings of the service.
    type: path
    default: /etc/holdfast/backup/kubernetes/settings.json
  copy:
    description: The chosen copy, as M(holdfast.platform.restic) returns it.
    type: dict
    required: true
  name:
    description: Name of this control plane.
    type: str
    required: true
  members:
    description: Peer URLs of all members of etcd by name.
    type: dict
    required: true
  token:
    description: Token of the new cluster of etcd. The old data are kept under the last part of it.
    type: str
    required: true
  server:
    description: Base URL of this host's API server.
    type: str
    required: true
  timeout:
    description: Seconds until something has ended, or serves again.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: End the API servers
  holdfast.platform.kubernetes_restore:
    state: closed
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
older_keys:
  description: Whether the copy's Secrets were encrypted with keys that are not in use any more.
  type: bool
  returned: with O(state=swapped)
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _etcd_restore,
    _kube_restore,
    _kube_static,
    _kubeadm,
    _restic,
)
from ansible_collections.holdfast.platform.plugins.module_utils._etcd import ACCESS, Client
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_snapshot import SNAPSHOT
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

DATA = Path("/var/lib/etcd")


class Restore:
    """The steps, with what they share."""

    def __init__(self, module: AnsibleModule) -> None:
        given = module.params
        self.given, self.dry = given, module.check_mode
        self.plan = _etcd_restore.Plan(given["name"], given["members"], given["token"], DATA)
        self.settings = _restic.load(given["settings"])
        self.copy = _restic.Copy.of(given["copy"])
        self.place = self.settings.home / "restore" / self.copy.id

    def prepared(self) -> dict[str, Any]:
        manifest = _restic.fetch(self.settings, self.copy, self.place)
        if not self.dry:
            _etcd_restore.prepare(self.plan, self.place / SNAPSHOT, "root")
        return {"figures": manifest["figures"]}

    def closed(self) -> dict[str, Any]:
        if not self.dry:
            _kube_static.stop("kube-apiserver", self.given["timeout"], kill=True)
        return {}

    def swapped(self) -> dict[str, Any]:
        if self.dry:
            return {"aside": str(self.plan.aside), "older_keys": False}
        _kube_static.stop("etcd", self.given["timeout"], kill=True)
        _kube_restore.swap(self.plan)
        older = _kube_restore.take_keys(self.place / _kube_restore.ENCRYPTION.name)
        _kube_static.start("etcd")
        return {"aside": str(self.plan.aside), "older_keys": older}

    def opened(self) -> dict[str, Any]:
        if not self.dry:
            files = {name: self.given[name] for name in ("ca", "certificate", "key")}
            _etcd_restore.wait(Client(self.given["endpoints"], **files), self.given["timeout"])
            _kube_static.start("kube-apiserver")
            server = self.given["server"]
            reason = until(lambda: _kubeadm.unready(server, _kubeadm.PKI / "ca.crt"), self.given["timeout"], 0.5)
            if reason:
                raise Failed(f"{server} is not ready after {self.given['timeout']} s: {reason}")
            _kube_restore.renew_watches()
        return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "closed", "swapped", "opened"], "required": True},
            "settings": {"type": "path", "default": "/etc/holdfast/backup/kubernetes/settings.json"},
            "copy": {"type": "dict", "required": True},
            "name": {"type": "str", "required": True},
            "members": {"type": "dict", "required": True},
            "token": {"type": "str", "required": True, "no_log": False},
            "server": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 180},
            **ACCESS,
        },
        supports_check_mode=True,
    )
    try:
        restore = Restore(module)
        module.exit_json(changed=True, **getattr(restore, module.params["state"])())
    except (Failed, OSError, _restic.BackupError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
