# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has to be: everything that it lacks is told at once."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _requirements

WANTED = _requirements.Wanted(
    kernel="5.13",
    memory=1700,
    swap=False,
    controllers=["cpu", "memory"],
    modules={"br_netfilter": "/proc/sys/net/bridge"},
    ports=[6443, 10250],
)
GOOD = _requirements.Host(
    kernel="6.12.3-amd64",
    memory=2000,
    swap=[],
    controllers=frozenset({"cpu", "memory", "pids"}),
    lost=[],
    listening=frozenset({22}),
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"kernel": "5.13.0"}, []),
        ({"kernel": "5.4.0-200-generic"}, ["the kernel is 5.4.0-200-generic; 5.13 or newer is needed"]),
        ({"memory": 1024}, ["the host has 1024 MiB of memory; 1700 are needed"]),
        ({"swap": ["/dev/sda2"]}, ["swap is on (/dev/sda2); turn it off"]),
        ({"controllers": frozenset({"cpu"})}, ["cgroups have no controller memory"]),
        ({"lost": ["br_netfilter"]}, ["the kernel has no br_netfilter"]),
        ({"listening": frozenset({22, 6443})}, ["port 6443 is in use already"]),
        ({"memory": 1, "swap": ["/swap"]}, ["the host has 1 MiB", "swap is on (/swap)"]),
    ],
)
def test_a_host_is_judged(changes: dict[str, object], told: list[str]) -> None:
    problems = _requirements.judge(WANTED, dataclasses.replace(GOOD, **changes))
    assert len(problems) == len(told), problems
    assert all(problem.startswith(start) for problem, start in zip(problems, told, strict=True))


def test_nothing_is_required_of_this_machine_by_default() -> None:
    wanted = _requirements.Wanted()
    assert _requirements.judge(wanted, _requirements.read(wanted)) == []


def test_this_machine_is_read() -> None:
    host = _requirements.read(_requirements.Wanted(modules={"no-such-module": "/nowhere", "proc": "/proc/self"}))
    assert host.memory > 100
    assert host.lost == ["no-such-module"]
    assert "memory" in host.controllers
