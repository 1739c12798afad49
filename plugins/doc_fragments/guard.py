# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The option of every module that stops members of a cluster."""

    DOCUMENTATION = r"""
options:
  guard:
    description:
      - The cluster that this member belongs to. Before the member stops, its turn is taken and the cluster is asked
        whether it can spare it.
    type: dict
    suboptions:
      kind:
        description: The service that is asked.
        type: str
        choices: [etcd, postgresql, redis, redis_shards]
        required: true
      name:
        description: This member's name in the cluster.
        type: str
        required: true
      members:
        description:
          - Names of all members, and the base URL of each one's interface (of etcd's clients, of Patroni). For Redis
            C(host:port) of its server.
        type: dict
        required: true
      access:
        description: How the members are asked.
        type: dict
        required: true
        suboptions: &login
          ca:
            description: File of the authorities that certificates are checked against.
            type: path
            required: true
          certificate:
            description: File of the client certificate.
            type: path
            required: true
          key:
            description: File of the client certificate's key.
            type: path
            required: true
          user:
            description: User who asks. Empty where the certificate is enough, as for the etcd of Kubernetes.
            type: str
            default: ""
          password:
            description: The user's password.
            type: str
            default: ""
      lock:
        description: Where in etcd the cluster's lock lies, with a lease that ends with the process that holds it.
        type: dict
        required: true
        suboptions:
          <<: *login
          endpoints:
            description: Base URLs of the members of etcd.
            type: list
            elements: str
            required: true
          prefix:
            description: Prefix of the lock's keys, with a slash at its end. The user has to be allowed to write there.
            type: str
            required: true
      controller:
        description:
          - Which run this is (P(holdfast.platform.controller#lookup)). Hosts of one run wait for each other; the lock
            of another run is waited for as long as a dead one can hold it, and then refused.
        type: str
        default: ""
      lag:
        description: Bytes of WAL by which a standby may lag behind the leader; of the replication stream, for Redis.
        type: int
        default: 16777216
      sentinels:
        description: For Redis, C(host:port) of all Sentinels by the members' names.
        type: dict
        default: {}
      cluster:
        description: For Redis, the name by which its Sentinels know the cluster.
        type: str
        default: ""
      zones:
        description: For shards of Redis, the members' zones by their names.
        type: dict
        default: {}
"""
