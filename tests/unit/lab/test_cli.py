# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from tests.lab.cli import DEFAULT, parser


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["up"], {"verb": "up", "site": "lab", "lab": DEFAULT}),
        (["--lab", "two", "up", "--site", "full"], {"lab": "two", "site": "full"}),
        (["zone-cut", "b"], {"zone": "b", "way": "both"}),
        (["zone-cut", "b", "--way", "in"], {"way": "in"}),
        (["ssh", "data-a1"], {"host": "data-a1", "command": []}),
        (["ssh", "data-a1", "ls -l; id"], {"command": ["ls -l; id"]}),
    ],
)
def test_arguments(argv: list[str], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_LAB", raising=False)
    assert vars(parser().parse_args(argv)).items() >= expected.items()


def test_the_environment_names_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_LAB", "three")
    assert parser().parse_args(["status"]).lab == "three"


@pytest.mark.parametrize("argv", [[], ["fly"], ["zone-cut"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(argv)
