# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._fence import Lease, judge, take
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

NOW = 1_000_000.0
HELD = Lease("alice@laptop, process 1", 7, NOW + 600)


def bob(token: int) -> Lease:
    return Lease("bob@desk, process 2", token, NOW + 600)


@pytest.mark.parametrize(
    ("held", "wanted", "now", "gone", "says"),
    [
        (None, bob(1), NOW, frozenset(), ""),
        (HELD, Lease(HELD.controller, 7, NOW + 900), NOW, frozenset(), ""),
        (HELD, bob(8), NOW, frozenset(), "alice@laptop, process 1 is at work on a rotation, for another 600 s"),
        (HELD, bob(8), NOW + 600, frozenset(), ""),
        (HELD, bob(8), NOW, frozenset({HELD.controller}), ""),
        (HELD, bob(8), NOW, None, ""),
        (HELD, bob(6), NOW + 600, frozenset(), "has seen its token 7, and this run's is 6"),
        (HELD, bob(6), NOW, None, "has taken the rotation over"),
    ],
)
def test_who_may_rotate(held: Lease | None, wanted: Lease, now: float, gone: frozenset[str] | None, says: str) -> None:
    answer = judge(held, wanted, now, gone)
    assert says in answer
    assert bool(says) == bool(answer)


def test_the_host_keeps_the_last_one_that_it_granted(tmp_path: Path) -> None:
    root = tmp_path / "rotation"
    mine = Lease("alice@laptop, process 1", 5, time.time() + 60)
    take("postgresql", mine, root=root)
    assert json.loads((root / "postgresql.json").read_text())["token"] == 5
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    with pytest.raises(Failed, match="alice@laptop, process 1 is at work"):
        take("postgresql", Lease("bob@desk, process 2", 6, time.time() + 60), root=root)
    take("redis", Lease("bob@desk, process 2", 1, time.time() + 60), root=root)
    take("postgresql", Lease("bob@desk, process 2", 6, time.time() + 60), gone=None, root=root)
    with pytest.raises(Failed, match="bob@desk, process 2 has taken the rotation over"):
        take("postgresql", mine, root=root)


def test_a_file_that_makes_no_sense_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "etcd.json").write_text('{"controller": "alice"')
    take("etcd", Lease("bob", 1, time.time() + 60), root=tmp_path)
    assert json.loads((tmp_path / "etcd.json").read_text())["controller"] == "bob"


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"'\.\./etc' is no name"):
        take("../etc", HELD, root=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match="can't keep who rotates"):
        take("etcd", HELD, root=tmp_path / "file")
