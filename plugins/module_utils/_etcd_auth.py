# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of an etcd cluster and what they may read and write: the reading, the decision, the doing.

A user has one role of the same name, with read and write permission on key prefixes; `root` has etcd's own role `root`.
Users and roles that nobody declares are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import (
    INVALID_ARGUMENT,
    Client,
    Refused,
    plain,
    text,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed


@dataclass(frozen=True)
class User:
    """A user as declared: its password, and the key prefixes that it may read and write."""

    name: str
    password: str = field(repr=False)
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Actual:
    """What the cluster has: whether authentication is on, roles of each user, permissions of each role as (key, range
    end, type) with etcd's type READWRITE, READ or WRITE, and the declared users whose password is the declared one."""

    enabled: bool = False
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    roles: Mapping[str, frozenset[tuple[str, str, str]]] = field(default_factory=dict)
    matching: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """One request: its path and body, and how people read it. The body may hold a password, the words never do."""

    path: str
    body: Mapping[str, object] = field(repr=False)
    words: str = ""


def range_end(prefix: str) -> str:
    """The end of the range of keys that start with prefix: its last character plus one (etcd's GetPrefixRangeEnd).

    Raises Failed for an empty prefix, which would be every key.
    """
    if not prefix:
        raise Failed("users: an empty prefix is every key there is; give a prefix such as /service/")
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def plan(actual: Actual, root_password: str, users: Sequence[User]) -> list[Step]:
    """The requests that bring actual to the declaration, in an order that never locks anybody out:
    authentication is switched on last, when root and everybody else can get in."""
    steps: list[Step] = []
    for user in [User("root", root_password), *users]:
        secret = {"name": user.name, "password": user.password}
        if user.name not in actual.users:
            steps.append(Step("auth/user/add", secret, f"add user {user.name}"))
        elif user.name not in actual.matching:
            steps.append(Step("auth/user/changepw", secret, f"set the password of {user.name}"))
        if user.name not in actual.roles:
            steps.append(Step("auth/role/add", {"name": user.name}, f"add role {user.name}"))
        has = actual.roles.get(user.name, frozenset())
        wanted = {(prefix, range_end(prefix), "READWRITE") for prefix in user.prefixes}
        if user.name != "root":
            for key, end, kind in sorted(wanted - has):  # in place of a lesser one on the same range
                permission = {"permType": kind, "key": text(key), "range_end": text(end)}
                steps.append(
                    Step("auth/role/grant", {"name": user.name, "perm": permission}, f"grant {user.name} {key}*")
                )
            for key, end in sorted({item[:2] for item in has} - {item[:2] for item in wanted}):
                body = {"role": user.name, "key": text(key), "range_end": text(end)}
                steps.append(Step("auth/role/revoke", body, f"revoke {user.name} {key}*"))
        if user.name not in actual.users.get(user.name, frozenset()):
            steps.append(Step("auth/user/grant", {"user": user.name, "role": user.name}, f"give {user.name} its role"))
        steps.extend(
            Step("auth/user/revoke", {"name": user.name, "role": role}, f"take the role {role} from {user.name}")
            for role in sorted(actual.users.get(user.name, frozenset()) - {user.name})
        )
    if not actual.enabled:
        steps.append(Step("auth/enable", {}, "enable authentication"))
    return steps


def login_works(endpoints: Sequence[str], access: Mapping[str, str], user: User, timeout: float = 5) -> bool:
    """Whether user gets in with the declared password. Needs authentication to be on."""
    try:
        Client(endpoints, **access, timeout=timeout).post(
            "auth/authenticate", {"name": user.name, "password": user.password}
        )
    except Refused as refusal:
        if refusal.code == INVALID_ARGUMENT:  # "authentication failed, invalid user ID or password"
            return False
        raise
    return True


def read(client: Client, access: Mapping[str, str], users: Sequence[User]) -> Actual:
    """Read what plan needs. While authentication is off, no password can be tried: every one is set again."""
    enabled = bool(client.post("auth/status").get("enabled", False))
    names = client.post("auth/user/list").get("users", [])
    roles = client.post("auth/role/list").get("roles", [])
    declared = {user.name for user in users} | {"root"}
    granted = {
        name: frozenset(client.post("auth/user/get", {"name": name}).get("roles", []))
        for name in names
        if name in declared
    }
    permitted = {}
    for role in roles:
        if role in declared:
            found = client.post("auth/role/get", {"role": role}).get("perm", [])
            permitted[role] = frozenset(
                (plain(entry.get("key", "")), plain(entry.get("range_end", "")), entry.get("permType", "READ"))
                for entry in found
            )
    matching = frozenset(
        user.name for user in users if enabled and user.name in granted and login_works(client.endpoints, access, user)
    )
    # Whoever reads this has come in as root, if authentication is on.
    return Actual(enabled, granted, permitted, matching | ({"root"} if enabled else frozenset()))
