# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of an etcd cluster: the steps for every difference, and their order."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import text
from ansible_collections.holdfast.platform.plugins.module_utils._etcd_auth import Actual, User, plan, range_end
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

ROOT = frozenset({"root"})
ADMIN = User("root", "root-secret", role="root")
PG = User("pg", "pg-secret", ("/pg/",))
RANGE = ("/pg/", "/pg0", "READWRITE")


def actual(**changes: Any) -> Actual:
    """Return a cluster on which all is as declared, with changes."""
    given: dict[str, Any] = {
        "enabled": True,
        "users": {"root": ROOT, "pg": frozenset({"pg"})},
        "roles": {"root": frozenset(), "pg": frozenset({RANGE})},
        "matching": frozenset({"root", "pg"}),
    }
    return Actual(**(given | changes))


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("/pg/", "/pg0"), ("a", "b"), ("az", "a{"), ("/\u00e9", "/\u00ea"), ("/\u07ff", "/\u0800")],
)
def test_range_end(prefix: str, end: str) -> None:
    assert range_end(prefix) == end
    assert f"{prefix}\U0010ffff".encode() < end.encode(), "every key with the prefix is in the range"


@pytest.mark.parametrize(
    ("found", "users", "words"),
    [
        pytest.param(actual(), [PG], [], id="all is well"),
        pytest.param(
            Actual(),
            [],
            ["add user root", "add role root", "give root its role", "enable authentication"],
            id="a new cluster",
        ),
        pytest.param(
            Actual(),
            [PG],
            [
                "add user root",
                "add role root",
                "give root its role",
                "add user pg",
                "add role pg",
                "grant pg /pg/*",
                "give pg its role",
                "enable authentication",
            ],
            id="a new cluster with a client",
        ),
        pytest.param(
            Actual(users={"root": frozenset()}),
            [],
            ["set the password of root", "add role root", "give root its role", "enable authentication"],
            id="cut off after the first step",
        ),
        pytest.param(
            actual(enabled=False, matching=frozenset()),
            [PG],
            ["set the password of root", "set the password of pg", "enable authentication"],
            id="authentication was switched off",
        ),
        pytest.param(actual(matching=ROOT), [PG], ["set the password of pg"], id="another password"),
        pytest.param(
            actual(users={"root": ROOT}, roles={"root": frozenset()}, matching=ROOT),
            [PG],
            ["add user pg", "add role pg", "grant pg /pg/*", "give pg its role"],
            id="a new user",
        ),
        pytest.param(
            actual(users={"root": ROOT, "pg": frozenset()}), [PG], ["give pg its role"], id="a user without its role"
        ),
        pytest.param(
            actual(users={"root": ROOT, "pg": frozenset({"pg", "root"})}),
            [PG],
            ["take the role root from pg"],
            id="a role that lets it touch more",
        ),
        pytest.param(
            actual(roles={"root": frozenset(), "pg": frozenset({RANGE, ("/old/", "/old0", "READWRITE")})}),
            [PG],
            ["revoke pg /old/*"],
            id="a prefix that is not declared any more",
        ),
        pytest.param(
            actual(roles={"root": frozenset(), "pg": frozenset({("/pg/", "/pg0", "READ")})}),
            [PG],
            ["grant pg /pg/*"],
            id="may only read",
        ),
        pytest.param(
            actual(roles={"root": frozenset(), "pg": frozenset({RANGE, ("/x", "", "READ")})}),
            [PG],
            ["revoke pg /x*"],
            id="a single key",
        ),
        pytest.param(
            actual(),
            [User("pg", "pg-secret", ("/b/", "/a/"))],
            ["grant pg /a/*", "grant pg /b/*", "revoke pg /pg/*"],
            id="first what is new, then what is old",
        ),
        pytest.param(
            actual(roles={"root": frozenset({("", "\0", "READWRITE")}), "pg": frozenset({RANGE})}),
            [PG],
            [],
            id="what etcd says of root's own role",
        ),
        pytest.param(actual(), [], [], id="users that nobody declares are left alone"),
    ],
)
def test_plan(found: Actual, users: list[User], words: list[str]) -> None:
    assert [step.words for step in plan(found, [ADMIN, *users])] == words


def test_what_is_sent() -> None:
    steps = {step.words: (step.path, step.body) for step in plan(Actual(), [ADMIN, PG])}
    assert list(steps)[-1] == "enable authentication", "last, when everybody can get in"
    assert steps["add user root"] == ("auth/user/add", {"name": "root", "password": "root-secret"})
    assert steps["add role pg"] == ("auth/role/add", {"name": "pg"})
    assert steps["give pg its role"] == ("auth/user/grant", {"user": "pg", "role": "pg"})
    permission = {"permType": "READWRITE", "key": text("/pg/"), "range_end": text("/pg0")}
    assert steps["grant pg /pg/*"] == ("auth/role/grant", {"name": "pg", "perm": permission})
    assert steps["enable authentication"] == ("auth/enable", {})
    [revoke, strip] = plan(
        actual(
            users={"root": ROOT, "pg": frozenset({"pg", "root"})},
            roles={"root": frozenset(), "pg": frozenset({RANGE, ("/o", "/p", "READ")})},
        ),
        [ADMIN, PG],
    )
    assert (revoke.path, revoke.body) == (
        "auth/role/revoke",
        {"role": "pg", "key": text("/o"), "range_end": text("/p")},
    )
    assert (strip.path, strip.body) == ("auth/user/revoke", {"name": "pg", "role": "root"})


def test_passwords_are_in_no_text() -> None:
    steps = plan(Actual(), [ADMIN, PG])
    assert "-secret" not in "".join(step.words for step in steps) + repr(steps) + repr(PG)


def test_an_empty_prefix_is_refused() -> None:
    with pytest.raises(Failed, match="an empty prefix is every key there is; give a prefix such as /service/"):
        plan(Actual(), [ADMIN, User("pg", "x", ("",))])


@pytest.mark.parametrize(
    ("found", "users", "words"),
    [
        pytest.param(actual(), [ADMIN, User("pg", None)], ["delete user pg"], id="may not log in any more"),
        pytest.param(actual(users={"root": ROOT}), [ADMIN, User("pg", None)], [], id="is gone"),
        pytest.param(
            actual(),
            [ADMIN, User("root_b", "other", role="root")],
            ["add user root_b", "give root_b the role root"],
            id="a second administrator",
        ),
        pytest.param(
            actual(users={"root": ROOT, "root_b": ROOT}, matching=frozenset({"root_b"}), leaking=ROOT),
            [User("root", None, role="root", former="root-secret"), User("root_b", "other", role="root")],
            ["set the password of root"],
            id="root gives way",
        ),
        pytest.param(
            actual(users={"root": ROOT, "root_b": ROOT}, matching=frozenset({"root_b"})),
            [User("root", None, role="root"), User("root_b", "other", role="root")],
            [],
            id="root gave way",
        ),
        pytest.param(
            Actual(),
            [User("root", None, role="root"), User("root_b", "other", role="root")],
            [
                "add user root",
                "add role root",
                "give root its role",
                "add user root_b",
                "give root_b the role root",
                "enable authentication",
            ],
            id="a new cluster with today's secrets",
        ),
    ],
)
def test_who_gives_way(found: Actual, users: list[User], words: list[str]) -> None:
    assert [step.words for step in plan(found, users)] == words


def test_nobody_knows_what_root_gets() -> None:
    gone = User("root", None, role="root", former="root-secret")
    [step] = plan(actual(leaking=ROOT), [gone], draw=lambda: "drawn")
    assert step.body == {"name": "root", "password": "drawn"}
