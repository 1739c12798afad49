# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member looks like from outside: who gets in, what is encrypted, and what lies where."""

from __future__ import annotations

import pytest

from molecule.redis.conftest import MEMBERS, Redis

APP = """
import json, ssl, socket, sys
host, port, user, password, commands = json.load(sys.stdin)
tls = ssl.create_default_context(cafile="/etc/holdfast/ca.crt")
stream = tls.wrap_socket(socket.create_connection((host, port), 5), server_hostname="redis.lab.internal")
file = stream.makefile("rb")
for words in [["AUTH", user, password], *commands]:
    parts = [word.encode() for word in words]
    stream.sendall(b"*%d\\r\\n" % len(parts) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(p), p) for p in parts))
    print(file.readline().decode().strip())
"""


def ask(redis: Redis, port: int, *commands: list[str], user: str = "", host: str = "data-a1") -> list[str]:
    """The first line of each reply, the login's first, to an application on a host of another tier."""
    name, password = redis.lab.credential("redis/app_cache")
    given = __import__("json").dumps([redis.lab.address(host), port, user or name, password, commands])
    return redis.lab.run("app-c1", f"python3 -c '{APP}'", given).splitlines()


@pytest.mark.parametrize("host", MEMBERS)
def test_what_is_secret_is_its_owners_alone(redis: Redis, host: str) -> None:
    own = redis.lab.run(
        host, "stat -c '%a %U %n' /var/lib/redis/holdfast/{server.conf,users.acl} /var/lib/redis/sentinel/*"
    )
    assert all(line.split()[0] in ("600", "660", "640") and line.split()[1] == "redis" for line in own.splitlines()), (
        own
    )
    place = redis.lab.run(host, "stat -c '%a %U' /var/lib/redis/holdfast /var/lib/redis/sentinel")
    assert place == "700 redis\n" * 2
    ours = redis.lab.run(host, "stat -c '%a %U %G' /etc/redis/holdfast-running.conf /etc/holdfast/redis/cli.env")
    assert ours == "600 redis redis\n600 root root\n"


def test_an_application_has_its_own_keys_and_no_other(redis: Redis) -> None:
    leader = redis.primary()
    commands = [["SET", "app:test", "1"], ["SET", "other", "1"], ["FLUSHALL"], ["CONFIG", "GET", "masterauth"]]
    said = ask(redis, 6379, *commands, host=leader)
    assert said[:2] == ["+OK", "+OK"]
    assert all(line.startswith("-NOPERM") for line in said[2:]), said


def test_an_application_asks_the_sentinels_and_can_do_nothing_there(redis: Redis) -> None:
    said = ask(redis, 26379, ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "lab"], user="")
    assert said == ["+OK", "*2"]
    refused = ask(redis, 26379, ["SENTINEL", "FAILOVER", "lab"], ["SENTINEL", "RESET", "lab"])
    assert refused[0] == "+OK"
    assert refused[1].startswith("-NOPERM")


def test_nobody_gets_in_without_a_password_or_in_the_clear(redis: Redis) -> None:
    said = redis.lab.run(
        "data-b1", f"redis-cli --tls --cacert /etc/holdfast/ca.crt -h {redis.lab.address('data-a1')} ping", check=False
    )
    assert "NOAUTH" in said
    plain = redis.lab.run("data-b1", f"timeout 5 redis-cli -h {redis.lab.address('data-a1')} ping 2>&1", check=False)
    assert "PONG" not in plain
    assert ask(redis, 6379, user="default")[0].startswith("-WRONGPASS")


def test_the_copies_have_a_timer(redis: Redis) -> None:
    shown = redis.lab.run("data-c1", "systemctl show -p ActiveState,NextElapseUSecRealtime holdfast-backup-redis.timer")
    assert "ActiveState=active" in shown
    assert "NextElapseUSecRealtime=\n" not in shown
