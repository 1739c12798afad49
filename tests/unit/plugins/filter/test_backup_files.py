# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files with which a service copies itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.backup_files import FilterModule
from ansible_collections.holdfast.platform.plugins.module_utils import _restic

STORE = {
    "name": "backup-a1",
    "address": "10.0.0.1",
    "port": 2222,
    "user": "kubernetes",
    "known_hosts": ["[10.0.0.1]:2222 ssh-ed25519 AAAA"],
    "every": 3600,
}
GIVEN: dict[str, Any] = {
    "service": "kubernetes",
    "title": "Kubernetes",
    "cluster": "north",
    "after": "kubelet.service",
    "produce": ["/usr/local/lib/holdfast/kubernetes/snapshot"],
    "environment": {"ETCDCTL_ENDPOINTS": "https://127.0.0.1:2379"},
    "repositories": [STORE],
    "passphrase": "xyzzy",
    "ssh_key": "KEY",
    "calendar": "hourly",
    "keep": {"hourly": 24},
}
backup_files = FilterModule().filters()["backup_files"]


def test_what_the_program_is_told_is_what_it_reads() -> None:
    files = backup_files(GIVEN)
    told = json.loads(files["/etc/holdfast/backup/kubernetes/settings.json"]["content"])
    settings = _restic.Settings(**told)
    assert settings.repositories == {"backup-a1": "sftp:backup-a1:/data"}
    assert settings.every == 3600
    assert f"{settings.password_file}" in files
    assert f"{settings.ssh_config}" in files


def test_secrets_are_for_root_alone_and_in_no_other_file() -> None:
    files = backup_files(GIVEN)
    for path, file in files.items():
        if path.startswith("/etc/holdfast/"):
            assert file["mode"] == "0600"
        else:
            assert "xyzzy" not in file["content"]
            assert "KEY\n" not in file["content"]


def test_without_repositories_there_are_no_files() -> None:
    assert backup_files({**GIVEN, "repositories": []}) == {}


@pytest.mark.parametrize("wrong", [{"keeep": {}}, {}])
def test_what_is_missing_or_unknown_is_named(wrong: dict[str, Any]) -> None:
    given = {key: value for key, value in GIVEN.items() if key != "keep"} | wrong
    with pytest.raises(AnsibleFilterError, match="keep"):
        backup_files(given)
