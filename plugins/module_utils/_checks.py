# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only checks of a host, many in one call: units, kernel settings, and what programs say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed, run


@dataclass(frozen=True)
class Check:
    """A program to run and what its output has to match (a regular expression, searched in every line). says is the
    complaint when it does not."""

    argv: tuple[str, ...]
    expect: str
    says: str


def judge_check(check: Check, done: Done | str) -> str:
    """The complaint about one check; empty when all is well. done is a text when the program could not run."""
    if isinstance(done, str):
        return f"{check.says}: {done}"
    if done.status == 0 and re.search(check.expect, done.out, re.MULTILINE):
        return ""
    said = " ".join((done.err if done.status else done.out).split())[:300]
    return f"{check.says} (`{' '.join(check.argv)}` ended with {done.status} and said: {said or 'nothing'})"


def judge_units(names: Sequence[str], states: str, failed: str) -> list[str]:
    """Complaints about units. states is what `systemctl is-active NAMES` printed, a line each; failed what
    `systemctl list-units --failed --plain --no-legend` printed."""
    answers = itertools.zip_longest(names, states.split(), fillvalue="in no known state")
    problems = [f"{name} is {state}" for name, state in answers if state != "active"]
    return problems + [f"{line.split()[0]} has failed" for line in failed.splitlines() if line.strip()]


def judge_settings(wanted: Mapping[str, str], read: Callable[[str], str | None]) -> list[str]:
    """Complaints about kernel settings (sysctl keys and values).

    read gives the value in force, None where there is none. Values of several numbers are compared without regard to
    white space.
    """
    problems = []
    for key, value in wanted.items():
        actual = read(key)
        if actual is None or actual.split() != str(value).split():
            problems.append(f"{key} is {actual if actual is None else actual.strip()}, not {value}")
    return problems


def read_setting(key: str) -> str | None:
    """A kernel setting in force."""
    try:
        return Path("/proc/sys", *key.split(".")).read_text(encoding="utf-8")
    except OSError:
        return None


def attempt(check: Check) -> Done | str:
    """Run a check's program; a text when it can't be run."""
    try:
        return run(check.argv, timeout=30, check=False)
    except Failed as error:
        return str(error)
