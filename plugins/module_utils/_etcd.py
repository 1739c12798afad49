# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to etcd 3.4 and newer through its JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/).

The gateway needs nothing but the standard library on a host, and a password never stands on a command line.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

# gRPC status codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
FAILED_PRECONDITION = 9
UNAVAILABLE = 14
UNAUTHENTICATED = 16


#: How a module is told to reach the cluster; documented in the fragment `etcd`.
ACCESS: dict[str, dict[str, Any]] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "ca": {"type": "path", "required": True},
    "certificate": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "user": {"type": "str", "default": "root"},
    "password": {"type": "str", "no_log": True},
}


class Refused(Failed):
    """etcd answered and said no; code is the gRPC status."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Unreachable(Failed):
    """No endpoint answered; the text names each with its reason."""


@dataclass(frozen=True)
class Member:
    """One member as the cluster knows it. A member that never started has no name and no client URLs."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True)
class Status:
    """What one member says of itself; leader is the id of the member that it follows (`0`: none).

    db_bytes is the size of the database file, db_bytes_used the part of it that holds something.
    """

    endpoint: str
    id: str
    leader: str
    version: str
    revision: int
    raft_index: int
    db_bytes: int
    learner: bool
    errors: tuple[str, ...] = ()
    db_bytes_used: int = 0


def text(value: str) -> str:
    """Bytes fields are base64 in the gateway's JSON."""
    return base64.b64encode(value.encode()).decode()


def plain(value: str) -> str:
    """The text of a bytes field."""
    return base64.b64decode(value).decode()


#: Seconds for an answer about passwords, once the connection stands. etcd hashes them so that they cost some 50 ms of a
#: processor (bcrypt, --bcrypt-cost 10), and seconds where many processes want that one.
_HASHED = 20.0


class _Connection(http.client.HTTPSConnection):
    """One that waits longer for an answer than for the connection."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(max(self.timeout or 0, _HASHED))


class _Patient(urllib.request.HTTPSHandler):
    """Gives a member time to hash a password. One that does not answer at all costs no more than for other requests."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.context = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind = _Connection if "/v3/auth/" in req.full_url else http.client.HTTPSConnection
        return self.do_open(kind, req, context=self.context)


def signed(key: str, user: str) -> str:
    """A token as a member signs it that has this key (JWT, HS256; server/auth/jwt.go), for trying the key alone.

    No member lets it in: it is of the first revision of the users, and that of a cluster with a user is past it.
    """
    parts = [{"alg": "HS256", "typ": "JWT"}, {"username": user, "revision": 1, "exp": int(time.time()) + 60}]
    body = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(key.encode(), body, "sha256")).rstrip(b"=")
    return (body + b"." + signature).decode()


