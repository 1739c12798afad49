# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and settings of Redis: what a running server is told; the protocol."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _redis, _redis_state, _redis_users
from ansible_collections.holdfast.platform.plugins.module_utils._redis import Client, Error, Server
from ansible_collections.holdfast.platform.plugins.module_utils._redis_member import Watch
from ansible_collections.holdfast.platform.plugins.module_utils._redis_users import DEFAULT, User
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

APP = User("app", ("one", "two"), ("+@all", "-@dangerous"), ("app:*",), ("app:*",))


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def told(passwords: Sequence[str], flags: Sequence[str] = ("on",), commands: str = "+@all") -> list[Any]:
    """What ACL GETUSER says."""
    said = {"flags": list(flags), "passwords": [digest(one) for one in passwords], "commands": commands}
    rest = {"keys": "~app:*", "channels": "&app:*", "selectors": []}
    return [item for pair in (said | rest).items() for item in pair]


SCRATCH = told((), ("off",))


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (told(("two", "one")), []),
        (None, ["user app: is new"]),
        (told(("one",)), ["user app: 2 passwords, in place of the 1 that it has"]),
        (told(("one", "two"), ("off",)), ["user app: is on or off, or needs no password, as it should not"]),
        (told(("one", "two"), ("on", "nopass")), ["user app: is on or off, or needs no password, as it should not"]),
        (told(("one", "two"), commands="+@read"), ["user app: other rights"]),
    ],
)
def test_a_user_gets_what_it_lacks(live: Any, words: list[str]) -> None:
    plan = _redis_users.plan([APP], {"app": (live, SCRATCH)}, ["app"])
    assert list(plan.words) == words
    rules = ["reset", "on", *sorted((f"#{digest('one')}", f"#{digest('two')}"))]
    assert list(plan.commands) == [
        ("ACL", "SETUSER", "app", *rules, "~app:*", "&app:*", "+@all", "-@dangerous") for _ in words
    ]


def test_users_that_nobody_declares_go() -> None:
    plan = _redis_users.plan([], {}, ["left", "holdfast-scratch"])
    assert list(plan.commands) == [("ACL", "DELUSER", "left")]


def test_who_has_no_business_at_the_sentinels_is_not_there() -> None:
    given = [
        {"name": "replica", "passwords": ["x"], "commands": ["+psync"], "keys": [], "channels": [], "discovery": []},
        {"name": "app", "passwords": ["x"], "commands": [], "keys": [], "channels": [], "discovery": ["+role"]},
    ]
    assert [user.name for user in _redis_users.of(given)] == [DEFAULT, "replica"]
    assert _redis_users.of(given, sentinel=True) == [User(DEFAULT), User("app", ("x",), ("+role",), (), ("*",))]


def test_the_file_of_users_has_no_password() -> None:
    text = _redis_users.file([User(DEFAULT), User("a", ("secret",), ("+ping",), ("%R~x", "y"))])
    assert text == f"user default reset off\nuser a reset on #{digest('secret')} %R~x ~y +ping\n"


@pytest.mark.parametrize(
    ("wanted", "live", "words"),
    [
        ({"maxmemory": "512mb"}, {"maxmemory": "536870912"}, []),
        ({"maxmemory": "1g"}, {"maxmemory": "536870912"}, ["maxmemory: '536870912' -> '1000000000'"]),
        ({"appendonly": True}, {"appendonly": "no"}, ["appendonly: 'no' -> 'yes'"]),
        ({"masterauth": "new"}, {"masterauth": "old"}, ["masterauth is new"]),
    ],
)
def test_settings(wanted: dict[str, Any], live: dict[str, str], words: list[str]) -> None:
    assert list(_redis_state.settings(wanted, live).words) == words


def test_a_setting_that_there_is_not_is_named() -> None:
    with pytest.raises(Failed, match="redis_settings: this Redis has no setting maxmemori"):
        _redis_state.settings({"maxmemori": 1}, {"maxmemory": "0"})


WATCH = Watch("lab", "a", 2, 5000, 30000, "sentinel", "secret")
FILE = {"auth-user": "sentinel", "auth-pass": "secret", "sentinel-user": "sentinel", "sentinel-pass": "secret"}
TOLD = {"quorum": "2", "down-after-milliseconds": "5000", "failover-timeout": "30000", "parallel-syncs": "1"}


@pytest.mark.parametrize(
    ("said", "file", "commands"),
    [
        (TOLD, FILE, []),
        (TOLD | {"quorum": "1"}, FILE, [("SENTINEL", "SET", "lab", "quorum", "2")]),
        (TOLD, FILE | {"auth-pass": "old"}, [("SENTINEL", "SET", "lab", "auth-pass", "secret")]),
        (TOLD, FILE | {"sentinel-pass": "old"}, [("SENTINEL", "CONFIG", "SET", "sentinel-pass", "secret")]),
    ],
)
def test_a_sentinel_is_told_what_it_lacks(said: Any, file: Any, commands: Any) -> None:
    plan = _redis_state.watching(WATCH, said, file, "10.0.0.1:6379")
    assert list(plan.commands) == commands
    assert "secret" not in str(plan)


def test_a_sentinel_that_watches_nobody_begins() -> None:
    plan = _redis_state.watching(WATCH, None, {}, "10.0.0.1:6379")
    assert plan.commands[0] == ("SENTINEL", "MONITOR", "lab", "10.0.0.1", 6379, 2)
    with pytest.raises(Failed, match="no primary it could watch"):
        _redis_state.watching(WATCH, None, {}, "")


def test_replies_of_all_kinds() -> None:
    ours, theirs = socket.socketpair()
    client = Client(Server("h", 1, "/ca"), "me", ["x"])
    client._stream = ours  # type: ignore[assignment]
    theirs.sendall(b"+OK\r\n-ERR no\r\n:-3\r\n$-1\r\n$5\r\na\r\nb\x80\r\n*2\r\n$1\r\nx\r\n*0\r\n")
    assert client.pipeline([("X", 1)] * 6) == ["OK", Error("ERR no"), -3, None, "a\r\nb\udc80", ["x", []]]
    assert theirs.recv(18) == b"*2\r\n$1\r\nX\r\n$1\r\n1\r\n"
    theirs.close()
    with pytest.raises(_redis.Unreachable, match="h:1 does not answer"):
        client.call("PING")


@pytest.mark.parametrize(("text", "parts"), [("10.0.0.1:6379", ("10.0.0.1", 6379)), ("[::1]:1", ("::1", 1))])
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    assert _redis.split(text) == parts


def test_what_is_no_address() -> None:
    with pytest.raises(Failed, match="'db1' is no address"):
        _redis.split("db1")
