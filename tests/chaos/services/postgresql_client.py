# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes numbers into PostgreSQL as an application does. Runs on a host of the lab, beside writer.py."""

from __future__ import annotations

import json
import math
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2

# Connection lost, operator intervention (it may come while a commit waits for a standby), system and internal errors,
# completion unknown: after these nobody knows. PostgreSQL 17, appendix A.
UNSURE = ("08", "57", "58", "XX", "40003")


class Client:
    """One connection. settings: `run`, and the connection's parameters.

    With `credentials`, a JSON file has user and password, read for each connection; with `lifetime`, the least and the
    most seconds, it connects anew after some time between them, as the connections of a pool do.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.run = settings["run"]
        self._connect()

    def _connect(self) -> None:
        given, file = self.settings["connection"], self.settings.get("credentials")
        self.connection = psycopg2.connect(**given, **(json.loads(Path(file).read_text()) if file else {}))
        self.connection.autocommit = True
        lifetime = self.settings.get("lifetime")
        self.until = time.monotonic() + random.uniform(*lifetime) if lifetime else math.inf  # noqa: S311

    def write(self, number: int) -> None:
        if time.monotonic() > self.until:
            self.close()
            self._connect()
        self.connection.cursor().execute("INSERT INTO app.chaos_ledger VALUES (%s, %s)", [self.run, number])

    def refused(self, error: Exception) -> bool:
        code = getattr(error, "pgcode", None) or "08"
        return not str(code).startswith(UNSURE)

    def close(self) -> None:
        with suppress(psycopg2.Error):
            self.connection.close()
