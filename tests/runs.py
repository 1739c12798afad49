# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests ask of a run of a playbook."""

from __future__ import annotations

import subprocess


def good(done: subprocess.CompletedProcess[str]) -> str:
    """What a run printed that has to have succeeded."""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def unchanged(done: subprocess.CompletedProcess[str]) -> None:
    """A run that has to have succeeded and changed nothing."""
    assert " changed " not in good(done).partition("service ")[0], done.stdout[-3000:]
