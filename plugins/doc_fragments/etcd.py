# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that talks to etcd."""

    DOCUMENTATION = r"""
options:
  endpoints:
    description: Base URLs of the members, such as V(https://10.77.1.11:2379). The first that answers is taken.
    type: list
    elements: str
    required: true
  ca:
    description: File of the authorities that the members' certificates are checked against.
    type: path
    required: true
  certificate:
    description: File of the client certificate.
    type: path
    required: true
  key:
    description: File of the client certificate's key.
    type: path
    required: true
  user:
    description: Name of the user who asks. Not needed as long as authentication is off.
    type: str
    default: root
  password:
    description: Password of O(user).
    type: str
"""
