# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from tests.chaos.harness import Round
from tests.chaos.judge import Judgement
from tests.chaos.report import COLUMNS, row, table


def judgement(**changed: object) -> Judgement:
    figures = {
        **dict.fromkeys(("attempted", "acknowledged"), 3000),
        **{"failed": 2, "indeterminate": 3, "appeared": 1, "inside": None, "lost": {}, "nowhere": {}, "rate": 80.0},
        **{"gap": 4.26, "gap_after": -0.1, "calm_gap": 0.1, "in_sync": 12.4, "violations": []},
    }
    return Judgement(**{**figures, **changed})


def result(**changed: object) -> Round:
    figures = {"fault": "zone-kill", "victims": ["data-a1"], "writer": "app-c1", "before": {}, "after": {}}
    return Round(**{**figures, "load_average": [1.0, 7.6], "judgement": judgement(), **changed})


def test_rows_are_as_wide_as_the_table() -> None:
    skipped = result(judgement=None, reason="no libfaketime", skipped=True)
    for item in (result(), skipped, result(judgement=None, reason="not fit to begin")):
        assert len(row(item)) == len(COLUMNS)
    assert row(result())[-6:] == ("", "4.3", "-0.1", "12", "8", "ok")


def test_a_loss_counts_once_for_all_members_and_is_named_below() -> None:
    lost = judgement(lost={"data-a1": [7], "data-b1": [7, 8]}, violations=["2 acknowledged and lost on data-b1: 7, 8"])
    shown = table([result(judgement=lost)])
    assert row(result(judgement=lost))[6] == "2"
    assert "FAILED" in shown
    assert shown.endswith("zone-kill: 2 acknowledged and lost on data-b1: 7, 8")


def test_what_could_not_be_carried_out_failed_and_what_was_skipped_did_not() -> None:
    assert result(judgement=None, reason="not fit").violations == ["not fit"]
    skipped = result(judgement=None, reason="no libfaketime", skipped=True)
    assert skipped.violations == []
    assert "SKIPPED, no libfaketime" in table([skipped])
