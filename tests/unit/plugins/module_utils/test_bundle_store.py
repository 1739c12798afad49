# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers, in a directory of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_store as store
from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_wire as wire
from ansible_collections.holdfast.platform.plugins.module_utils._bundle_plan import Refused


@pytest.fixture
def kept(tmp_path: Path) -> store.Store:
    found = store.Store("one", tmp_path / "bundles")
    found.create()
    return found


def record(*texts: str) -> dict[str, Any]:
    files = {f"/etc/{text}": {"sha256": wire.Content.of_bytes(text.encode()).sha256} for text in texts}
    return {"files": files, "directories": {}}


def fill(kept: store.Store, number: int, *texts: str) -> None:
    for text in texts:
        kept.add(wire.Content.of_bytes(text.encode()))
    kept.write_generation(number, record(*texts))
    kept.put_in_force({"generation": number, "txid": "t", "made": []})


def test_nothing_is_known_of_a_new_bundle(tmp_path: Path) -> None:
    new = store.Store("new", tmp_path / "not there")
    assert (new.current(), new.numbers(), new.generation(1), new.journal(), new.pending(), new.outcome()) == (
        0, [], None, None, {}, {}
    )  # fmt: skip
    assert store.owned_by_others(new.root, "new") == {}
    assert store.clear_pending("new", "x.service", root=new.root) is False


def test_garbage(kept: store.Store) -> None:
    for number, texts in enumerate([("a", "b"), ("b", "c"), ("c", "d")], start=1):
        fill(kept, number, *texts)
    kept.collect_garbage(2)
    assert kept.numbers() == [2, 3]
    assert {text for text in "abcd" if kept.has(wire.Content.of_bytes(text.encode()).sha256)} == set("bcd")
    kept.put_in_force({"generation": 2, "txid": "t", "made": []})
    kept.collect_garbage(1)
    assert kept.numbers() == [2, 3]  # the one in force stays, however old


def test_damaged_contents_are_not_kept(kept: store.Store) -> None:
    wrong = wire.Content("0" * 64, 3, data=b"abc")
    with pytest.raises(wire.Damaged):
        kept.add(wrong)
    assert list(kept.objects.iterdir()) == []


@pytest.mark.parametrize(
    ("pending", "done", "left"),
    [
        ({"a": "restart"}, ("a", "restart"), {}),
        ({"a": "restart"}, ("a", "reload"), {"a": "restart"}),
        ({"a": "reload"}, ("a", "reload"), {}),
        ({"a": "reload", "b": "restart"}, ("a", "restart"), {"b": "restart"}),
        ({"a": "reload"}, ("b", "restart"), {"a": "reload"}),
    ],
)
def test_clear_pending(kept: store.Store, pending: dict[str, str], done: tuple[str, str], left: dict[str, str]) -> None:
    kept.write_pending(pending)
    assert store.clear_pending("one", *done, kept.root) is (pending != left)
    assert store.read_pending("one", kept.root) == left


def test_owned_by_others(kept: store.Store) -> None:
    fill(kept, 1, "a")
    kept.write_generation(2, record("b"))
    kept.write_journal({"generation": 2})  # under way: its paths are taken as well
    assert {path: owner["bundle"] for path, owner in store.owned_by_others(kept.root, "two").items()} == {
        "/etc/a": "one",
        "/etc/b": "one",
    }
    assert store.owned_by_others(kept.root, "one") == {}


def test_one_at_a_time(kept: store.Store) -> None:
    with (
        store.host_lock(kept.root, "one"),
        pytest.raises(Refused, match="bundle one, process"),
        store.host_lock(kept.root, "two", wait=0),
    ):
        raise AssertionError("two held the lock")
