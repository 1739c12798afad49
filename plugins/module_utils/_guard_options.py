# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module is told about the guard of a cluster, and the adapter and the lock that follow from it.

The options are documented in the fragment `guard`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _etcd,
    _guard,
    _guard_etcd,
    _guard_postgresql,
    _guard_redis,
    _guard_redis_shards,
    _patroni_rest,
    _redis_cluster,
)
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Lock

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_ACCESS: dict[str, Any] = {
    "ca": {"type": "path", "required": True},
    "certificate": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
}
OPTION: dict[str, Any] = {
    "type": "dict",
    "options": {
        "kind": {"type": "str", "choices": ["etcd", "postgresql", "redis", "redis_shards"], "required": True},
        "name": {"type": "str", "required": True},
        "members": {"type": "dict", "required": True},
        "access": {"type": "dict", "required": True, "options": _ACCESS},
        "lock": {
            "type": "dict",
            "required": True,
            "options": {
                **_ACCESS,
                "endpoints": {"type": "list", "elements": "str", "required": True},
                "prefix": {"type": "str", "required": True},
            },
        },
        "controller": {"type": "str", "default": ""},
        "lag": {"type": "int", "default": 16 * 1024 * 1024},
        "sentinels": {"type": "dict", "default": {}},
        "cluster": {"type": "str", "default": ""},
        "zones": {"type": "dict", "default": {}},
    },
}


def etcd(given: Mapping[str, Any]) -> _etcd.Client:
    """Make a client of the etcd that has the lock."""
    return _etcd_client(given["lock"], given["lock"]["endpoints"])


def _etcd_client(access: Mapping[str, Any], endpoints: Sequence[str]) -> _etcd.Client:
    return _etcd.Client(endpoints, **{name: access[name] for name in _ACCESS})


def lock(given: Mapping[str, Any]) -> Lock:
    """Make the lock."""
    return Lock(etcd(given), etcd(given), given["lock"]["prefix"], given["controller"], given["name"])


def patroni(given: Mapping[str, Any]) -> _patroni_rest.Client:
    """Make a client of the members' Patroni."""
    access = given["access"]
    return _patroni_rest.Client(
        list(given["members"].values()),
        ca_path=access["ca"],
        client_cert=access["certificate"],
        client_key=access["key"],
        username=access["user"],
        password=access["password"],
    )


def postgresql(given: Mapping[str, Any]) -> _guard_postgresql.Adapter:
    """Make the adapter of PostgreSQL."""
    return _guard_postgresql.Adapter(patroni(given), given["members"], given["lag"])


def _redis(given: Mapping[str, Any]) -> _redis_cluster.Access:
    return _redis_cluster.Access(given["access"]["ca"], given["access"]["user"], [given["access"]["password"]], 3)


def redis_shards(given: Mapping[str, Any]) -> _guard_redis_shards.Adapter:
    """Make the adapter of a Redis Cluster."""
    return _guard_redis_shards.Adapter(given["members"], given["zones"], _redis(given), limit=given["lag"])


def redis(given: Mapping[str, Any]) -> _guard_redis.Adapter:
    """Make the adapter of Redis with Sentinels."""
    access = _redis(given)
    return _guard_redis.Adapter(given["members"], given["sentinels"], given["cluster"], access, limit=given["lag"])


def adapter(given: Mapping[str, Any]) -> _guard.Adapter:
    """Make the adapter of the kind."""
    if given["kind"] == "postgresql":
        return postgresql(given)
    if given["kind"] == "redis":
        return redis(given)
    if given["kind"] == "redis_shards":
        return redis_shards(given)
    return _guard_etcd.Adapter(given["members"], lambda endpoints: _etcd_client(given["access"], endpoints))


def foresee(module: AnsibleModule, given: Mapping[str, Any] | None, name: str = "") -> list[str]:
    """Warn, in check mode, when the guard would refuse to stop the member as things are. Returns the reasons.

    given: the option, or None for a service without guard. name: another member than the option's own.
    """
    if not given:
        return []
    given = {**given, "name": name or given["name"]}
    reasons = _guard.foresee(adapter(given), lock(given), given["name"])
    if reasons:
        module.warn(f"a run would be refused: {given['kind']}: {given['name']} may not stop now: {'; '.join(reasons)}")
    return reasons
