# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret

from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_move import Plan, carry, content, plan
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Journal, Secret, SecretsError, Store
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_kv import VaultKV
from tests.kv import store as kv_store
from tests.kv.contract import ONE, ROTATING
from tests.kv.fake import FakeKV

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ALL = {"etcd": {"root": ONE}, "postgresql": {"app": ROTATING, "super": ONE}, "shop": {"key": ONE}}
LIVE = Secret(
    current="a", next="b", created="x", journal=Journal("1", "added", "x", "x", "ci3:9", "2026-11-21T10:05:00Z", 7)
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeKV]:
    fake = FakeKV(tmp_path)
    yield fake
    fake.stop()


def files(directory: Path) -> VaultFiles:
    loader = DataLoader()
    loader.set_vault_secrets([("default", VaultSecret(b"sesame"))])
    return VaultFiles(directory, Passwords(loader))


def fill(store: Store, secrets: dict[str, dict[str, Secret]]) -> None:
    for owner, held in secrets.items():
        with store.transaction(owner) as changed:
            changed.update(held)


def move(source: Store, target: Store, *, replace: bool = False, remove: bool = False) -> Plan:
    planned = plan(content(source), content(target), NOW, lambda _: False, replace=replace)
    carry(source, target, planned, remove=remove)
    return planned


@pytest.mark.parametrize("way", ["to kv", "to files"])
@pytest.mark.parametrize("remove", [False, True])
def test_nothing_is_lost(server: FakeKV, tmp_path: Path, way: str, remove: bool) -> None:
    stores: list[Store] = [files(tmp_path / "secrets"), kv_store(server)]
    source, target = stores if way == "to kv" else reversed(stores)
    fill(source, ALL)
    assert move(source, target, remove=remove) == Plan(copy=["etcd", "postgresql", "shop"])
    assert content(target) == ALL
    assert content(source) == ({} if remove else ALL)
    if not remove:
        assert move(source, target) == Plan()  # again: nothing to do


def test_other_values_there_are_named(server: FakeKV, tmp_path: Path) -> None:
    source, target = files(tmp_path / "secrets"), kv_store(server)
    fill(source, ALL)
    fill(target, {"etcd": {"root": replace(ONE, current="stale")}, "shop": {"old": ONE}, "left": {"x": ONE}})
    before = content(target)
    with pytest.raises(SecretsError, match="other values are there already: etcd/root, shop/old; nothing was moved"):
        move(source, target)
    assert content(target) == before
    assert move(source, target, replace=True) == Plan(copy=["etcd", "postgresql", "shop"], kept=["left"])
    assert content(target) == {**ALL, "left": {"x": ONE}}


def test_what_is_refused() -> None:
    with pytest.raises(SecretsError, match="there are no secrets to move"):
        plan({}, ALL, NOW, lambda _: False, replace=False)
    with pytest.raises(SecretsError, match=r"a rotation is at work on shop/app \(ci3:9\); nothing was moved, wait"):
        plan({"shop": {"app": LIVE}}, {}, NOW, lambda _: False, replace=True)
    assert plan({"shop": {"app": LIVE}}, {}, NOW, lambda name: name == "ci3:9", replace=False).copy == ["shop"]


def test_a_copy_that_differs_is_no_move(tmp_path: Path) -> None:
    class Forgetful(VaultFiles):
        def transaction(self, owner: str) -> Any:
            return super().transaction(f"not_{owner}")

    source, target = files(tmp_path / "one"), files(tmp_path / "two")
    fill(source, ALL)
    with pytest.raises(SecretsError, match="etcd, postgresql, shop: differs after it was copied"):
        carry(source, Forgetful(target.directory, target.passwords), Plan(copy=sorted(ALL)), remove=True)
    assert content(source) == ALL


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.plugins.plugin_utils.test_secret_move import files, move
from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_files
source, target, writes = files(Path(sys.argv[1])), files(Path(sys.argv[2])), int(sys.argv[3])
real = _vault_files._replace
def replace(path, data):
    global writes
    if not writes: os.kill(os.getpid(), signal.SIGKILL)
    writes -= 1
    real(path, data)
_vault_files._replace = replace
move(source, target, remove=True)
"""


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_in_the_middle_leaves_the_source_whole(tmp_path: Path, writes: int) -> None:
    source, target = files(tmp_path / "one"), files(tmp_path / "two")
    fill(source, ALL)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    argv = [sys.executable, "-c", KILLED, str(source.directory), str(target.directory), str(writes)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert content(source) == ALL
    assert len(content(target)) == writes
    assert len(move(source, target, remove=True).copy) == 3 - writes
    assert (content(source), content(target)) == ({}, ALL)


def test_a_server_that_goes_away_leaves_the_source_whole(server: FakeKV, tmp_path: Path) -> None:
    source, target = files(tmp_path / "secrets"), kv_store(server)
    fill(source, ALL)
    planned = plan(content(source), content(target), NOW, lambda _: False, replace=False)

    class Short(VaultKV):
        def transaction(self, owner: str) -> Any:
            if owner == "postgresql":
                server.stop()
            return super().transaction(owner)

    with pytest.raises(SecretsError, match="the server does not answer"):
        carry(source, Short(target.settings, target.environment), planned, remove=True)
    assert content(source) == ALL
