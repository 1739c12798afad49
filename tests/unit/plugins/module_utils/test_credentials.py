# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import getpass
import grp
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _credentials, _etcd, _patroni_rest
from ansible_collections.holdfast.platform.plugins.module_utils._credentials import (
    Credential,
    Login,
    accepted,
    parse,
    refused,
    tell,
    write,
)
from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_login import Refused
from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed

LOGIN = Login("postgresql", "postgresql.internal", ("10.0.0.1", "10.0.0.2"), 5000, "app", "/etc/holdfast/ca.crt")
ENTRY = {
    "secret": "postgresql/app",
    "path": "/etc/app/db.json",
    "user": "app_a",
    "password": "hunter22",
    "owner": "app",
    "group": "",
    "content": "",
    "unit": "",
    "effect": "reload",
    "login": None,
}


def credential(directory: Path, **changes: Any) -> Credential:
    one = Credential(
        "postgresql/app",
        directory / "app" / "db.json",
        "app_a",
        "hunter22",
        getpass.getuser(),
        grp.getgrgid(os.getgid()).gr_name,
    )
    return replace(one, **changes)


def test_what_a_task_gives() -> None:
    login = {"kind": "postgresql", "name": "n", "hosts": ["h"], "port": 1, "ca": "/c", "database": ""}
    (one,) = parse([{**ENTRY, "login": login}])
    assert (one.owner, one.group, one.effect) == ("app", "app", "reload")
    assert one.login == Login("postgresql", "n", ("h",), 1, "", "/c")
    assert "hunter22" not in repr(one)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{**ENTRY, "path": "etc/app"}], r"credentials\[0\].path: 'etc/app' has to begin with /"),
        ([{**ENTRY, "content": "$passwort"}], r"credentials\[0\].content: 'passwort' has no value"),
        ([{**ENTRY, "content": "a $"}], r"credentials\[0\].content: "),
        ([ENTRY, ENTRY], r"credentials\[1\].path: /etc/app/db.json is given twice"),
    ],
)
def test_what_a_task_gets_wrong(entries: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(Failed, match=says) as raised:
        parse(entries)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", '{"user": "app_a", "password": "hunter22"}\n'),
        ("PGUSER=$user\nPGPASSWORD=$password\nPRICE=1$$\n", "PGUSER=app_a\nPGPASSWORD=hunter22\nPRICE=1$\n"),
        ("$password", "hunter22\n"),
    ],
)
def test_the_file(tmp_path: Path, content: str, text: str) -> None:
    one = credential(tmp_path, content=content)
    assert write([one], check=True) == [one]
    assert not one.path.parent.exists()
    assert write([one], check=False) == [one]
    assert one.path.read_text() == text
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert write([one], check=False) == []


def test_a_file_that_others_could_read_is_put_right(tmp_path: Path) -> None:
    one = credential(tmp_path)
    write([one], check=False)
    one.path.chmod(0o644)
    assert write([one], check=False) == [one]
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    one = credential(tmp_path)
    one.path.parent.mkdir()
    (one.path.parent / ".db.json.new").write_text("half of it")
    assert write([one], check=False) == [one]
    assert sorted(path.name for path in one.path.parent.iterdir()) == ["db.json"]


def test_an_owner_that_is_not_there(tmp_path: Path) -> None:
    one = credential(tmp_path, owner="no_such_user_here")
    assert write([one], check=True) == [one]
    with pytest.raises(Failed, match="owner and group have to exist"):
        write([one], check=False)


def test_units_are_told_once_and_a_restart_makes_a_reload_needless(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[list[str]] = []

    def run(argv: list[str]) -> Done:
        calls.append(argv)
        return Done(0, "", "")

    monkeypatch.setattr(_credentials, "run", run)
    tell(
        [
            credential(tmp_path, unit="a.service", effect="restart"),
            credential(tmp_path, unit="a.service"),
            credential(tmp_path, unit="b.service"),
            credential(tmp_path),
        ]
    )
    assert [call[1:] for call in calls] == [
        ["try-restart", "--", "a.service"],
        ["try-reload-or-restart", "--", "b.service"],
    ]


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Exception | None]) -> None:
    def log_in(login: Login, host: str, user: str, password: str) -> None:
        assert (user, password) == ("app_a", "hunter22")
        if (answer := answers[host]) is not None:
            raise answer

    monkeypatch.setattr(_credentials, "LOGINS", {"postgresql": log_in})


