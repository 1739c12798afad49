# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _upgrade
from ansible_collections.holdfast.platform.plugins.module_utils._upgrade import Due, Package

POLICY = """patroni:
  Installed: 4.0.6-1
  Candidate: 4.0.7-3~deb13u1
  Version table:
     4.0.7-3~deb13u1 500
        500 http://mirror.example trixie/main amd64 Packages
 *** 4.0.6-1 100
        100 /var/lib/dpkg/status
haproxy:
  Installed: (none)
  Candidate: 3.0.11-1+deb13u5
  Version table:
pgbouncer:
  Installed: 1.24
  Candidate: (none)
"""
OWNERS = {"postgresql-17": "patroni.service", "patroni": "patroni.service", "haproxy": "haproxy.service"}
RUNNING = {"patroni.service": 100.0, "haproxy.service": 100.0}


def test_policy() -> None:
    assert _upgrade.parse_policy(POLICY) == {
        "patroni": ("4.0.6-1", "4.0.7-3~deb13u1"),
        "haproxy": ("", "3.0.11-1+deb13u5"),
        "pgbouncer": ("1.24", ""),
    }


@pytest.mark.parametrize(
    ("packages", "running", "due"),
    [
        pytest.param(
            [Package("patroni", "1", "1", 50), Package("haproxy", "1", "1", 99)], RUNNING, Due({}, []), id="newest"
        ),
        pytest.param(
            [Package("patroni", "1", "2", 50)], RUNNING, Due({"patroni": "1 -> 2"}, ["patroni.service"]), id="newer"
        ),
        pytest.param(
            [Package("haproxy", "2", "2", 200)], RUNNING, Due({}, ["haproxy.service"]), id="not restarted yet"
        ),
        pytest.param(
            [
                Package("haproxy", "1", "2", 50),
                Package("postgresql-17", "1", "2", 50),
                Package("patroni", "1", "2", 50),
            ],
            RUNNING,
            Due(
                {"haproxy": "1 -> 2", "postgresql-17": "1 -> 2", "patroni": "1 -> 2"},
                ["patroni.service", "haproxy.service"],
            ),
            id="each unit once, in the order of their start",
        ),
        pytest.param([Package("haproxy", "2", "2", 200)], {"haproxy.service": 0.0}, Due({}, []), id="it does not run"),
        pytest.param([Package("haproxy", "", "2", 0)], RUNNING, Due({}, []), id="not installed"),
        pytest.param([Package("haproxy", "2", "", 0)], RUNNING, Due({}, []), id="in no list"),
    ],
)
def test_what_is_due(packages: list[Package], running: dict[str, float], due: Due) -> None:
    assert _upgrade.decide(packages, OWNERS, running) == due


SHOWN = """ExecMainStartTimestamp=@1795264012
Id=patroni.service

ExecMainStartTimestamp=
Id=pgbouncer.service

Id=backup.timer

ExecMainStartTimestamp=@1795264013
Id=haproxy.service
"""


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("patroni.service", 1795264012.0),
        ("haproxy.service", 1795264013.0),
        ("pgbouncer.service", 0.0),
        ("backup.timer", 0.0),
        ("other.service", 0.0),
    ],
)
def test_since_when_a_unit_runs(unit: str, seconds: float) -> None:
    assert _upgrade.started(SHOWN, unit) == seconds
