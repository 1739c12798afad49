# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.judge import Judgement, Limits, gaps, judge
from tests.chaos.ledger import Entry

INJECTED, STOPPED = 110.0, 140.0


def written(begin: float, end: float, rate: float = 100.0, first: int = 1) -> list[Entry]:
    """Acknowledged writes at a steady rate."""
    count = int((end - begin) * rate)
    return [Entry(first + n, "acknowledged", begin + n / rate, begin + n / rate, 0.0) for n in range(count)]


def judged(entries: list[Entry], present: dict[str, list[int]], **options: Any) -> Judgement:
    settings = {
        "injected": INJECTED,
        "healed": 120.0,
        "stopped": STOPPED,
        "in_sync": 5.0,
        "limits": Limits(),
        "least_rate": 50.0,
        **options,
    }
    return judge(entries, present, **settings)


BEFORE = written(100.0, 110.0)
AFTER = written(115.0, 140.0, first=2001)
ALL = [*BEFORE, *AFTER]
NUMBERS = [entry.number for entry in ALL]


def test_a_good_round() -> None:
    result = judged(ALL, {"a": NUMBERS, "b": NUMBERS})
    assert result.violations == []
    assert (result.acknowledged, result.lost, result.nowhere) == (3500, {}, {})
    assert result.gap == pytest.approx(5.0, abs=0.05)
    assert result.gap_after == pytest.approx(0.0, abs=0.05)
    assert result.calm_gap == pytest.approx(0.01, abs=0.005)
    assert result.rate == pytest.approx(100, abs=1)


def test_acknowledged_and_missing_on_one_member_is_lost() -> None:
    result = judged(ALL, {"a": NUMBERS, "b": NUMBERS[:-2]})
    assert result.lost == {"b": NUMBERS[-2:]}
    assert [v for v in result.violations if v.startswith("2 acknowledged and lost on b")]


@pytest.mark.parametrize(("outcome", "appeared", "nowhere"), [("indeterminate", 1, {}), ("failed", 0, {"a": [9999]})])
def test_what_nobody_acknowledged_may_appear_unless_it_was_refused(
    outcome: str, appeared: int, nowhere: dict[str, list[int]]
) -> None:
    result = judged([*ALL, Entry(9999, outcome, 111.0, 112.0, 0.0)], {"a": [*NUMBERS, 9999]})
    assert (result.appeared, result.nowhere) == (appeared, nowhere)
    assert bool(result.violations) == bool(nowhere)


def test_a_writer_within_the_zone_counts_for_losses_and_not_for_gaps() -> None:
    inside = [
        Entry(9001, "acknowledged", 111.0, 112.0, 0.0),
        Entry(9002, "acknowledged", 110.0, 110.5, 0.0),
        Entry(9003, "indeterminate", 112.0, 118.0, 0.0),
    ]
    result = judged(ALL, {"a": [*NUMBERS, 9001, 9003]}, inside=inside)
    assert (result.inside, result.lost, result.appeared) == (1, {"a": [9002]}, 1)
    assert result.gap == pytest.approx(5.0, abs=0.05)


def test_what_a_restore_throws_away_is_not_lost_and_what_came_before_or_after_is() -> None:
    times = {1: 50.0, 2: 60.0, 3: 70.0, 4: 80.0}
    entries = [Entry(number, "acknowledged", 111.0, 111.0, wall) for number, wall in times.items()]
    assert judged(entries, {"a": []}, given_up=(55.0, 75.0)).lost == {"a": [1, 4]}


@pytest.mark.parametrize("extra", [9999, 1])
def test_what_was_never_attempted_or_is_there_twice_is_out_of_nowhere(extra: int) -> None:
    assert judged(ALL, {"a": [*NUMBERS, extra]}).nowhere == {"a": [extra]}


@pytest.mark.parametrize(
    ("entries", "options", "violation"),
    [
        (BEFORE, {}, "30.0 s without an acknowledged write"),  # they never came back
        ([*BEFORE, *written(131.0, 140.0, first=2001)], {}, "21.0 s without"),
        (ALL, {"limits": Limits(gap=3.0)}, "5.0 s without"),
        (ALL, {"limits": Limits(in_sync=4.0)}, "in sync 5 s after healing"),
        (ALL, {"in_sync": None}, "not in sync again"),
        ([*written(100.0, 110.0, rate=20), *AFTER], {}, "only 20 writes a second"),
    ],
)
def test_limits(entries: list[Entry], options: dict[str, Any], violation: str) -> None:
    result = judged(entries, {"a": [entry.number for entry in entries]}, **options)
    assert len(result.violations) == 1
    assert violation in result.violations[0]


def test_a_gap_without_a_limit_is_only_measured() -> None:
    assert judged(BEFORE, {"a": NUMBERS[: len(BEFORE)]}, limits=Limits(gap=None)).violations == []


def test_a_gap_before_the_fault_is_the_machines() -> None:
    entries = [*written(80.0, 90.0, rate=200), *written(105.0, 140.0, first=5001)]
    result = judged(entries, {"a": [entry.number for entry in entries]})
    assert result.calm_gap == pytest.approx(15.0, abs=0.1)
    assert result.gap < 1


def test_nothing_read_is_no_proof() -> None:
    assert "nobody could be asked" in judged(ALL, {}).violations[0]


def test_without_any_write_the_gap_is_all_of_it() -> None:
    result = judged([], {"a": []})
    assert result.gap == STOPPED - INJECTED
    assert result.rate == 0


@pytest.mark.parametrize(
    ("times", "expected"),
    [([], [(10, 0)]), ([4], [(4, 0), (6, 4)]), ([9, 4], [(4, 0), (5, 4), (1, 9)]), ([-1, 11], [(10, 0)])],
)
def test_gaps(times: list[float], expected: list[tuple[float, float]]) -> None:
    assert gaps(times, 0, 10) == expected


def test_what_replication_may_lose_is_measured_up_to_its_bound() -> None:
    early = [entry.number for entry in ALL if 109.5 < entry.ended <= 110.0]
    late = [entry.number for entry in ALL if 117.0 < entry.ended < 117.1]
    bound = Limits(gap=None, loss=6.0)
    kept = {"a": [number for number in NUMBERS if number not in early]}
    result = judged(ALL, kept, limits=bound)
    assert result.lost == {"a": early}
    assert result.violations == []
    too_late = {"a": [number for number in NUMBERS if number not in late]}
    assert judged(ALL, too_late, limits=bound).violations != []
    assert judged(ALL, kept, limits=Limits(gap=None)).violations != []
