# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.faults import Skipped
from tests.chaos.harness import outside

CLIENTS = ["app-c1", "data-a1", "data-b1", "data-c1"]


@pytest.mark.parametrize(
    ("zones", "victims", "host"),
    [
        ((), (), "app-c1"),
        ("a", ["data-a1"], "app-c1"),
        ("c", ["data-c1"], "data-a1"),
        ("c", ["data-c1", "data-a1"], "data-b1"),
        ("ac", ["data-a1"], "data-b1"),
        ("ac", ["data-a1", "data-b1"], None),
    ],
)
def test_who_writes_is_neither_in_the_failed_zone_nor_a_victim(
    zones: str, victims: list[str], host: str | None
) -> None:
    service: Any = SimpleNamespace(name="postgresql", clients=CLIENTS)
    fault: Any = SimpleNamespace(zones=set(zones), victims=victims, zone=lambda name: name[-2])
    if host:
        assert outside(service, fault) == host
    else:
        with pytest.raises(Skipped, match="no client of postgresql is outside of a, c, data-a1, data-b1"):
            outside(service, fault)
