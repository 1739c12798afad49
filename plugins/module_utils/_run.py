# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program on the host, for code that knows nothing of Ansible."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Failed(Exception):
    """Something on the host did not work; the text says what, and what the program said."""


@dataclass(frozen=True)
class Done:
    """The outcome of a program: exit status and what it printed, as text."""

    status: int
    out: str
    err: str


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    check: bool = True,
    stdin: str = "",
) -> Done:
    """Run argv without a shell, in the C locale, and wait.

    env is added to the environment; timeout is in seconds. Secrets belong into stdin or env, never into argv.
    Raises Failed when the program is missing, takes too long or, with check, ends with another status than 0.
    """
    name = " ".join(argv)
    try:
        done = subprocess.run(  # noqa: S603 - argv lists only, no shell
            list(argv),
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a journal may hold anything
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failed(f"{name}: the program is not installed on this host") from error
    except OSError as error:
        raise Failed(f"{name}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{name}: no end after {timeout:g} s") from error
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise Failed(f"{name}: exit status {done.returncode}: {said}")
    return Done(done.returncode, done.stdout, done.stderr)