class Client:
    """A client of one cluster: tries the endpoints in their order and stays with the one that answers.

    endpoints are base URLs such as https://10.77.1.11:2379; ca, certificate and key are files.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ca: str,
        certificate: str,
        key: str,
        user: str | None = None,
        password: str | None = None,
        timeout: float = 5,
    ) -> None:
        self.endpoints = list(endpoints)
        self.files = (ca, certificate, key)
        self.user = user
        self.password = password
        self.timeout = timeout
        self._token: str | None = None
        self._opener: urllib.request.OpenerDirector | None = None

    def _connect(self) -> urllib.request.OpenerDirector:
        if self._opener is None:
            ca, certificate, key = self.files
            try:
                tls = ssl.create_default_context(cafile=ca)
                tls.load_cert_chain(certificate, key)
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(
                    f"the certificates of the etcd client can't be read ({ca}, {certificate}): {error}"
                ) from error
            # A proxy of the environment has no business between members of a cluster.
            self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Patient(context=tls))
        return self._opener

    def _post_to(self, endpoint: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        request = urllib.request.Request(f"{endpoint}/v3/{path}", json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with self._connect().open(request, timeout=self.timeout) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            try:
                detail = json.loads(said)
            except ValueError:
                detail = {"error": said, "code": -1}
            raise Refused(
                f"etcd {endpoint} refused {path}: {detail.get('error') or detail.get('message')}",
                detail.get("code", -1),
            ) from error

    def knows(self, key: str, user: str) -> None:
        """Raises Refused, with UNAUTHENTICATED, when the first endpoint does not sign tokens with this key."""
        self._token = signed(key, user)
        try:
            self._post_to(self.endpoints[0], "kv/range", {"key": text("/")})
        except Refused as refusal:
            if "auth store is old" not in str(refusal):  # it has read the token
                raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{self.endpoints[0]}: {getattr(error, 'reason', error)}") from error

    def post(self, path: str, body: Mapping[str, object] | None = None, *, again: bool = True) -> dict[str, Any]:
        """Call path with body on the first endpoint that answers.

        Raises Unreachable when none does, Refused when etcd says no. A member that can't serve at the moment (it is
        starting, or follows no leader) is no answer as long as another endpoint has one. A member forgets tokens when
        it restarts, and old ones after a while: with again the client then logs in once more.
        """
        reasons = []
        unable: Refused | None = None
        for endpoint in list(self.endpoints):
            try:
                if self.user and self._token is None and path != "auth/authenticate":
                    self._authenticate(endpoint)
                answer = self._post_to(endpoint, path, body or {})
            except Refused as refusal:
                # "revision of auth store is old": users have changed since the token was made.
                stale = refusal.code == UNAUTHENTICATED or "auth store is old" in str(refusal)
                if stale and self._token and again:
                    self._token = None
                    return self.post(path, body, again=False)
                if refusal.code not in (DEADLINE_EXCEEDED, UNAVAILABLE):
                    raise
                unable = refusal
                continue
            except (OSError, http.client.HTTPException, ValueError) as error:
                reasons.append(f"{endpoint}: {getattr(error, 'reason', error)}")
                continue
            self.endpoints.remove(endpoint)
            self.endpoints.insert(0, endpoint)
            return answer
        if unable:
            raise unable
        raise Unreachable(f"no etcd member answered: {'; '.join(reasons)}")

    def _authenticate(self, endpoint: str) -> None:
        try:
            login = {"name": self.user, "password": self.password}
            self._token = self._post_to(endpoint, "auth/authenticate", login)["token"]
        except Refused as refusal:
            if refusal.code != FAILED_PRECONDITION:  # authentication is not enabled (yet): nobody needs a token
                raise
            self._token = ""

    def members(self) -> list[Member]:
        """The members, sorted by name."""
        answer = self.post("cluster/member/list", {"linearizable": True})
        return sorted(
            (
                Member(
                    id=member["ID"],
                    name=member.get("name", ""),
                    peer_urls=tuple(member.get("peerURLs", ())),
                    client_urls=tuple(member.get("clientURLs", ())),
                    learner=bool(member.get("isLearner", False)),
                )
                for member in answer.get("members", ())
            ),
            key=lambda member: member.name,
        )

    def add(self, peer_url: str) -> list[Member]:
        """Add a member that will be reached at peer_url; the members afterwards.

        It is a learner, which has no vote, until it is promoted: a host that never comes up costs no majority.
        """
        self.post("cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})
        return self.members()

    def promote(self, member_id: str) -> None:
        """Give a learner its vote. Raises Refused while it trails the leader."""
        self.post("cluster/member/promote", {"ID": member_id})

    def remove(self, member_id: str) -> None:
        """Take a member out of the cluster."""
        self.post("cluster/member/remove", {"ID": member_id})

    def status(self) -> Status:
        """The status of the first endpoint that answers."""
        answer = self.post("maintenance/status")
        return Status(
            endpoint=self.endpoints[0],
            id=answer["header"]["member_id"],
            leader=answer.get("leader", "0"),
            version=answer["version"],
            revision=int(answer["header"].get("revision", 0)),
            raft_index=int(answer.get("raftIndex", 0)),
            db_bytes=int(answer.get("dbSize", 0)),
            learner=bool(answer.get("isLearner", False)),
            errors=tuple(answer.get("errors", ())),
            db_bytes_used=int(answer.get("dbSizeInUse", 0)),
        )

    def at(self, member: Member, timeout: float = 3) -> Client:
        """A client of one member alone."""
        ca, certificate, key = self.files
        return Client(
            member.client_urls,
            ca=ca,
            certificate=certificate,
            key=key,
            user=self.user,
            password=self.password,
            timeout=timeout,
        )

    def statuses(self, members: Sequence[Member]) -> dict[str, Status | str]:
        """Ask each of members: its status by id, or the reason why there is none."""
        found: dict[str, Status | str] = {}
        for member in members:
            try:
                found[member.id] = self.at(member).status()
            except Failed as error:
                found[member.id] = str(error) if member.client_urls else "it never started"
        return found

    def hand_over(self, leader: Member, to: Member) -> None:
        """Let the leader give up its place to another voter."""
        self.at(leader, timeout=10).post("maintenance/transfer-leadership", {"targetID": to.id})

    def alarms(self) -> list[str]:
        """Alarms that are raised, as `NOSPACE on member 1234`."""
        answer = self.post("maintenance/alarm", {"action": "GET"})
        return [
            f"{alarm.get('alarm', 'NONE')} on member {alarm.get('memberID', '?')}" for alarm in answer.get("alarms", ())
        ]
