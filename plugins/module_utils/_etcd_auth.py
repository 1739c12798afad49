# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of an etcd cluster and what they may read and write: the reading, the decision, the doing.

A user has one role of the same name, with read and write permission on key prefixes; administrators have etcd's own
role `root`. A user that is declared without a password may not log in: there is none of that name, but for `root`
itself, which etcd insists on and which then has a password that nobody knows. Users and roles that nobody declares are
left alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import (
    INVALID_ARGUMENT,
    Client,
    Refused,
    plain,
    text,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: etcd's own user and role that may do everything.
ROOT = "root"


@dataclass(frozen=True)
class User:
    """A user as declared: its password (None: it may not log in), and the key prefixes that it may read and write.

    role: its own name, or ROOT. former: a password that it may still have and must not keep.
    """

    name: str
    password: str | None = field(repr=False)
    prefixes: tuple[str, ...] = ()
    role: str = ""
    former: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Actual:
    """What the cluster has: whether authentication is on, roles of each user, permissions of each role as (key, range
    end, type) with etcd's type READWRITE, READ or WRITE, the declared users whose password is the declared one, and
    those whose former one still is."""

    enabled: bool = False
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    roles: Mapping[str, frozenset[tuple[str, str, str]]] = field(default_factory=dict)
    matching: frozenset[str] = frozenset()
    leaking: frozenset[str] = frozenset()


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


def plan(
    actual: Actual, users: Sequence[User], draw: Callable[[], str] = lambda: secrets.token_urlsafe(32)
) -> list[Step]:
    """The requests that bring actual to the declaration, in an order that never locks anybody out: administrators come
    first among users, and authentication is switched on last, when everybody can get in.

    draw: makes a password that nobody gets to know.
    """
    steps: list[Step] = []
    for user in users:
        password = user.password
        if password is None and user.name != ROOT:
            if user.name in actual.users:
                steps.append(Step("auth/user/delete", {"name": user.name}, f"delete user {user.name}"))
            continue
        secret = {"name": user.name, "password": password or draw()}
        if user.name not in actual.users:
            steps.append(Step("auth/user/add", secret, f"add user {user.name}"))
        elif user.name in actual.leaking or (password and user.name not in actual.matching):
            steps.append(Step("auth/user/changepw", secret, f"set the password of {user.name}"))
        steps.extend(_rights(actual, user))
    if not actual.enabled:
        steps.append(Step("auth/enable", {}, "enable authentication"))
    return steps


def _rights(actual: Actual, user: User) -> Iterator[Step]:
    """The requests that give a user its role, and the role what it may do."""
    role = user.role or user.name
    if role not in actual.roles and (role != ROOT or user.name == ROOT):
        yield Step("auth/role/add", {"name": role}, f"add role {role}")
    if role != ROOT:
        has = actual.roles.get(role, frozenset())
        wanted = {(prefix, range_end(prefix), "READWRITE") for prefix in user.prefixes}
        for key, end, kind in sorted(wanted - has):  # in place of a lesser one on the same range
            permission = {"permType": kind, "key": text(key), "range_end": text(end)}
            yield Step("auth/role/grant", {"name": role, "perm": permission}, f"grant {role} {key}*")
        for key, end in sorted({item[:2] for item in has} - {item[:2] for item in wanted}):
            body = {"role": role, "key": text(key), "range_end": text(end)}
            yield Step("auth/role/revoke", body, f"revoke {role} {key}*")
    given = actual.users.get(user.name, frozenset())
    if role not in given:
        words = "its role" if role == user.name else f"the role {role}"
        yield Step("auth/user/grant", {"user": user.name, "role": role}, f"give {user.name} {words}")
    for other in sorted(given - {role}):
        yield Step("auth/user/revoke", {"name": user.name, "role": other}, f"take the role {other} from {user.name}")


def login_works(
    endpoints: Sequence[str], access: Mapping[str, str], name: str, password: str | None, timeout: float = 5
) -> bool:
    """Whether a user gets in with a password. Needs authentication to be on."""
    try:
        Client(endpoints, **access, timeout=timeout).post("auth/authenticate", {"name": name, "password": password})
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
    declared = {name for user in users for name in (user.name, user.role)}
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
    there = [user for user in users if enabled and user.name in granted]

    def known(user: User, password: str | None) -> bool:
        return password is not None and login_works(client.endpoints, access, user.name, password)

    return Actual(
        enabled,
        granted,
        permitted,
        matching=frozenset(user.name for user in there if known(user, user.password)),
        leaking=frozenset(user.name for user in there if user.password is None and known(user, user.former)),
    )
