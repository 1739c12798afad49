#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply the complete set of files that a role owns on a host, as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Apply a role's configuration files as one transaction
version_added: 0.1.0
author:
  - Holdfast founders (@holdfast)
description:
  - Renders all of C(templates/) and C(files/) of a role on the controller and applies them to the host in one call,
    as one transaction. Both trees mirror the paths on the host; C(.j2) is cut off.
  - On the host the set is compared, validated at its final paths in a private mount namespace, staged beside its
    targets and swapped by renames. A failure at any step, a kill included, leaves or restores what was there before,
    byte for byte; after a kill the next run of the bundle does so.
  - Files that the bundle owned before and that are not declared any more are removed.
  - The result names the units that have to be reloaded or restarted. It goes on naming them until
    M(holdfast.platform.member) has acted, also over runs that were broken off in between.
  - Names under C(templates/) and C(files/) that start with an underscore are not files of the host, but macros and
    parts that templates include.
options:
  name:
    description: Name of the bundle, unique on a host. Lower-case letters, digits, C(-) and C(_).
    type: str
    required: true
  state:
    description:
      - V(present) applies the files of the role.
      - V(rolled_back) brings an earlier generation back from what the host has kept.
    type: str
    choices: [present, rolled_back]
    default: present
  generation:
    description: The generation to go back to with O(state=rolled_back). Default is the one before the current one.
    type: int
  root:
    description: Directory with C(templates/) and C(files/). By default the task's role, or the playbook's directory.
    type: path
  defaults:
    description:
      - Settings of every file. V(owner) and V(group) (root), V(mode) (a quoted octal number, 0644), V(unit) and what
        a change means for it, V(effect), one of V(none), V(reload) and V(restart) (restart when there is a unit).
    type: dict
    default: {}
  files:
    description:
      - Settings of single files. The key is a path on the host, or a pattern with C(*), C(?) or C([...]), where C(*)
        matches slashes too. Later patterns win over earlier ones, the path itself wins over all.
      - Besides what O(defaults) takes, V(content) (text) or V(base64) (bytes) give a file that is in neither tree,
        V(template) renders a file under C(templates/) for this path, and V(when=false) leaves a file out.
    type: dict
    default: {}
  directories:
    description:
      - Directories that have to be there, by path, with V(owner), V(group), V(mode) (0755), V(unit),
        V(effect) (none).
      - Missing parents of files are made as root with mode 0755. What the bundle has made is removed again when the
        bundle needs it no more and it is empty.
    type: dict
    default: {}
  validate:
    description:
      - Commands, each a list of words, that judge the whole set at its final paths before anything is changed there.
        They run as root in a private mount namespace where the new files are in place.
      - In check mode a validator that is not installed yet is left out.
    type: list
    elements: list
    default: []
  on_drift:
    description: Whether to V(undo) what was changed by hand since the last run, or to V(refuse) to overwrite it.
    type: str
    choices: [undo, refuse]
    default: undo
  keep:
    description: How many generations are kept on the host.
    type: int
    default: 5
  activate:
    description:
      - Commands, each a list of words, that put the files into use. Only with O(confirm_within); run after the swap,
        and again after a roll back.
    type: list
    elements: list
    default: []
  confirm_within:
    description:
      - Seconds in which the controller has to confirm a change over a fresh connection. Otherwise the host brings the
        previous generation back by itself and runs O(activate) again. For what could lock the controller out, such as a
        firewall or the SSH server. A run that changes nothing starts no timer.
    type: int
attributes:
  check_mode:
    support: full
    description: Compares and validates as the run does, and reports what it would report.
  diff_mode:
    support: full
    description: Text files are shown; of files that others may not read, and of binary ones, only that they change.
requirements:
  - Linux with Python 3.9 or newer on the host, and root.
seealso:
  - module: holdfast.platform.member
"""

EXAMPLES = r"""
- name: Apply the configuration
  holdfast.platform.bundle:
    name: haproxy
    defaults: {unit: haproxy.service, effect: reload}
    files:
      /etc/haproxy/certs/*.pem: {mode: '0600'}
      /etc/default/haproxy: {effect: restart}
    validate:
      - [haproxy, -c, -f, /etc/haproxy/haproxy.cfg]
  register: __haproxy_bundle

- name: Apply the firewall, and go back unless the controller still gets in
  holdfast.platform.bundle:
    name: firewall
    validate: [[nft, -c, -f, /etc/nftables.conf]]
    activate: [[systemctl, reload, nftables]]
    confirm_within: 60

- name: Go back to the generation before
  holdfast.platform.bundle:
    name: haproxy
    state: rolled_back
"""

RETURN = r"""
paths:
  description: What was changed, or would be in check mode.
  type: list
  elements: dict
  returned: success
  sample: [{path: /etc/haproxy/haproxy.cfg, change: content}]
effects:
  description: What has to be done to which unit, including what earlier runs left undone.
  type: dict
  returned: success
  sample: {haproxy.service: reload}
effect:
  description: The strongest of the effects.
  type: str
  returned: success
  sample: reload
generation:
  description: The generation that is in force.
  type: int
  returned: success
drift:
  description: Paths that were changed by hand since the last run, and how.
  type: list
  elements: dict
  returned: success
  sample: [{path: /etc/haproxy/haproxy.cfg, change: mode}]
recovered:
  description: What became of an interrupted earlier run.
  type: str
  returned: when there was one
  sample: rolled back
validation:
  description: Validators that failed, with their output.
  type: list
  elements: dict
  returned: when validation failed
rolled_back:
  description: Whether a change that had to be confirmed was taken back.
  type: bool
  returned: with O(confirm_within) on failure
round_trips:
  description: How many module calls it took.
  type: int
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle
from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_wire as wire


def main() -> None:
    commands = {"type": "list", "elements": "list", "default": []}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "rolled_back"], "default": "present"},
            "generation": {"type": "int"},
            "root": {"type": "path"},
            "defaults": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "directories": {"type": "dict", "default": {}},
            "validate": commands,
            "on_drift": {"type": "str", "choices": ["undo", "refuse"], "default": "undo"},
            "keep": {"type": "int", "default": 5},
            "activate": commands,
            "confirm_within": {"type": "int"},
            # What the action sends: everything that matters is in here, and none of it is shown or logged.
            "_payload": {"type": "str", "no_log": True},
            "_contents": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if not module.params["_payload"]:
        module.fail_json(msg="bundle works through its action plugin; call it as holdfast.platform.bundle in a task.")
    try:
        request, contents = wire.unpack(module.params["_payload"])
        if module.params["_contents"]:
            contents.update(wire.read_file(Path(module.params["_contents"])))
        result = _bundle.run(request, contents, check=module.check_mode, diff=module._diff)
    except _bundle.Refused as refusal:
        module.fail_json(msg=str(refusal), **refusal.facts)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"bundle {module.params['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
