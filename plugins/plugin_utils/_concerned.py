# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a rotation concerns. Nothing here talks or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.holdfast.platform.plugins.plugin_utils import _backup, _site_ca
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Service
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import split_path

#: Any secret may be in one of its files.
_PROGRAMS = "credentials"


def concerned(secrets: Iterable[str], services: Mapping[str, Service], *, certificates: bool = False) -> list[str]:
    """The services that have to do with the rotation of these secrets (`owner/name`), in alphabetical order.

    certificates: those that are old get their successors as well. A part of the site's CA concerns all services, a key
    of a backup store those at both of its ends, any other secret its owner and the service that knows it as a user's.
    """
    found: set[str] = set()
    for path in secrets:
        owner, name = split_path(path)
        found |= {owner, _PROGRAMS}
        found |= {
            use.of
            for service in services.values()
            for use in service.uses
            if use.secret == name and service.name == owner
        }
        if owner == _site_ca.OWNER:
            found |= services.keys()
        if owner == _backup.STORE:
            found |= {service.name for service in services.values() if service.backup}
        if name == _backup.KEY:
            found.add(_backup.STORE)
    if certificates:
        found |= {service.name for service in services.values() if service.certificates}
    return sorted(name for name in found & services.keys() if "rotate" in services[name].verbs)
