# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version may come after which."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_version
from ansible_collections.holdfast.platform.plugins.module_utils._kube_version import Look
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

METRICS = """\
# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested
apiserver_requested_deprecated_apis{group="policy",removed_release="1.36",resource="budgets",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="x",removed_release="1.40",resource="y",subresource="",version="v2"} 1
"""


@pytest.mark.parametrize(
    ("version", "numbers"), [("v1.36.3", (1, 36, 3)), ("3.6.8-0", (3, 6, 8)), ("v1.37.0-rc.1", (1, 37, 0))]
)
def test_parse(version: str, numbers: tuple[int, int, int]) -> None:
    assert _kube_version.parse(version) == numbers


def test_what_is_no_version_is_named() -> None:
    with pytest.raises(Failed, match=r"version 'latest' is none; such as v1\.36\.3 would be"):
        _kube_version.parse("latest")


@pytest.mark.parametrize(
    ("servers", "kubelets", "reason"),
    [
        ({"a": "v1.35.4"}, {"n": "v1.35.4"}, ""),
        ({"a": "v1.36.1"}, {"n": "v1.33.0"}, ""),
        ({"a": "v1.36.3", "b": "v1.35.4"}, {}, ""),
        ({"a": "v1.36.3"}, {"n": "v1.36.3"}, ""),
        ({"a": "v1.34.9"}, {}, "a has v1.34.9, one minor version is the most at a time: v1.35 comes before v1.36.3"),
        ({"a": "v1.36.4"}, {}, "a has v1.36.4, and Kubernetes never goes back: the lock file has v1.36.3"),
        ({"a": ""}, {}, "a does not answer"),
        (
            {"a": "v1.35.4"},
            {"n": "v1.32.9"},
            "the kubelet of n has v1.32.9, more than 3 minor versions before v1.36.3: upgrade that node first",
        ),
        ({"a": "v1.36.3"}, {"n": "v1.37.0"}, "the kubelet of n has v1.37.0, and must not be newer than an API server"),
    ],
)
def test_judge(servers: dict[str, str], kubelets: dict[str, str], reason: str) -> None:
    assert _kube_version.judge("v1.36.3", Look(servers, kubelets)) == ([reason] if reason else [])


def test_what_is_due_are_other_versions_and_nodes_that_were_left_drained() -> None:
    look = Look({"a": "v1.36.3", "b": "v1.35.4"}, {"n": "v1.35.4", "m": "v1.36.3", "o": "v1.36.3"}, drained=["o"])
    assert look.servers_due("v1.36.3") == ["b"]
    assert look.nodes_due("v1.36.3") == ["n", "o"]


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        ("3.6.6-0", "3.6.8-0", ""),
        ("3.6.8-0", "3.6.8-0", ""),
        ("3.5.26-0", "3.6.8-0", ""),
        ("3.5.24-0", "3.6.8-0", "etcd 3.5.24-0 can't safely become 3.6.8-0: bring it to 3.5.26 first"),
        ("3.6.8-0", "3.6.6-0", "etcd has 3.6.8-0, and never goes back to 3.6.6-0"),
        ("3.5.26-0", "3.7.3-0", "etcd goes one minor version at a time, not from 3.5.26-0 to 3.7.3-0"),
    ],
)
def test_etcd_goes_from_a_safe_patch_to_the_next_minor_version(before: str, after: str, refusal: str) -> None:
    assert _kube_version.etcd_refusal(before, after) == refusal


def test_apis_that_are_gone_in_the_target() -> None:
    look = Look({}, {}, removed=_kube_version.removed_apis(METRICS))
    assert look.removed == {"policy/v1beta1/budgets": "1.36", "x/v2/y": "1.40"}
    assert _kube_version.gone(look, "v1.36.3") == ["policy/v1beta1/budgets"]
    assert _kube_version.gone(look, "v1.35.4") == []
