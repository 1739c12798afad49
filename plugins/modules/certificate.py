#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Have the certificates of a service on a host
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - For every certificate that the service's descriptor declares, keeps C(<name>.key) (mode 0600, of the declared
    owner), C(<name>.crt) (leaf and intermediate) and C(ca.crt) (the site's trusted roots) in one directory.
  - The key is made on the host and never leaves it. The controller signs the host's request with the site's
    intermediate CA, which P(holdfast.platform.secrets#module) has made.
  - A certificate is issued when it is missing or can't be read, was made for another key or by another CA,
    lacks a name or has one too many, has another usage, lives longer than O(lifetime), is not valid yet or
    any more, or when two thirds of its life are over.
  - One module call when there is nothing to issue, two otherwise, for any number of certificates.
attributes:
  check_mode:
    description: Reports what would be issued, also on a host that has neither openssl nor the key's owner yet.
    support: full
  diff_mode:
    description: Names each certificate with the reason why it is issued. Certificates and keys are not shown.
    support: full
options:
  service:
    description: The service, as the catalogue names it.
    type: str
    required: true
  directory:
    description:
      - Where the files are. The default is C(/etc/holdfast/pki/<service>).
      - It is made when it is missing, owned by root and readable by all; one that exists keeps its mode.
    type: path
  certificates:
    description:
      - The certificates by name. The default is what the service's descriptor declares.
      - Every certificate holds the host's full and short name, its address, C(localhost) and 127.0.0.1.
    type: dict
  effects:
    description:
      - What has to happen to units that hold the old files in memory, a unit and V(reload) or V(restart) each.
      - When a certificate or C(ca.crt) changes, this waits with the effects of O(bundle), before anything is written.
        The bundle's next result has them, and P(holdfast.platform.member#module) carries them out.
        So the order of a role is certificate, bundle, member.
      - Check mode does not add them to the bundle's result.
    type: dict
    default: {}
  trust_effects:
    description:
      - What has to happen besides O(effects) when the trusted roots in C(ca.crt) change. For units that read them only
        once, such as etcd, or that have no certificate of their own.
    type: dict
    default: {}
  bundle:
    description: The bundle with which O(effects) and O(trust_effects) wait. The default is the service's name.
    type: str
  lifetime:
    description: How long a new certificate is valid, such as V(90d) or V(12h). It never outlives the intermediate CA.
    type: str
    default: 90d
  payload:
    description: Private. What the controller's half of this module asks of the host's half.
    type: dict
notes:
  - The host needs the C(openssl) program.
  - Variables of the host that are used are C(site_domain) and C(address) (else C(ansible_host), when it is an address).
seealso:
  - module: holdfast.platform.secrets
"""

EXAMPLES = r"""
- name: Issue the certificates
  holdfast.platform.certificate:
    service: etcd

- name: Issue the certificates, and have them read again when they change
  holdfast.platform.certificate:
    service: postgresql
    effects: {haproxy.service: reload, pgbouncer.service: reload}

- name: Issue a certificate that no descriptor declares
  holdfast.platform.certificate:
    service: shop
    certificates:
      web: {owner: www-data, usage: [server], names: [shop]}
"""

RETURN = r"""
certificates:
  description: Every certificate by name.
  type: dict
  returned: always
  contains:
    issued:
      description: Whether it was issued by this task; in check mode, whether it would be.
      type: bool
    reason:
      description: Why it was issued, or empty.
      type: str
    not_after:
      description: End of validity in UTC, ISO 8601; empty in check mode when there is none yet.
      type: str
    serial:
      description: Serial number in hexadecimal digits; empty in check mode when there is none yet.
      type: str
  sample: {etcd: {issued: true, reason: missing, not_after: "2027-02-19T09:00:00Z", serial: 5f1c}}
paths:
  description: Files and directories that were changed.
  type: list
  elements: str
  returned: always
round_trips:
  description: Module calls that were made on the host.
  type: int
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.holdfast.platform.plugins.module_utils._certificate import Task, converge
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "directory": {"type": "path"},
            "certificates": {"type": "dict"},
            "effects": {"type": "dict", "default": {}},
            "trust_effects": {"type": "dict", "default": {}},
            "bundle": {"type": "str"},
            "lifetime": {"type": "str", "default": "90d"},
            "payload": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    if module.params["payload"] is None:
        module.fail_json(msg="this module is called by its action plugin only")
    try:
        result = converge(Task.of(module.params["directory"], module.params["payload"]), check=module.check_mode)
    except Failed as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
