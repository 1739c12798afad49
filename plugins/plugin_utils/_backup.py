# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps copies where: the accounts of the backup stores, and the repositories of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils import _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import declared_policy
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    Policy,
    Secret,
    SecretsError,
    Store,
    placeholder,
    ssh_public_key,
)

STORE = "backup_store"
#: The secret that a service logs in to the stores with.
KEY = "backup_ssh"
# Seen by the client: its own directory is all that there is of the store.
PATH = "/data"


def account(service: str) -> str:
    """The system user that a service has on every store."""
    return f"backup-{service}"


def public_keys(store: Store, owner: str, name: str, *, check: bool) -> list[str]:
    """The public parts of every version of an SSH key that is in use or comes into use, the current one first.

    In check mode a key that is missing is a placeholder. Raises SecretsError.
    """
    secret = store.read(owner).get(name)
    if secret is None:
        if not check:
            raise SecretsError(f"{owner}/{name}: is not in {store.describe(owner)}; the task holdfast.platform.secrets")
        return [ssh_public_key(placeholder(f"{owner}/{name}", declared_policy(owner, name) or Policy(kind="ssh_key")))]
    return [ssh_public_key(value) for value in secret.accepted()]


def accounts(catalogue: Catalogue, groups: Iterable[str], store: Store, *, check: bool) -> list[dict[str, Any]]:
    """The accounts that the services of an inventory need at a store, by service: {service, user, keys}.

    groups: the inventory's groups that have hosts. Raises SecretsError.
    """
    return [
        {
            "service": service.name,
            "user": account(service.name),
            "keys": public_keys(store, service.name, KEY, check=check),
        }
        for service in catalogue.backed_up(groups)
    ]


def repositories(
    service: str, hosts: Sequence[Mapping[str, str]], port: int, keys: Sequence[str], every: timedelta
) -> list[dict[str, Any]]:
    """Where a service keeps its copies: for each store {name, address, zone, port, user, path, known_hosts, every}.

    hosts: the stores as the lookup of hosts gives them; keys: their host keys. known_hosts are lines as ssh reads
    them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). every: between two copies, by the service's descriptor; in seconds.
    """
    return [
        {
            "name": host["name"],
            "address": host["address"],
            "zone": host["zone"],
            "port": port,
            "user": account(service),
            "path": PATH,
            "known_hosts": [f"[{host['address']}]:{port} {key}" for key in keys],
            "every": int(every.total_seconds()),
        }
        for host in hosts
    ]


def rotating(services: Iterable[str], store: Store, phase: str, controller: str) -> list[str]:
    """Of the keys of these services and of the stores those whose rotation is at a phase, in these hands."""
    keys = [(STORE, "host_key"), *((service, KEY) for service in services)]
    found = [(owner, name, store.read(owner).get(name)) for owner, name in keys]
    return [f"{owner}/{name}" for owner, name, key in found if key and _rotation.at(key, phase, controller)]


@dataclass(frozen=True)
class Keys:
    """What a service and the stores prove themselves with. client: the service's key; server: the stores'.

    paths: what of it is at a phase, as `rotating` gives it.
    """

    service: str
    client: Secret
    server: Secret
    paths: Sequence[str]


def trials(keys: Keys, phase: str, hosts: Sequence[Mapping[str, str]], port: int) -> dict[str, list[dict[str, Any]]]:
    """The logins that a rotation asks of a member of a service: {accepted, refused}, at every store.

    A store has one key at a time, so its new one can be tried when it has it: at `drained`, with a way back still open.
    """
    mine, theirs = f"{keys.service}/{KEY}" in keys.paths, f"{STORE}/host_key" in keys.paths
    today = keys.server.accepted()
    wanted: dict[str, list[tuple[bool, str | None, list[Any]]]] = {
        "accepted": [
            (mine and phase == "verified", keys.client.next, today),
            (theirs and phase == "drained", keys.client.current, [keys.server.current]),
        ],
        "refused": [
            (mine and phase == "retired", keys.client.retired, today),
            (theirs and phase == "retired", keys.client.current, [keys.server.retired]),
        ],
    }
    return {
        state: [
            {
                "name": f"{keys.service} at {host['name']}",
                "address": host["address"],
                "port": port,
                "user": account(keys.service),
                "key": key,
                "known_hosts": [f"[{host['address']}]:{port} {ssh_public_key(value)}" for value in known if value],
            }
            for due, key, known in logins
            if due and key
            for host in hosts
        ]
        for state, logins in wanted.items()
    }
