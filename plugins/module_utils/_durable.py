# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there as a whole, or as they were, after a kill and after a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str, mode: int | None = None) -> None:
    """Replace a file's content. Raises OSError; the file is as it was then.

    mode: permissions that the file has before anything is in it; without it those that files of this user have.
    """
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666 if mode is None else mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
