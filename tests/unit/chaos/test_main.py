# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from tests.chaos import __main__ as command
from tests.chaos.services import load
from tests.chaos.services.postgresql import PostgreSQL


def test_a_seed_decides_the_order_and_the_choices() -> None:
    names = list(PostgreSQL.faults)
    assert command.order(names, 7) == command.order(reversed(names), 7)
    assert sorted(command.order(names, 7)) == sorted(names)
    assert len({tuple(command.order(names, seed)) for seed in range(5)}) > 1
    assert command.choices("zone-kill", 7).random() == command.choices("zone-kill", 7).random()
    assert command.choices("zone-kill", 7).random() != command.choices("zone-cut", 7).random()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--service", "redisqueue"], "SERVICE=redisqueue is unknown; known: kubernetes, postgresql"),
        (["--service", "postgresql", "--fault", "flood"], "FAULT=flood is unknown; known: zone-kill"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(
    argv: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "running", lambda: None)
    assert command.main(argv) == 2
    assert said in capsys.readouterr().err


def test_every_fault_says_what_it_does() -> None:
    assert load("postgresql", None).name == "postgresql"
    assert all(fault.what for fault in PostgreSQL.faults.values())
