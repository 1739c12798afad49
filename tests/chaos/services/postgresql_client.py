# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes numbers into PostgreSQL as an application does. Runs on a host of the lab, beside writer.py."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2

# Connection lost, operator intervention (it may come while a commit waits for a standby), system and internal errors,
# completion unknown: after these nobody knows. PostgreSQL 17, appendix A.
UNSURE = ("08", "57", "58", "XX", "40003")


class Client:
    """One connection. settings: `run`, and the connection's parameters."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.run = settings["run"]
        self.connection = psycopg2.connect(**settings["connection"])
        self.connection.autocommit = True

    def write(self, number: int) -> None:
        self.connection.cursor().execute("INSERT INTO app.chaos_ledger VALUES (%s, %s)", [self.run, number])

    def refused(self, error: Exception) -> bool:
        code = getattr(error, "pgcode", None) or "08"
        return not str(code).startswith(UNSURE)

    def close(self) -> None:
        with suppress(psycopg2.Error):
            self.connection.close()
