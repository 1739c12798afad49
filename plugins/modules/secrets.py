#!/usr/bin/python
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: secrets
short_description: Make the secrets of the site that are missing
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Makes every secret that the descriptors of the inventory's services declare and the site's secret store
    doesn't have, and the site's CA. What is there is never replaced.
  - A service is in the inventory when a group of its name has hosts, or when its descriptor says that it is
    on every host.
  - Runs once for a play, on the controller, and connects to no host. It belongs at the start of a run,
    before the first role.
  - Secrets of one owner are made in one transaction. A second run that writes at the same time waits.
  - The CA is a root (P-384, ten years) and an intermediate (P-256, five years) with the site's name,
    kept as owner C(pki).
    Once the intermediate is made, C(pki/root_key) may be taken out of the store and kept offline.
attributes:
  check_mode:
    description: Reports which secrets would be made.
    support: full
  diff_mode:
    description: Names the secrets that are made. Values are never shown.
    support: full
options:
  extra:
    description:
      - Secrets that no descriptor declares, by owner and name, with their policy, such as those of a site's own
        applications.
      - A policy has the keys of a descriptor's C(secrets), C(length), C(alphabet), C(lifetime) and C(rotation).
    type: dict
    default: {}
notes:
  - The secrets are in Ansible Vault files, or, with V(secrets_backend=kv), on the server that V(secrets_kv) describes.
  - The directory is the variable V(secrets_dir) (default C(secrets) in the inventory's directory).
    The vault password is the one of the run, or the file or program that the variable
    V(secrets_vault_password_file) names.
seealso:
  - plugin: holdfast.platform.secret
    plugin_type: lookup
  - module: holdfast.platform.certificate
"""

EXAMPLES = r"""
- name: Make the secrets that are missing
  holdfast.platform.secrets:

- name: Make those of the site's own applications as well
  holdfast.platform.secrets:
    extra:
      shop:
        session_key: {length: 32, alphabet: base64, rotation: none}
"""

RETURN = r"""
created:
  description: Names of the secrets that were made, sorted; in check mode, of those that would be.
  type: list
  elements: str
  returned: always
  sample: [etcd/root, pki/root_key]
"""
