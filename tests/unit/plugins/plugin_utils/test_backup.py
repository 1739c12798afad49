# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._backup import Keys, trials
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret, ssh_private_key, ssh_public_key

OLD, NEW, STORE, STORE_NEW = (ssh_private_key(bytes([number]) * 32) for number in range(4))
HOSTS = [{"name": "backup-a1", "address": "10.77.1.51"}, {"name": "backup-b1", "address": "10.77.2.51"}]
CLIENT, SERVER = ["etcd/backup_ssh"], ["backup_store/host_key"]


@pytest.mark.parametrize(
    ("phase", "paths", "client", "server", "accepted", "refused"),
    [
        ("added", CLIENT, Secret(OLD, "", next=NEW), Secret(STORE, ""), None, None),
        ("verified", CLIENT, Secret(OLD, "", next=NEW), Secret(STORE, ""), (NEW, [STORE]), None),
        ("verified", [], Secret(OLD, "", next=NEW), Secret(STORE, ""), None, None),
        ("verified", SERVER, Secret(OLD, ""), Secret(STORE, "", next=STORE_NEW), None, None),
        ("drained", SERVER, Secret(OLD, ""), Secret(STORE_NEW, "", previous=STORE), (OLD, [STORE_NEW]), None),
        ("retired", CLIENT, Secret(NEW, "", retired=OLD), Secret(STORE, ""), None, (OLD, [STORE])),
        ("retired", SERVER, Secret(OLD, ""), Secret(STORE_NEW, "", retired=STORE), None, (OLD, [STORE])),
        # Aborted before anybody used it: it is the new one that is refused.
        ("retired", CLIENT, Secret(OLD, "", retired=NEW), Secret(STORE, ""), None, (NEW, [STORE])),
    ],
)
def test_which_logins_a_phase_tries(  # noqa: PLR0917
    phase: str,
    paths: list[str],
    client: Secret,
    server: Secret,
    accepted: tuple[str, list[str]] | None,
    refused: tuple[str, list[str]] | None,
) -> None:
    found = trials(Keys("etcd", client, server, paths), phase, HOSTS, 2222)
    for state, expected in (("accepted", accepted), ("refused", refused)):
        assert [(login["address"], login["user"]) for login in found[state]] == (
            [("10.77.1.51", "backup-etcd"), ("10.77.2.51", "backup-etcd")] if expected else []
        )
        for login in found[state] if expected else []:
            assert expected
            known = [f"[{login['address']}]:2222 {ssh_public_key(key)}" for key in expected[1]]
            assert (login["key"], login["known_hosts"]) == (expected[0], known)
