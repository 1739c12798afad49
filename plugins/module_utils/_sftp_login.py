# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins to SFTP servers: whether a server takes a key, and is who it should be."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run

OPTIONS = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "user": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "known_hosts": {"type": "list", "elements": "str", "required": True},
}

# What ssh says when a key, or a server's own key, is refused (sshconnect.c, sshconnect2.c of OpenSSH). All else proves
# nothing.
_REFUSED = re.compile(r"Permission denied \(|Host key verification failed")


@dataclass(frozen=True)
class Login:
    """Where to log in, and as whom. key: the private one; known_hosts: lines with the keys that the server may have."""

    name: str
    address: str
    port: int
    user: str
    key: str = field(repr=False)
    known_hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Login:
        """Read a module's argument."""
        return cls(**{**given, "known_hosts": tuple(given["known_hosts"])})


def log_in(login: Login) -> str:
    """Open an SFTP session and leave it. Returns why it was refused, by either side, or nothing; raises Failed."""
    with tempfile.TemporaryDirectory(prefix="holdfast-sftp-") as directory:
        files = {"key": login.key.rstrip("\n"), "known_hosts": "\n".join(login.known_hosts)}
        for name, text in files.items():
            file = Path(directory, name)
            file.touch(mode=0o600)
            file.write_text(f"{text}\n", encoding="utf-8")
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": f"{directory}/key",
            "UserKnownHostsFile": f"{directory}/known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "ConnectTimeout": "10",
        }
        argv = ["ssh", "-F", "none", *(part for item in options.items() for part in ("-o", "=".join(item)))]
        target = ["-p", str(login.port), "-l", login.user, login.address]
        return judge(login, run([*argv, *target, "-s", "sftp"], check=False, timeout=60))


def judge(login: Login, done: Done) -> str:
    """What ssh's end means: nothing, or the reason of a refusal. Raises Failed when it is neither."""
    if done.status == 0:
        return ""
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    said = next((line for line in lines if _REFUSED.search(line)), "")
    if not said:
        raise Failed(f"{login.name}: ssh ended with {done.status} and said: {' '.join(lines)[-300:] or 'nothing'}")
    return said
