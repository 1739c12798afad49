# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that a host's own programs use: a file of each, and a login with what it says."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _etcd,
    _patroni_rest,
    _postgresql_login,
    _redis,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run


class Refused(Failed):
    """The service does not take the credential; everything else that goes wrong says nothing of it."""


@dataclass(frozen=True)
class Login:
    """A service that has to take the credential.

    kind names the protocol; every one of hosts is tried, and has to prove that it is `name`. For etcd and Patroni hosts
    are base URLs, and certificate and key are files that the client shows.
    """

    kind: str
    name: str
    hosts: tuple[str, ...]
    port: int
    database: str
    ca: str
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Credential:
    """One credential of one program of this host.

    secret: its path, for messages. content: a text with $user and $password, else a JSON object of the two.
    unit: what has to know of a change, and how: reload or restart; none when the program reads the file by itself.
    """

    secret: str
    path: Path
    user: str
    password: str = field(repr=False)
    owner: str = "root"
    group: str = "root"
    content: str = ""
    unit: str = ""
    effect: str = "reload"
    login: Login | None = None

    @property
    def data(self) -> bytes:
        """What the file holds."""
        values = {"user": self.user, "password": self.password}
        return (string.Template(self.content).substitute(values) if self.content else json.dumps(values)).encode() + (
            b"" if self.content.endswith("\n") else b"\n"
        )


_TEXT = {"type": "str", "default": ""}
_NEEDED: dict[str, Any] = {"type": "str", "required": True}

#: The options of one credential, as a module declares them.
OPTIONS: dict[str, Any] = {
    "secret": {**_NEEDED, "no_log": False},
    "path": {"type": "path"},
    "user": _NEEDED,
    "password": {**_NEEDED, "no_log": True},
    "owner": {"type": "str", "default": "root"},
    "group": _TEXT,
    "content": _TEXT,
    "unit": _TEXT,
    "effect": {"type": "str", "choices": ["reload", "restart"], "default": "reload"},
    "login": {
        "type": "dict",
        "options": {
            "kind": {
                "type": "str",
                "choices": ["postgresql", "etcd", "etcd_token", "patroni", "redis"],
                "required": True,
            },
            "name": _TEXT,
            "hosts": {"type": "list", "elements": "str", "required": True},
            "port": {"type": "int", "default": 0},
            "ca": {"type": "path", "required": True},
            "certificate": {"type": "path", "default": ""},
            "key": {"type": "path", "default": "", "no_log": False},
            "database": _TEXT,
        },
    },
}


def parse(entries: Sequence[Mapping[str, Any]]) -> list[Credential]:
    """Credentials out of a task's list that fits OPTIONS. Raises Failed that names entry, key and what is wrong."""
    found: list[Credential] = []
    for number, entry in enumerate(entries):
        where, path = f"credentials[{number}]", Path(entry["path"] or "")
        if entry["path"] and not path.is_absolute():
            raise Failed(f"{where}.path: '{path}' has to begin with /")
        if entry["path"] and path in (other.path for other in found):
            raise Failed(f"{where}.path: {path} is given twice; each needs a file of its own")
        try:
            string.Template(entry["content"]).substitute(user="", password="")
        except (KeyError, ValueError) as error:
            raise Failed(
                f"{where}.content: {error} has no value; it may hold $user and $password, and $$ for $"
            ) from None
        login = entry["login"]
        found.append(
            Credential(
                **{key: entry[key] for key in ("secret", "user", "password", "owner", "content", "unit", "effect")},
                path=path,
                group=entry["group"] or entry["owner"],
                login=Login(**{**login, "hosts": tuple(login["hosts"])}) if login else None,
            )
        )
    return found


def write(credentials: Sequence[Credential], *, check: bool) -> list[Credential]:
    """Write the files that are not as they should be; return their credentials. Raises Failed.

    A file is replaced as a whole, so that a program never reads half of it, and is never readable by others.
    """
    changed = []
    for credential in credentials:
        if not credential.path.name:
            raise Failed(f"{credential.secret}: path is missing; a credential that is laid down needs a file")
        try:
            uid, gid = _ids(credential, check=check)
            if _same(credential, uid, gid):
                continue
            if not check:
                _replace(credential, uid, gid)
        except OSError as error:
            raise Failed(f"{credential.path}: can't be written: {error.strerror}; it is as it was") from error
        changed.append(credential)
    return changed


def _ids(credential: Credential, *, check: bool) -> tuple[int, int]:
    try:
        return pwd.getpwnam(credential.owner).pw_uid, grp.getgrnam(credential.group).gr_gid
    except KeyError as error:
        if check:  # an earlier step of the same run may make the user
            return -1, -1
        raise Failed(f"{credential.path}: {error.args[0]} on this host; owner and group have to exist") from None


