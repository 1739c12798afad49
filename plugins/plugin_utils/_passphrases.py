# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The passphrase of a service's copies, by what a repository has to make of it."""

from __future__ import annotations

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError, Store

NAME = "backup"


def passphrases(store: Store, service: str) -> dict[str, list[str]]:
    """Those that have to open a repository, the one in use first (`accepted`), and those that must not (`refused`).

    Raises SecretsError.
    """
    secret = store.read(service).get(NAME)
    if secret is None:
        raise SecretsError(f"{service}/{NAME}: is no secret of this site")
    return {"accepted": secret.accepted(), "refused": [secret.retired] if secret.retired else []}
