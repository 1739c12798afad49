# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of every module that recovers a server out of the repositories."""

    DOCUMENTATION = r"""
requirements:
  - pgBackRest, configured, on the host
  - psycopg2 on the host
options:
  stanza:
    description: The cluster's name in the repositories.
    type: str
    required: true
  bin_dir:
    description: Directory of PostgreSQL's programs.
    type: path
    required: true
  data_dir:
    description: Directory of the data. What it holds is replaced.
    type: path
    required: true
  parameters:
    description: Today's server parameters.
    type: dict
    default: {}
  timeout:
    description: Seconds that one long part may take.
    type: int
    default: 14400
"""
