# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for what the progress callback says and counts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _progress as progress


@pytest.mark.parametrize(
    ("roles", "service"),
    [
        ([], "Play name"),
        (["holdfast.platform.etcd"], "etcd"),
        (["etcd"], "etcd"),
        (["holdfast.platform._common", "holdfast.platform.etcd"], "etcd"),
        (["holdfast.platform.etcd", "holdfast.platform._common"], "etcd"),
        (["holdfast.platform._common"], "Play name"),
    ],
)
def test_service_name(roles: list[str], service: str) -> None:
    assert progress.service_name(roles, "Play name") == service


@pytest.mark.parametrize(
    ("action", "result", "options", "trips"),
    [
        ("ansible.builtin.ping", {}, {}, 1),
        ("ansible.builtin.ping", {}, {"local": True}, 0),
        ("ansible.builtin.ping", {"skipped": True}, {}, 0),
        ("ansible.builtin.debug", {"msg": "x"}, {}, 0),
        ("ansible.builtin.template", {}, {}, 2),
        ("ansible.builtin.command", {"attempts": 3}, {}, 3),
        ("holdfast.platform.bundle", {"round_trips": 2}, {}, 2),
        ("holdfast.platform.secrets", {}, {}, 0),
        ("ansible.builtin.file", {"results": [{}, {"skipped": True}, {}]}, {"loop": True}, 2),
        ("ansible.builtin.file", {"results": []}, {"loop": True}, 0),
        # A module's own result key is no loop.
        ("ansible.builtin.dnf", {"results": ["a", "b"]}, {}, 1),
        ("ansible.builtin.command", {"censored": "hidden", "changed": True}, {}, 1),
    ],
)
def test_round_trips(action: str, result: dict[str, Any], options: dict[str, bool], trips: int) -> None:
    assert progress.round_trips(action, result, **options) == trips


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({}, []),
        ({"paths": None}, []),
        ({"paths": ["/etc/a", {"path": "/etc/b", "change": "mode"}]}, ["/etc/b (mode)"]),
        ({"paths": [{"path": "/etc/b"}]}, ["/etc/b (changed)"]),
        (
            {"paths": [{"path": f"/{n}", "change": "created"} for n in range(14)]},
            [*(f"/{n} (created)" for n in range(12)), "and 2 more"],
        ),
    ],
)
def test_changed_paths(result: dict[str, Any], lines: list[str]) -> None:
    assert progress.changed_paths(result) == lines


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({}, ["no message"]),
        ({"msg": "why\n"}, ["why"]),
        ({"msg": ["one", "two"]}, ["one", "two"]),
        ({"censored": "hidden"}, ["hidden"]),
        (
            {"msg": "exit", "rc": 3, "stderr": "bad\nworse\n", "stdout": "x"},
            ["exit", "return code 3", "| bad", "| worse"],
        ),
        ({"msg": "bad", "stderr": "bad\n", "stdout": "more"}, ["bad", "| more"]),
        ({"msg": "m", "stdout": "\n".join(map(str, range(20)))}, ["m", *(f"| {n}" for n in range(8, 20))]),
    ],
)
def test_failure_lines(result: dict[str, Any], lines: list[str]) -> None:
    assert progress.failure_lines(result) == lines


def test_changed_items() -> None:
    results = [{"item": "a", "changed": True}, {"item": "b"}, "not a result"]
    assert progress.changed_items(results, lambda item: str(item["item"])) == ["a"]
    assert progress.changed_items(None) == []


def test_a_run_adds_up() -> None:
    tally = progress.Tally(100.0)
    tally.enter("base", 100.5)
    tally.record("base", "a", "Install", trips=2, changed=True, outcome="ok")
    tally.record("base", "b", "Install", trips=1, changed=False, outcome="unreachable")
    tally.enter("etcd", 102.5)
    tally.record("etcd", "a", "Apply", trips=1, changed=False, outcome="failed")
    tally.enter("base", 103.0)
    tally.record("base", "a", "Handle", trips=1, changed=True, outcome="failed")
    tally.enter("never ran", 104.0)
    tally.close(105.0, failed={"a"}, unreachable={"b"})

    assert tally.figures() == {
        "seconds": 5.0,
        "services": {
            "base": {"changed": 2, "seconds": 3.0, "round_trips": {"a": 3, "b": 1}},
            "etcd": {"changed": 0, "seconds": 0.5, "round_trips": {"a": 1}},
        },
    }
    assert tally.table() == [
        "service  hosts  changed  seconds  round trips  per host",
        "base         2        2      3.0            4         3  UNREACHABLE b (Install); FAILED a (Handle)",
        "etcd         1        0      0.5            1         1  FAILED a (Apply)",
        "total        2        2      5.0            5",
    ]


def test_rescued_and_ignored_hosts_are_not_lost() -> None:
    tally = progress.Tally(0.0)
    tally.record("base", "a", "Try", trips=1, changed=False, outcome="failed")
    tally.record("base", "b", "Try", trips=1, changed=False, outcome="unreachable")
    tally.close(1.0, failed=(), unreachable=())
    assert not any("FAILED" in line or "UNREACHABLE" in line for line in tally.table())


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (125, "2:05"), (3600, "60:00")])
def test_clock(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text


@pytest.mark.parametrize(
    ("text", "columns", "fits"), [("short", 80, "short"), ("0123456789", 10, "012345..."), ("0123456789", 2, "...")]
)
def test_fitted(text: str, columns: int, fits: str) -> None:
    assert progress.fitted(text, columns) == fits
