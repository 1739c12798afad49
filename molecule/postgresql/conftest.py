# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this scenario's tests share."""

from __future__ import annotations

from tests.integration.postgresql_client import cluster, psql, secret

__all__ = ["cluster", "psql", "secret"]
