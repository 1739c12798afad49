# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's CA in the secret store: owner `pki`, four secrets."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from datetime import datetime

from ansible_collections.holdfast.platform.plugins.plugin_utils._pki import (
    Authority,
    Pair,
    PkiError,
    check_authority,
    make_intermediate,
    make_root,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, SecretsError, stamp

OWNER = "pki"
ROOT = ("root_certificate", "root_key")
INTERMEDIATE = ("intermediate_certificate", "intermediate_key")


def fill_authority(held: MutableMapping[str, Secret], site: str, now: datetime) -> list[str]:
    """Make what the CA lacks, check that it can sign, and return the names that were made.

    A root key that was taken offline is not missed while the intermediate is there.
    Raises SecretsError when what is there doesn't fit, or the root key is needed.
    """
    made: list[str] = []

    def keep(names: tuple[str, str], pair: Pair) -> None:
        for name, value in zip(names, (pair.certificate, pair.key), strict=True):
            held[name] = Secret(current=value, created=stamp(now))
            made.append(name)

    if not held.keys() & {*ROOT, *INTERMEDIATE}:
        keep(ROOT, make_root(site, now))
    if ROOT[0] not in held:
        raise SecretsError(
            "pki/root_certificate: is missing, but other parts of the CA are there; put it back from a copy "
            "(a new root would be one that no host trusts)"
        )
    try:
        if not held.keys() >= set(INTERMEDIATE):
            if ROOT[1] not in held:
                raise SecretsError(
                    "pki/root_key: is offline, and the intermediate has to be made; put the key back for one run "
                    "(ansible-vault edit), then take it away again"
                )
            keep(INTERMEDIATE, make_intermediate(site, Pair(*(held[name].current for name in ROOT)), now))
        authority = authority_of(held)
        if authority is None:
            raise SecretsError("pki: the CA is not complete")
        check_authority(authority, now)
    except PkiError as error:
        raise SecretsError(str(error)) from error
    return sorted(made)


def authority_of(held: Mapping[str, Secret]) -> Authority | None:
    """The CA that signs today, or None when it was not made yet. Every version of the root is trusted."""
    if not held.keys() >= {ROOT[0], *INTERMEDIATE}:
        return None
    intermediate = Pair(*(held[name].current for name in INTERMEDIATE))
    return Authority(intermediate, tuple(held[ROOT[0]].versions()))
