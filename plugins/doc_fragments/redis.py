# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the members of a Redis cluster are reached."""

    DOCUMENTATION = r"""
options:
  members:
    description: Addresses of all servers by the members' names, C(host:port) each.
    type: dict
    required: true
  sentinels:
    description: Addresses of all Sentinels by the members' names, C(host:port) each.
    type: dict
    required: true
  cluster:
    description: Name by which the Sentinels know the cluster.
    type: str
    required: true
  ca:
    description: File with the authorities that sign the members' certificates.
    type: path
    required: true
  user:
    description: User who asks.
    type: str
    required: true
  passwords:
    description: Passwords of which one is the user's. In the middle of a rotation there are two.
    type: list
    elements: str
    required: true
  topology:
    description: V(sentinel) for a primary with replicas that Sentinels watch, V(cluster) for shards.
    type: str
    choices: [sentinel, cluster]
    default: sentinel
  zones:
    description: Zones of the members by their names, for shards.
    type: dict
    default: {}
  replicas:
    description: How many replicas each shard is to have at least.
    type: int
    default: 1
"""

    # What a module that keeps a member is told besides.
    MEMBER = r"""
options:
  name:
    description: This member's name.
    type: str
    required: true
  here:
    description: Addresses at which the programs of this host reach its server and its Sentinel.
    type: dict
    required: true
    suboptions:
      server:
        description: The server's, C(host:port).
        type: str
        required: true
      sentinel:
        description: The Sentinel's, C(host:port).
        type: str
        required: true
  directories:
    description: Where the server and the Sentinel keep what is their own.
    type: dict
    required: true
    suboptions:
      server:
        description: The server's directory.
        type: path
        required: true
      sentinel:
        description: The Sentinel's directory.
        type: path
        required: true
  users:
    description: All users that there are to be; others go.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      passwords:
        description: All passwords that are accepted. Without one the user is there, and can't log in.
        type: list
        elements: str
        required: true
      commands:
        description:
          - What the user may do at the servers, as C(ACL SETUSER) spells it. Empty for one that is not to be there.
        type: list
        elements: str
        default: []
      keys:
        description: Patterns of the keys that it may touch.
        type: list
        elements: str
        default: []
      channels:
        description: Patterns of the channels that it may use.
        type: list
        elements: str
        default: []
      discovery:
        description: What it may do at the Sentinels. Empty for one that is not to be there.
        type: list
        elements: str
        default: []
  watch:
    description: How the Sentinels watch.
    type: dict
    required: true
    suboptions:
      quorum:
        description: How many of them have to agree that the primary is down.
        type: int
        required: true
      down_after:
        description: Milliseconds without an answer after which a Sentinel takes a member for down.
        type: int
        required: true
      failover_timeout:
        description: Milliseconds that the steps of a failover may take.
        type: int
        required: true
      user:
        description: User with which they enter servers and other Sentinels.
        type: str
        required: true
      password:
        description: The user's password.
        type: str
        required: true
"""
