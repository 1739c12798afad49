# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a Kubernetes cluster, from one reading; and questions to name servers, with their answers."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_health
from ansible_collections.holdfast.platform.plugins.module_utils._kube_health import Reading
from ansible_collections.holdfast.platform.plugins.module_utils._kube_serving import Look


def node(name: str, unschedulable: bool = False, **conditions: str) -> dict[str, Any]:
    said = {"Ready": "True", "DiskPressure": "False", **conditions}
    listed = [{"type": kind, "status": status, "message": f"{kind} it is"} for kind, status in said.items()]
    return {
        "metadata": {"name": name},
        "spec": {"unschedulable": True} if unschedulable else {},
        "status": {"conditions": listed},
    }


GOOD = Reading(
    nodes=[node("n1"), node("n2")],
    servers={"https://10.0.1.11:6443": ""},
    names={"10.96.0.10": "", "10.244.1.2": ""},
    metrics=["n1", "n2"],
)


def test_a_good_cluster() -> None:
    assert _kube_health.judge(["n1", "n2"], GOOD, metrics=True) == []


@pytest.mark.parametrize(
    ("reading", "problem"),
    [
        (replace(GOOD, nodes=[node("n1")]), "n2 is not in the cluster"),
        (replace(GOOD, nodes=[*GOOD.nodes, node("n3")]), "n3 is in the cluster, and nobody declared it"),
        (replace(GOOD, nodes=[node("n1", Ready="Unknown"), node("n2")]), "n1 is not ready: Ready it is"),
        (replace(GOOD, nodes=[{"metadata": {"name": "n1"}}, node("n2")]), "n1 is not ready: it has not said why"),
        (replace(GOOD, nodes=[node("n1", DiskPressure="True"), node("n2")]), "n1 has DiskPressure: DiskPressure it is"),
        (replace(GOOD, nodes=[node("n1", unschedulable=True), node("n2")]), "n1 takes no new pods: it is cordoned"),
        (replace(GOOD, serving=Look(lacking={"n1": "x"})), "n1: its kubelet has no certificate: x"),
        (replace(GOOD, serving=Look(silent={"n1": "x"})), "n1: its kubelet does not answer: x"),
        (replace(GOOD, waiting=["n1"]), "n1 waits for its certificate's approval"),
        (replace(GOOD, undecided={"csr-1": "x"}), "the request csr-1 is undecided: x"),
        (replace(GOOD, servers={"https://10.0.1.11:6443": "x"}), "https://10.0.1.11:6443 is not ready: x"),
        (replace(GOOD, names={"10.96.0.10": "timed out"}), "the name server at 10.96.0.10 does not answer: timed out"),
        (replace(GOOD, metrics="x"), "there are no metrics: x"),
        (replace(GOOD, metrics=["n1"]), "n2 has no metrics"),
    ],
)
def test_what_is_wrong_is_told(reading: Reading, problem: str) -> None:
    problems = _kube_health.judge(["n1", "n2"], reading, metrics=True)
    assert problem in problems
    assert len(problems) <= 2


def test_metrics_that_nobody_declared_are_not_missed() -> None:
    assert _kube_health.judge(["n1", "n2"], replace(GOOD, metrics="x"), metrics=False) == []


def test_a_question_is_what_rfc_1035_says() -> None:
    assert _kube_health.question(0x1234, "a.bc.") == bytes.fromhex(
        "1234 0100 0001 0000 0000 0000 0161 026263 00 0001 0001"
    )


def header(number: int = 7, flags: int = 0x8180, answers: int = 1) -> bytes:
    return struct.pack(">6H", number, flags, 1, answers, 0, 0) + b"..."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (header(), ""),
        (header(number=8), "its answer is to something else"),
        (header(flags=0x0100), "its answer is to something else"),
        (header(flags=0x8183), "it says that there is no such name"),
        (header(flags=0x8182), "it says error 2"),
        (header(answers=0), "it knows no address"),
        (b"\0\7", "its answer is cut off"),
    ],
)
def test_answers(answer: bytes, said: str) -> None:
    assert _kube_health.verdict(answer, 7) == said
