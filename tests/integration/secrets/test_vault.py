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
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError
from tests.kv import store, vault
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
    """A file system of 64 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


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
        (small_disk / "ballast").write_bytes(b"x" * shutil.disk_usage(small_disk).free)
        kept = {"root": ONE}
        with pytest.raises(SecretsError) as caught:  # noqa: PT012 - what fits into its files' free pages is written
            for number in range(200):
                with run.transaction("etcd") as held:
                    held["new"] = replace(ONE, current=f"{number}" * 100_000)
                kept["new"] = held["new"]
        assert "hunter2" not in str(caught.value)
        (small_disk / "ballast").unlink()
        server.stop()
        server.start()
        server.unseal()
        assert store(server).read("etcd") == kept
    finally:
        server.stop()