@pytest.mark.parametrize(
    ("answers", "problems_in", "problems_out"),
    [
        ((None, None), "", "10.0.0.1, 10.0.0.2: app_a still gets in with the old value of postgresql/app"),
        ((Refused("a: no"), Refused("b: no")), "a: no; b: no", ""),
        ((Refused("a: no"), None), "a: no", "10.0.0.2: app_a still gets in"),
        ((Failed("a: timed out"), Refused("b: no")), "a: timed out; b: no", ""),
        ((Failed("a: timed out"), None), "", "10.0.0.2: app_a still gets in"),
        ((Failed("a: timed out"), Failed("b: no route")), "a: timed out; b: no route", "a: timed out; b: no route"),
    ],
)
def test_every_server_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answers: tuple[Exception | None, Exception | None],
    problems_in: str,
    problems_out: str,
) -> None:
    answering(monkeypatch, dict(zip(LOGIN.hosts, answers, strict=True)))
    one = credential(tmp_path, login=LOGIN)
    assert accepted(one) == problems_in
    assert refused(one).startswith(problems_out)
    assert bool(refused(one)) == bool(problems_out)


def test_a_service_that_says_nothing_of_logins_is_not_asked(tmp_path: Path) -> None:
    assert accepted(credential(tmp_path)) == refused(credential(tmp_path)) == ""


@pytest.mark.parametrize(
    ("kind", "answer", "problems"),
    [
        ("etcd", None, ("", "u: app_a still gets in")),
        ("etcd", _etcd.Refused("no such login", _etcd.INVALID_ARGUMENT), ("no such login", "")),
        ("etcd", _etcd.Unreachable("nobody answers"), ("nobody answers", "nobody answers")),
        ("etcd_token", None, ("", "u: app_a still gets in")),
        ("etcd_token", _etcd.Refused("invalid auth token", _etcd.UNAUTHENTICATED), ("invalid auth token", "")),
        ("etcd_token", _etcd.Refused("no leader", _etcd.UNAVAILABLE), ("no leader", "no leader")),
        ("patroni", _patroni_rest.FailedError("no change", 400), ("", "u: app_a still gets in")),
        ("patroni", _patroni_rest.FailedError("wrong password", 401), ("wrong password", "")),
        ("patroni", _patroni_rest.FailedError("no certificate", 403), ("no certificate", "no certificate")),
        ("patroni", _patroni_rest.AbsentError("nobody answers"), ("nobody answers", "nobody answers")),
    ],
)
def test_logins_of_members(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, answer: Exception | None, problems: tuple[str, str]
) -> None:
    class Client:
        urls = ("https://u",)

        def __init__(self, *_: Any, **files: Any) -> None:
            assert "hunter22" not in files.get("ca", "")

        def post(self, path: str, body: dict[str, str]) -> None:
            assert (path, body) == ("auth/authenticate", {"name": "app_a", "password": "hunter22"})
            if answer:
                raise answer

        def knows(self, key: str, user: str) -> None:
            assert (key, user) == ("hunter22\n", "app_a")
            if answer:
                raise answer

        def request(self, *_: Any, **__: Any) -> None:
            if answer:
                raise answer

    monkeypatch.setattr(_etcd, "Client", Client)
    monkeypatch.setattr(_patroni_rest, "Client", Client)
    one = credential(tmp_path, login=Login(kind, "", ("u",), 0, "", "/ca", "/certificate", "/key"))
    assert (accepted(one), refused(one).split(" with")[0]) == problems
