# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Vault for tests: built from the Go module proxy, with TLS and files as storage, on this machine's loopback.

It is no part of the collection. Its `minimal` tag leaves out the engines and storages that nothing here uses.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hvac
import requests

from tests.lab.machine import CHECKOUT

from . import DATA, certificate

VERSION = "1.19.5"
# The program's own replacements. Its sdk is a directory beside it, which can't be had; this published one fits.
MODULE = f"""
module holdfast.test/vault

go 1.24

replace github.com/99designs/keyring => github.com/Jeffail/keyring v1.2.3

replace github.com/ma314smith/signedxml v1.1.1 => github.com/moov-io/signedxml v1.1.1

require (
	github.com/hashicorp/vault v{VERSION}
	github.com/hashicorp/vault/sdk v0.18.0
)
"""
BUILD = [
    "go",
    "build",
    "-mod=mod",
    "-trimpath",
    "-tags=minimal",
    "-ldflags=-s -w",
    "-o=vault",
    "github.com/hashicorp/vault",
]


def program() -> Path:
    """Where the program is, or will be when `build` has made it: named after the recipe."""
    recipe = hashlib.sha256(repr((MODULE, BUILD)).encode()).hexdigest()[:12]
    return CHECKOUT / ".cache" / f"vault-{VERSION}-{recipe}" / "vault"


def build() -> Path:
    """Build it unless it is there: some minutes, and 5 GB meanwhile, which are given back."""
    made = program()
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    work = made.parent / "build"
    work.mkdir(exist_ok=True)
    (work / "go.mod").write_text(MODULE)
    own = {name: str(work / directory) for name, directory in {"GOMODCACHE": "modules", "GOCACHE": "objects"}.items()}
    own |= {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw"}
    subprocess.run(BUILD, cwd=work, env={**os.environ, **own}, check=True, capture_output=True)
    (work / "vault").replace(made)
    shutil.rmtree(work)
    return made


class Vault:
    """See tests.kv.Server. storage: a directory for its files."""

    def __init__(self, directory: Path, storage: Path) -> None:
        self.directory = directory
        self.ca_file, key = certificate(directory)
        with socket.socket() as free, socket.socket() as other:
            free.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            port, cluster = free.getsockname()[1], other.getsockname()[1]
        self.url = f"https://127.0.0.1:{port}"
        listener = {
            "address": f"127.0.0.1:{port}",
            "cluster_address": f"127.0.0.1:{cluster}",
            "tls_cert_file": str(self.ca_file),
            "tls_key_file": str(key),
        }
        settings = {
            "disable_mlock": True,
            "api_addr": self.url,
            "cluster_addr": f"https://127.0.0.1:{cluster}",
            "storage": {"raft": {"path": str(storage), "node_id": "one", "performance_multiplier": 1}},
            "listener": {"tcp": listener},
        }
        self.settings = directory / "vault.json"
        self.settings.write_text(json.dumps(settings))
        storage.mkdir()
        self.audit = directory / "audit.log"
        self.start()
        first = self._client("").sys.initialize(secret_shares=1, secret_threshold=1)
        self.key, self.root = first["keys"][0], first["root_token"]
        self.unseal()
        sys = self.admin.sys
        sys.enable_audit_device("file", options={"file_path": str(self.audit)})
        sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
        sys.enable_auth_method("approle")
        self._policy("holdfast", DATA)
        self.admin.auth.approle.create_or_update_approle("holdfast", token_policies=["holdfast"], token_ttl="20m")
        self._until(self.admin.secrets.kv.v2.read_configuration)  # the engine begins by upgrading itself

    @property
    def admin(self) -> hvac.Client:
        return self._client(self.root)

    def start(self) -> None:
        """Start the program; it is sealed then."""
        with (self.directory / "vault.log").open("ab") as log:
            argv = [str(program()), "server", f"-config={self.settings}"]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._until(self._client("").sys.is_initialized)

    def unseal(self) -> None:
        self._client("").sys.submit_unseal_key(self.key)
        self._until(lambda: self._client("").sys.read_leader_status()["is_self"] or 1 / 0)

    def token(self, paths: list[str]) -> str:
        name = hashlib.sha256(repr(paths).encode()).hexdigest()[:12]
        self._policy(name, paths)
        return str(self.admin.auth.token.create(policies=[name])["auth"]["client_token"])

    def role(self) -> Mapping[str, str]:
        role = self.admin.auth.approle
        return {
            "role_id": role.read_role_id("holdfast")["data"]["role_id"],
            "secret_id": role.generate_secret_id("holdfast")["data"]["secret_id"],
        }

    def revoke(self) -> None:
        self.admin.adapter.put("/v1/sys/leases/revoke-prefix/auth/approle/login", json={"sync": True})

    def delete(self, path: str) -> None:
        self.admin.secrets.kv.v2.delete_latest_version_of_secret(path, mount_point="secret")

    def seal(self) -> None:
        self.admin.sys.seal()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def asked(self) -> int:
        return sum(json.loads(line)["type"] == "request" for line in self.audit.read_text().splitlines())

    def _client(self, token: str) -> hvac.Client:
        return hvac.Client(url=self.url, token=token, verify=str(self.ca_file))

    def _policy(self, name: str, paths: list[str]) -> None:
        rules = {path: {"capabilities": ["create", "read", "update", "delete", "list"]} for path in paths}
        self.admin.sys.create_or_update_policy(name, {"path": rules})

    def _until(self, done: Any, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(requests.RequestException, hvac.exceptions.VaultError, ZeroDivisionError):
                done()
                return
            assert self.process.poll() is None, (self.directory / "vault.log").read_text()
            assert time.monotonic() < deadline, (self.directory / "vault.log").read_text()
            time.sleep(0.1)
