# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.services.postgresql import judge_members

MEMBERS = ["data-a1", "data-b1", "data-c1"]


def member(role: str, state: str = "streaming", **more: Any) -> dict[str, Any]:
    return {"role": role, "state": state, "timeline": 3, "lag": 0, **more}


def cluster(**changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    good = {"a": member("leader", "running"), "b": member("quorum_standby"), "c": member("quorum_standby")}
    return {f"data-{name}1": value for name, value in {**good, **changed}.items() if value}


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (cluster(), ""),
        (cluster(b={}), "data-b1 did not join"),
        (cluster(a=member("replica")), "not one leader"),
        (cluster(a=member("leader", "starting")), "data-a1 leads and is starting"),
        (cluster(b=member("quorum_standby", timeline=2)), "different timelines"),
        (cluster(b=member("quorum_standby", **{"lag": 2000000})), "data-b1 is streaming, 2000000 bytes behind"),
        (cluster(b=member("quorum_standby", **{"lag": "unknown"})), "unknown bytes behind"),
        (cluster(b=member("replica", "stopped")), "data-b1 is stopped"),
        (cluster(b=member("replica")), "data-b1 is no synchronous standby yet"),
    ],
)
def test_in_sync(shown: dict[str, dict[str, Any]], problem: str) -> None:
    found = judge_members(shown, MEMBERS)
    assert (problem in found) if problem else found == ""
