# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the key-value server, over real HTTPS: as much of the API as the backend uses, and faults on order.

What it answers is what a real server answers; tests/integration/secrets holds the same tests against one.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from . import DATA, certificate


class FakeKV:
    """See tests.kv.Server. lose: the next write's connection breaks, `before` or `after` it is carried out."""

    def __init__(self, directory: Path) -> None:
        self.ca_file, key = certificate(directory)
        self.entries: dict[str, list[Any]] = {}  # versions; None is a deleted one
        self.tokens: dict[str, list[str]] = {"root": ["*"]}
        self.sealed = False
        self.lose = ""
        self.fail = 0  # every write gets this status
        self.requests: list[str] = []
        self.namespaces: set[str] = set()
        self.connections: list[socket.socket] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def setup(self) -> None:
                fake.connections.append(self.request)
                super().setup()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = self.headers.get("X-Vault-Token", "")
                fake.namespaces.add(self.headers.get("X-Vault-Namespace", ""))
                found = fake.handle(self.command, self.path.split("?")[0].removeprefix("/v1/"), token, body)
                if found is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, content = found
                data = b"" if status == 204 else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_LIST = answer  # noqa: N815 - names that http.server asks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def token(self, paths: list[str]) -> str:
        name = f"token-{len(self.tokens)}"
        self.tokens[name] = ["auth/token/lookup-self", "sys/internal/ui/mounts/*", *paths]
        return name

    def role(self) -> Mapping[str, str]:
        return {"role_id": "the-role", "secret_id": "the-secret"}

    def revoke(self) -> None:
        self.tokens = {"root": ["*"]}

    def delete(self, path: str) -> None:
        self.entries[path][-1] = None

    def seal(self) -> None:
        self.sealed = True

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def asked(self) -> int:
        return len(self.requests)

    def handle(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any] | None:
        """Status and content of an answer; None when the connection breaks."""
        self.requests.append(f"{method} {path}")
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if path == "auth/approle/login":
            if json.loads(body) != self.role():
                return 400, {"errors": ["invalid role or secret ID"]}
            return 200, {"auth": {"client_token": self.token(DATA)}}
        if token not in self.tokens or not any(fnmatch.fnmatch(path, pattern) for pattern in self.tokens[token]):
            return 403, {"errors": ["permission denied"]}
        if path == "auth/token/lookup-self":
            return 200, {"data": {}}
        if path.startswith("sys/internal/ui/mounts/"):
            version = {"secret": "2", "old": "1"}.get(path.rsplit("/", 1)[1])
            if version is None:
                return 403, {"errors": ["preflight capability check returned 403"]}
            return 200, {"data": {"type": "kv", "options": {"version": version}}}
        mount, _, rest = path.partition("/")
        if mount == "old":
            return 404, {"errors": []}
        if mount != "secret":
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        kind, _, name = rest.partition("/")
        if method == "LIST":
            keys = [key.removeprefix(f"{name}/") for key in self.entries if key.startswith(f"{name}/")]
            return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})
        if kind == "metadata":
            self.entries.pop(name, None)
            return 204, {}
        return self._write(name, json.loads(body)) if method == "POST" else self._read(name)

    def _read(self, name: str) -> tuple[int, Any]:
        versions = self.entries.get(name)
        if not versions:
            return 404, {"errors": []}
        deleted = "" if versions[-1] is not None else "2026-11-21T09:00:00Z"
        metadata = {"version": len(versions), "deletion_time": deleted, "destroyed": False}
        return (404 if deleted else 200), {"data": {"data": versions[-1], "metadata": metadata}}

    def _write(self, name: str, content: Any) -> tuple[int, Any] | None:
        lose, self.lose = self.lose, ""
        if lose == "before":
            return None
        if self.fail:
            return self.fail, {"errors": ["1 error occurred: no space left on device"]}
        versions = self.entries.setdefault(name, [])
        if content["options"].get("cas") != len(versions):
            return 400, {"errors": ["check-and-set parameter did not match the current version"]}
        versions.append(content["data"])
        return None if lose else (200, {"data": {"version": len(versions)}})
