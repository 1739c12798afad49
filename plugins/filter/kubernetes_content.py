# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site declares of a Kubernetes cluster's content, in the API's own words."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kubernetes_content
short_description: What a site declares of a Kubernetes cluster's content, in the API's own words
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Makes manifests of namespaces, priority classes, storage classes and local volumes, and says what each node has to
    bear. Everything is judged first; what is wrong is named by its variable.
positional: hosts, pools
options:
  _input:
    description: Variables of the role C(kubernetes_content) by their names.
    type: dict
    required: true
  hosts:
    description: The nodes, as P(holdfast.platform.hosts#lookup) gives them.
    type: list
    elements: dict
    required: true
  pools:
    description: The pool of each node.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the manifests of a namespace
  ansible.builtin.debug:
    msg: "{{ (declared | holdfast.platform.kubernetes_content(hosts, {'app-a1': 'application'})).objects }}"
  vars:
    hosts: "{{ lookup('holdfast.platform.hosts', 'kubernetes_node') }}"
    declared:
      kubernetes_content_region: north
      kubernetes_content_service_network: 10.96.0.0/16
      kubernetes_content_namespaces: {shop: {quota: {pods: 20}}}
"""

RETURN = r"""
_value:
  description:
    - C(nodes), what M(holdfast.platform.kubernetes_nodes) brings each one to, and C(identities), names and addresses of
      each.
    - C(objects), manifests, and C(dns_address), where the cluster's name server answers.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.plugin_utils import _kube_content
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


def kubernetes_content(
    declared: Mapping[str, Any], hosts: Sequence[Mapping[str, str]], pools: Mapping[str, str]
) -> dict[str, Any]:
    """Shape what is declared. Raises AnsibleFilterError that names what is wrong."""
    try:
        return _kube_content.content(declared, hosts, pools)
    except InvalidError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"kubernetes_content": kubernetes_content}
