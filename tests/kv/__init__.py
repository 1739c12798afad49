# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key-value servers for tests: a stand-in within the process, a real Vault, and what has to hold on both."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ansible import constants

from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_kv
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_kv import Settings, VaultKV

PATH = "holdfast/lab"
DATA = [f"secret/data/{PATH}/*", f"secret/metadata/{PATH}*"]


class Server(Protocol):
    """A server with a key-value engine of version 2 at `secret`, one of version 1 at `old`, and an AppRole."""

    url: str
    ca_file: Path

    def token(self, paths: list[str]) -> str:
        """A token that may do anything with these paths, and nothing else."""

    def role(self) -> Mapping[str, str]:
        """role_id and secret_id of a role that may do anything with DATA."""

    def revoke(self) -> None:
        """Make every token of the role invalid."""

    def delete(self, path: str) -> None:
        """Delete the newest version of an entry softly."""

    def seal(self) -> None:
        """Take its key away from the server."""

    def stop(self) -> None:
        """End the server at once, as a kill does."""

    def asked(self) -> int:
        """How many requests there were so far."""


def store(server: Server, token: str | None = None, **given: str) -> VaultKV:
    """The backend over a server, as a process that knows nothing yet would open it."""
    _vault_kv._cache.clear()
    _vault_kv._tokens.clear()
    settings = Settings.of({"url": server.url, "ca_file": str(server.ca_file), **given}, "lab")
    for file in Path(str(constants.DEFAULT_LOCAL_TMP)).glob("holdfast-*"):
        file.unlink()
    return VaultKV(settings, {"VAULT_TOKEN": server.token(DATA) if token is None else token})


def certificate(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of a server on 127.0.0.1, which signs itself."""
    names = directory / "server.crt", directory / "server.key"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kv -addext".split()
    subprocess.run(
        ["openssl", "req", *options, "subjectAltName=IP:127.0.0.1", "-out", names[0], "-keyout", names[1]],
        capture_output=True,
        check=True,
    )
    return names