def _same(credential: Credential, uid: int, gid: int) -> bool:
    try:
        with credential.path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            return (mode, status.st_uid, status.st_gid, file.read()) == (0o600, uid, gid, credential.data)
    except FileNotFoundError:
        return False


def _replace(credential: Credential, uid: int, gid: int) -> None:
    credential.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = credential.path.with_name(f".{credential.path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), uid, gid)
            file.write(credential.data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(credential.path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def tell(credentials: Sequence[Credential]) -> None:
    """Reload or restart the units whose credentials changed; one that does not run reads them when it starts."""
    effects: dict[str, str] = {}
    for credential in credentials:
        if credential.unit and effects.get(credential.unit) != "restart":
            effects[credential.unit] = credential.effect
    for unit, effect in effects.items():
        run(["systemctl", "try-restart" if effect == "restart" else "try-reload-or-restart", "--", unit])


def accepted(credential: Credential) -> str:
    """Why the service does not take the credential; empty when it does, or nobody can be asked.

    As a client would, it goes on to the next host when one does not answer; one that answers may not refuse it.
    """
    answers = [(*_try(credential, login, host), host) for login, host in _servers(credential)]
    if any(status == "in" for status, _, _ in answers):
        answers = [answer for answer in answers if answer[0] == "refused"]
    return "; ".join(answer for _, answer, _ in answers)


def refused(credential: Credential) -> str:
    """Why it is not proved that the service refuses the credential; empty when every host does that answers."""
    answers = [(*_try(credential, login, host), host) for login, host in _servers(credential)]
    if inside := [host for status, _, host in answers if status == "in"]:
        return f"{', '.join(inside)}: {credential.user} still gets in with the old value of {credential.secret}"
    if any(status == "refused" for status, _, _ in answers):
        return ""
    return "; ".join(answer for _, answer, _ in answers)


def _servers(credential: Credential) -> list[tuple[Login, str]]:
    return [(credential.login, host) for host in credential.login.hosts] if credential.login else []


def _try(credential: Credential, login: Login, host: str) -> tuple[str, str]:
    """Log in at one host: 'in', 'refused' or 'unknown', and what was wrong."""
    try:
        LOGINS[login.kind](login, host, credential.user, credential.password)
    except (Refused, _postgresql_login.Refused, _redis.Refused) as refusal:
        return "refused", str(refusal)
    except Failed as failure:
        return "unknown", str(failure)
    return "in", ""


def _postgresql(login: Login, host: str, user: str, password: str) -> None:
    server = _postgresql_login.Server(host, login.port, login.name, login.database, login.ca)
    _postgresql_login.log_in(server, user, password)


def _etcd_login(login: Login, host: str, user: str, password: str) -> None:
    client = _etcd.Client([host], ca=login.ca, certificate=login.certificate, key=login.key)
    try:
        client.post("auth/authenticate", {"name": user, "password": password})
    except _etcd.Refused as refusal:
        if refusal.code == _etcd.INVALID_ARGUMENT:  # "authentication failed, invalid user ID or password"
            raise Refused(str(refusal)) from refusal
        raise


def _etcd_token(login: Login, host: str, user: str, password: str) -> None:
    """The password is the key that members sign tokens with; its file ends with a line break, which counts."""
    client = _etcd.Client([host], ca=login.ca, certificate=login.certificate, key=login.key)
    try:
        client.knows(f"{password}\n", user)
    except _etcd.Refused as refusal:
        if refusal.code == _etcd.UNAUTHENTICATED:
            raise Refused(str(refusal)) from refusal
        raise


def _patroni(login: Login, host: str, user: str, password: str) -> None:
    """Ask for a change of nothing: Patroni looks at the password first, and then says that this is no change."""
    client = _patroni_rest.Client(
        [host],
        ca_path=login.ca,
        client_cert=login.certificate,
        client_key=login.key,
        username=user,
        password=password,
    )
    try:
        client.request(client.urls[0], "/config", method="PATCH", body={})
    except _patroni_rest.FailedError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise Refused(str(error)) from error
        if error.status != HTTPStatus.BAD_REQUEST:
            raise Failed(str(error)) from error
    except (_patroni_rest.AbsentError, FileNotFoundError) as error:
        raise Failed(str(error)) from error


def _redis_login(login: Login, host: str, user: str, password: str) -> None:
    server = _redis.Server(host, login.port, login.ca, name=login.name, timeout=10)
    with _redis.Client(server, user, [password]) as client:
        client.log_in()


#: How each kind of service is logged in to.
LOGINS: Mapping[str, Callable[[Login, str, str, str], None]] = {
    "postgresql": _postgresql,
    "etcd": _etcd_login,
    "etcd_token": _etcd_token,
    "patroni": _patroni,
    "redis": _redis_login,
}
