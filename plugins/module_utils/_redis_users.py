# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of Redis and of its Sentinels: what they may do, the file that a start reads, and what a running server lacks.

A server knows passwords by their SHA-256. How it spells a user's rights differs between versions, so it is asked: a
scratch user, off and without a password, gets the declared rights, and is compared with the real one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error, Word, pairs
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

SCRATCH = "holdfast-scratch"
#: Nobody logs in without a name.
DEFAULT = "default"


@dataclass(frozen=True)
class User:
    """A user: the passwords that are accepted, commands (`+@read`, `-keys`), patterns of keys and of channels."""

    name: str
    passwords: Sequence[str] = field(default=(), repr=False)
    commands: Sequence[str] = ()
    keys: Sequence[str] = ()
    channels: Sequence[str] = ()

    @property
    def rights(self) -> list[str]:
        """The rules of ACL SETUSER without passwords."""
        patterns = [_pattern(key) for key in self.keys]
        return [*patterns, *(f"&{channel}" for channel in self.channels), *self.commands]

    @property
    def digests(self) -> list[str]:
        """The passwords as the server keeps them."""
        return sorted({hashlib.sha256(password.encode()).hexdigest() for password in self.passwords})

    @property
    def rules(self) -> list[str]:
        """All rules, from nothing."""
        return ["reset", "on" if self.passwords else "off", *(f"#{digest}" for digest in self.digests), *self.rights]


def _pattern(key: str) -> str:
    """A rule for keys; `%R~x` and `%W~x`, which Redis knows too, stay as they are."""
    return key if key.startswith(("~", "%")) else f"~{key}"


def of(given: Sequence[Mapping[str, Any]], *, sentinel: bool = False) -> list[User]:
    """Users as a module is given them, with their rights at the servers or at the Sentinels, and the default user.

    A user without rights at the Sentinels has no business there.
    """
    if sentinel:
        found = [
            User(user["name"], tuple(user["passwords"]), tuple(user["discovery"]), (), ("*",))
            for user in given
            if user["discovery"]
        ]
    else:
        parts = ("passwords", "commands", "keys", "channels")
        found = [User(user["name"], *(tuple(user[part]) for part in parts)) for user in given if user["commands"]]
    return [User(DEFAULT), *found]


def file(users: Sequence[User]) -> str:
    """The text of an ACL file."""
    return "".join(f"user {user.name} {' '.join(user.rules)}\n" for user in users)


@dataclass(frozen=True)
class Plan:
    """What is to be done, as commands, and in words without a secret."""

    commands: Sequence[Sequence[Word]] = field(default=(), repr=False)
    words: Sequence[str] = ()


def plan(users: Sequence[User], live: Mapping[str, tuple[Any, Any]], names: Sequence[str]) -> Plan:
    """What a running server lacks.

    live: for each user what ACL GETUSER says of it (None: there is none) and of the scratch user with its rights.
    names: all users that the server has.
    """
    commands: list[Sequence[Word]] = []
    words: list[str] = []
    for user in users:
        reason = _difference(user, *live[user.name])
        if reason:
            commands.append(("ACL", "SETUSER", user.name, *user.rules))
            words.append(f"user {user.name}: {reason}")
    declared = {user.name for user in users}
    gone = sorted(set(names) - declared - {SCRATCH})
    if gone:
        commands.append(("ACL", "DELUSER", *gone))
        words.extend(f"user {name}: nobody declares it" for name in gone)
    return Plan(commands, words)


def _difference(user: User, live: Any, scratch: Any) -> str:
    if live is None:
        return "is new"
    actual, wanted = pairs(live), pairs(scratch)
    if sorted(actual["passwords"]) != user.digests:
        return f"{len(user.digests)} passwords, in place of the {len(actual['passwords'])} that it has"
    if ("on" in actual["flags"]) != bool(user.passwords) or "nopass" in actual["flags"]:
        return "is on or off, or needs no password, as it should not"
    rights = ("commands", "keys", "channels", "selectors")
    return "other rights" if any(actual.get(part) != wanted.get(part) for part in rights) else ""


def look(client: Client, users: Sequence[User]) -> Plan:
    """Ask a running server what it lacks. Raises Failed, also when it does not take a rule."""
    asked: list[Sequence[Word]] = []
    for user in users:
        asked += [
            ("ACL", "SETUSER", SCRATCH, "reset", *user.rights),
            ("ACL", "GETUSER", SCRATCH),
            ("ACL", "GETUSER", user.name),
        ]
    replies = client.pipeline([*asked, ("ACL", "DELUSER", SCRATCH), ("ACL", "USERS")])
    for index, user in enumerate(users):
        if isinstance(replies[3 * index], Error):
            raise Failed(f"user {user.name}: {client.server} does not take its rights: {replies[3 * index].text}")
    live = {user.name: (replies[3 * i + 2], replies[3 * i + 1]) for i, user in enumerate(users)}
    return plan(users, live, replies[-1])


def carry_out(client: Client, plan: Plan) -> None:
    """Do it, and have the server write it down. Raises Failed."""
    if not plan.commands:
        return
    replies = client.pipeline([*plan.commands, ("ACL", "SAVE")])
    wrong = [reply.text for reply in replies if isinstance(reply, Error)]
    if wrong:
        raise Failed(f"redis {client.server} could not set its users: {'; '.join(wrong)}")
