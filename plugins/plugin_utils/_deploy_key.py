# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that a run logs in with: its file on the controller, and what ssh tells of a login with it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError, ssh_public_key


class DeployKeyError(Exception):
    """The file is somebody else's, or a login told nothing of the key; the text says what to do."""


def write(file: Path, secret: Secret, *, check: bool) -> bool:
    """Let the file hold the key of today, for its owner alone. Returns whether it did not, or was not.

    Raises DeployKeyError when it holds a key that is none of the secret's versions, OSError.
    """
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    if there == secret.current and file.stat().st_mode & 0o077 == 0:
        return False
    if there and _public(there) not in {ssh_public_key(value) for value in secret.versions()}:
        raise DeployKeyError(
            f"{file}: holds another key than base/deploy_key. Take that one over with make secrets-import, or name a "
            "file that is not there yet in base_deploy_key_file"
        )
    if not check:
        _durable.write(file, secret.current, 0o600)
    return True


def _public(private: str) -> str:
    try:
        return ssh_public_key(private)
    except (SecretsError, TypeError):  # no key, or one with a passphrase
        return ""


def judge(file: str, status: int, said: str) -> bool:
    """Whether a server took the key of a file, by what ssh says at the level DEBUG1 (sshconnect2.c of OpenSSH).

    Other keys may get in as well, so the end of ssh alone tells nothing. Raises DeployKeyError when it is unknown.
    """
    if f"Server accepts key: {file} " in said and status == 0:
        return True
    if f"Offering public key: {file} " in said and f"Server accepts key: {file} " not in said:
        return False
    last = [line for line in said.splitlines() if line.strip() and not line.startswith("debug1: ")][-3:]
    raise DeployKeyError(f"ssh ended with {status} and said: {' '.join(last) or 'nothing'}")
