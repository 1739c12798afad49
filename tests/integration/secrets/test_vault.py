# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key-value backend against a real Vault: what holds with the unit tests' stand-in holds here, and its faults.

Building Vault takes minutes, once per machine, so these are tests of `make test-full`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError
from tests.kv import DATA, store, vault
from tests.kv.contract import *  # noqa: F403 - its tests run here against the real server
from tests.kv.contract import ONE, ROTATING, put, refused
from tests.kv.vault import Vault

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not os.environ.get("HOLDFAST_TEST_FULL"), reason=f"Vault {vault.VERSION}: only `make test-full`"
    ),
]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    vault.build()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def server(tmp_path: Path, storage: Path) -> Iterator[Vault]:
    running = Vault(tmp_path, storage)
    yield running
    running.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_up(disk: Path) -> None:
    size = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(b"x" * size)


def test_killed_and_started_again_it_has_the_old_state(server: Vault) -> None:
    put(server, root=ONE, app=ROTATING)
    run = store(server)
    with refused("It went away while the entry was written"), run.transaction("etcd") as held:
        held["new"] = ONE
        server.stop()
    server.start()
    with refused("the server is sealed, or can't work"):
        run.read("etcd")
    server.unseal()
    assert store(server).read("etcd") == {"root": ONE, "app": ROTATING}


def test_a_full_disk_of_the_server_leaves_the_old_state(tmp_path: Path, small_disk: Path) -> None:
    server = Vault(tmp_path, small_disk / "storage")
    try:
        put(server, root=ONE)
        run = store(server)
        fill_up(small_disk)
        with refused("no space left on device"), run.transaction("etcd") as held:
            held["new"] = ONE
        (small_disk / "ballast").unlink()
        assert store(server).read("etcd") == {"root": ONE}
        put(server, new=ONE)
    finally:
        server.stop()


def test_a_truncated_file_of_the_server_is_no_empty_entry(server: Vault, storage: Path) -> None:
    put(server, root=ONE)
    run = store(server)
    server.stop()
    cut = [path for path in (storage / "logical").rglob("*") if path.is_file()]
    for path in cut:
        path.write_bytes(path.read_bytes()[:-20])
    server.start()
    server.unseal()
    with pytest.raises(SecretsError) as caught:
        run.read("etcd")
    assert "the server has a problem of its own" in str(caught.value)
    with pytest.raises(SecretsError), run.transaction("etcd"):
        pass


def test_a_namespace_is_asked_for(server: Vault) -> None:
    """Only the enterprise edition and OpenBao have them; this server says that it doesn't."""
    with pytest.raises(SecretsError):
        store(server, server.token(DATA), namespace="team").owners()
