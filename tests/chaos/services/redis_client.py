# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What writes to Redis: finds the primary through the Sentinels, or those of shards through any of them, over TLS, with
the standard library alone.

Runs on a host of the site, beside tests/chaos/writer.py; what it is told comes from services/redis.py.
"""

from __future__ import annotations

import json
import math
import random
import socket
import ssl
import time
from pathlib import Path
from typing import Any

#: What a server says that has not done it: it is a replica, has none itself, starts, or knows no such password.
REFUSALS = (
    "MOVED",
    "CLUSTERDOWN",
    "READONLY",
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "WRONGPASS",
    "NOAUTH",
    "NOPERM",
    "OOM",
)


class RefusedError(Exception):
    """The server answered that it does not do it."""


#: Over so many keys the numbers are spread where there are shards: some are in each of them.
KEYS = 24


class Client:
    """A connection to whom the Sentinels call the primary, or to each primary of shards.

    settings: sentinels (addresses), sentinel_port and cluster, or shards (addresses of members) and port; name (that
    certificates prove), ca, timeout, run, and credentials: a file with user and password, read anew for each
    connection, or the two themselves. With lifetime, the least and the most seconds, it connects anew after some time
    between them, as the connections of a pool do.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.run = settings, settings["run"]
        self.tls = ssl.create_default_context(cafile=settings["ca"])
        self.places: dict[str, tuple[str, int]] = {}
        self.open()

    def open(self) -> None:
        """Find the primary, and connect; with shards to anybody, who says where else."""
        self.links: dict[tuple[str, int], tuple[ssl.SSLSocket, Any]] = {}
        given = self.settings["credentials"]
        self.credentials = json.loads(Path(given).read_text(encoding="utf-8")) if isinstance(given, str) else given
        lifetime = self.settings.get("lifetime")
        self.until = time.monotonic() + random.uniform(*lifetime) if lifetime else math.inf  # noqa: S311
        if "shards" not in self.settings:
            self.connect(*self.discover())
            return
        for host in random.sample(self.settings["shards"], len(self.settings["shards"])):
            try:
                self.connect(host, self.settings["port"])
            except (OSError, RefusedError) as error:
                reason = error
            else:
                return
        raise OSError(str(reason))

    def discover(self) -> tuple[str, int]:
        """Ask one Sentinel after the other."""
        reasons = []
        for host in self.settings["sentinels"]:
            try:
                self.connect(host, self.settings["sentinel_port"])
                try:
                    found = self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.settings["cluster"])
                finally:
                    self.close()
                return found[0].decode(), int(found[1])
            except (OSError, RefusedError) as error:
                reasons.append(f"{host}: {error}")
        raise OSError("; ".join(reasons))

    def connect(self, host: str, port: int) -> None:
        """Connect and log in, unless that is done."""
        if (host, port) in self.links:
            self.stream, self.file = self.links[host, port]
            return
        plain = socket.create_connection((host, port), self.settings["timeout"])
        self.stream = self.tls.wrap_socket(plain, server_hostname=self.settings["name"])
        self.file = self.stream.makefile("rb")
        self.links[host, port] = self.stream, self.file
        self.call("AUTH", self.credentials["user"], self.credentials["password"])

    def call(self, *words: str) -> Any:
        """The reply to a command."""
        parts = [word.encode() for word in words]
        self.stream.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self.reply()

    def reply(self) -> Any:
        """One reply; raises RefusedError for an error, OSError when there is none."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RefusedError(rest.decode(errors="replace"))
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def write(self, number: int) -> None:
        """Write one number; returns when the primary has acknowledged it."""
        if time.monotonic() > self.until:
            self.close()
            self.open()
        if "shards" not in self.settings:
            self.call("RPUSH", f"app:chaos:{self.run}", str(number))
            return
        key = f"app:chaos:{self.run}:{number % KEYS}"
        for _ in range(5):
            try:
                if key in self.places:
                    self.connect(*self.places[key])
                self.call("RPUSH", key, str(number))
            except RefusedError as error:
                if not str(error).startswith("MOVED "):
                    raise
                host, port = str(error).split()[2].rsplit(":", 1)
                self.places[key] = host, int(port)
            else:
                return
        raise RefusedError("MOVED again and again")

    def refused(self, error: Exception) -> bool:
        """Whether the write has certainly not happened."""
        return isinstance(error, RefusedError) and str(error).startswith(REFUSALS)

    def close(self) -> None:
        """End the connections."""
        for stream, file in self.links.values():
            file.close()
            stream.close()
        self.links = {}
