# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the Kubernetes API: TLS from a kubeconfig, a connection for each thread, errors that tell the reason."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

Object = dict[str, Any]

JSON = "application/json"
#: Server-side apply takes YAML by its name, and JSON is YAML (kubernetes.io, Server-Side Apply, "Serialization").
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

#: Seconds that a server which is overloaded, or starting, is asked again.
PATIENCE = 30.0
_BUSY = (429, 503)


class Unreachable(Failed):
    """No API server answers."""


class Refused(Failed):
    """The API server said no. status: of HTTP; reason: the API's own word for it, such as NotFound."""

    def __init__(self, text: str, status: int, reason: str = "") -> None:
        """Keep what the server said."""
        super().__init__(text)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Access:
    """Where the API is and how one proves who one is; certificates and keys in PEM."""

    server: str
    ca: str
    certificate: str = ""
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Resource:
    """How the API serves a kind: /api/v1/... or /apis/<group>/<version>/..."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of one object, of all of a namespace, or of all."""
        parts = [_root(self.api_version)]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *([urllib.parse.quote(name, safe="")] if name else [])])


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def parse_kubeconfig(document: Mapping[str, Any], where: str) -> Access:
    """What `kubectl config view --raw --minify --flatten -o json` printed. Raises Failed that names what is missing."""
    try:
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        access = Access(
            cluster["server"],
            _text(cluster["certificate-authority-data"]),
            _text(user.get("client-certificate-data", "")),
            _text(user.get("client-key-data", "")),
            user.get("token", ""),
        )
    except (LookupError, TypeError) as error:
        raise Failed(f"{where}: the current context has no {error}; name a kubeconfig such as kubeadm writes") from None
    if not access.server.startswith("https://"):
        raise Failed(f"{where}: the server '{access.server}' has to begin with https://")
    return access


def _text(data: str) -> str:
    return base64.b64decode(data).decode()


def read_kubeconfig(path: str) -> Access:
    """The access that a kubeconfig gives. Raises Failed."""
    if not Path(path).is_file():
        raise Failed(f"{path}: is not there; on a control plane kubeadm writes it")
    shown = run(["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json", "--kubeconfig", path])
    return parse_kubeconfig(json.loads(shown.out), path)


class Client:
    """Talks to one API server, from as many threads as one likes; each has a connection of its own."""

    def __init__(
        self,
        access: Access,
        timeout: float = 30,
        sleep: Callable[[float], None] = time.sleep,
        patience: float = PATIENCE,
    ) -> None:
        """timeout: seconds for one answer; patience: seconds for which one tries. Nothing is opened yet."""
        self.access, self.timeout, self._sleep, self.patience = access, timeout, sleep, patience
        url = urllib.parse.urlsplit(access.server)
        self._host, self._port = url.hostname or "", url.port or 443
        self._context = context(access)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._served: dict[str, dict[str, Resource]] = {}

    def resource(self, api_version: str, kind: str, *, fresh: bool = False) -> Resource | None:
        """How a kind is served; None when it is not. fresh: ask again, a definition may have come meanwhile."""
        with self._lock:
            if fresh or api_version not in self._served:
                self._served[api_version] = self._discover(api_version)
            return self._served[api_version].get(kind)

    def _discover(self, api_version: str) -> dict[str, Resource]:
        try:
            listed = self.request("GET", _root(api_version))["resources"]
        except Refused as refusal:
            if refusal.status == http.client.NOT_FOUND:
                return {}
            raise
        return {
            one["kind"]: Resource(api_version, one["kind"], one["name"], bool(one["namespaced"]))
            for one in listed
            if "/" not in one["name"]
        }

    def get(self, path: str) -> Object | None:
        """An object; None when there is none."""
        try:
            return self.request("GET", path)
        except Refused as refusal:
            if refusal.status == http.client.NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> Iterator[Object]:
        """The objects of a list, in pages of 500. They lack apiVersion and kind, as lists of the API do."""
        following = ""
        while True:
            page = self.request("GET", path, **query, limit="500", **({"continue": following} if following else {}))
            yield from page["items"]
            following = page["metadata"].get("continue", "")
            if not following:
                return

    def request(
        self, method: str, path: str, body: object | None = None, content_type: str = JSON, **query: str
    ) -> Object:
        """The decoded answer. A server that is busy, or a connection that broke, is tried again for a while.

        Every request that is made here can be made twice: what is read, applied or deleted by its UID.
        Raises Unreachable and Refused.
        """
        url = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        found: Object = json.loads(self._ask(method, url, body, content_type) or b"{}")
        return found

    def text(self, path: str) -> str:
        """What is no object, such as metrics."""
        return self._ask("GET", path, None, JSON).decode()

    def _ask(self, method: str, url: str, body: object | None, content_type: str) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        end, pause = time.monotonic() + self.patience, 0.2
        while True:
            try:
                return self._answer(method, url, data, content_type)
            except Refused as refusal:
                if refusal.status not in _BUSY or time.monotonic() >= end:
                    raise
            except (OSError, http.client.HTTPException) as error:
                self._local.connection = None
                # A server that ends in the middle of a handshake is another SSLError than one that can't be trusted.
                if isinstance(error, ssl.SSLCertVerificationError) or time.monotonic() >= end:
                    raise Unreachable(f"{self.access.server}: {error or 'no answer'}") from error
            self._sleep(pause)
            pause = min(2 * pause, 3.0)

    def _answer(self, method: str, url: str, data: bytes | None, content_type: str) -> bytes:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self.timeout, context=self._context
            )
            self._local.connection = connection
        headers = {"Accept": f"{JSON}, */*;q=0.1", "Content-Type": content_type, "User-Agent": "holdfast"}
        if self.access.token:
            headers["Authorization"] = f"Bearer {self.access.token}"
        connection.request(method, url, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise _refusal(answer.status, text)
        return text


def unready(thing: Mapping[str, Any]) -> str:
    """Why a node or a pod is not ready, by its condition Ready; empty when it is."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((one for one in conditions if one["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return ""
    return str(ready.get("message") or ready.get("reason") or "it has not said why")


def _refusal(status: int, text: bytes) -> Refused:
    """What a Status object says (kubernetes.io, API conventions, "Response Status Kind"), or the text that came."""
    try:
        said = json.loads(text)
        message, reason = str(said["message"]), str(said.get("reason", ""))
    except (ValueError, LookupError, TypeError):
        message, reason = text.decode(errors="replace").strip()[:500] or f"HTTP {status}", ""
    return Refused(message, status, reason)


def context(access: Access) -> ssl.SSLContext:
    """Verified TLS. Raises Failed for a certificate or key that is none."""
    try:
        context = ssl.create_default_context(cadata=access.ca)
        if access.certificate:
            with tempfile.TemporaryDirectory(prefix="holdfast-kube-") as directory:  # ssl reads them from files only
                pair = Path(directory, "client.pem")
                pair.touch(mode=0o600)
                pair.write_text(f"{access.certificate}\n{access.key}\n", encoding="utf-8")
                context.load_cert_chain(pair)
    except (ssl.SSLError, ValueError) as error:
        raise Failed(f"{access.server}: CA, certificate or key of the kubeconfig can't be used: {error}") from error
    return context
