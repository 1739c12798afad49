# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults under load, and what they cost: acknowledged writes, gaps, time until in sync. `make chaos` runs them."""

from __future__ import annotations
