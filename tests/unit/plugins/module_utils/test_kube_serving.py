# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run waits for kubelets' certificates, and for whom."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_serving
from ansible_collections.holdfast.platform.plugins.module_utils._kube_serving import Look
from ansible_collections.holdfast.platform.plugins.module_utils._wait import Clock

NONE = Look(lacking={"n1": "it has none yet"})


class Time:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.passed = 0.0

    def sleep(self, seconds: float) -> None:
        self.passed += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.passed, self.sleep)


def nobody_asks(_method: str, _path: str, _body: Any) -> dict[str, Any]:
    return {"items": []}


@pytest.mark.parametrize(
    ("looks", "check", "waited"),
    [
        pytest.param([Look()], False, 0, id="all have one"),
        pytest.param([NONE, NONE, Look()], False, 2, id="after two seconds"),
        pytest.param([NONE] * 100, False, 60, id="never"),
        pytest.param([Look(silent={"n1": "refused"})], False, 0, id="one is down"),
        pytest.param([NONE], True, 0, id="a trial"),
    ],
)
def test_waiting(looks: list[Look], check: bool, waited: float) -> None:
    time, following = Time(), iter(looks)
    settled = _kube_serving.settle(nobody_asks, lambda: next(following), {}, 60, check=check, clock=time.clock)
    assert time.passed == waited
    assert settled.look == looks[min(len(looks) - 1, int(waited))]


@pytest.mark.parametrize(
    ("status", "place"),
    [
        ({}, None),
        ({"addresses": [{"type": "Hostname", "address": "n1"}]}, None),
        (
            {
                "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.1.11"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10260}},
            },
            ("10.0.1.11", 10260),
        ),
        ({"addresses": [{"type": "InternalIP", "address": "10.0.1.11"}]}, ("10.0.1.11", 10250)),
    ],
)
def test_where_a_kubelet_is(status: dict[str, Any], place: tuple[str, int] | None) -> None:
    assert _kube_serving.endpoint({"status": status}) == place


def test_a_node_that_is_not_ready_is_waited_for() -> None:
    def node(name: str, *conditions: dict[str, str]) -> dict[str, Any]:
        return {"metadata": {"name": name}, "status": {"conditions": list(conditions)}}

    nodes = [
        node("n1", {"type": "Ready", "status": "True"}),
        node("n2", {"type": "Ready", "status": "False", "message": "no network"}),
        node("n3", {"type": "Ready", "status": "Unknown"}),
        node("n4"),
    ]
    seen = Look(lacking={"n4": "it has none yet"}, silent={"n3": "refused"})
    found = _kube_serving.with_readiness(seen, nodes)
    assert found.lacking == {"n2": "it is not ready: no network", "n4": "it has none yet"}
    assert found.silent == seen.silent
