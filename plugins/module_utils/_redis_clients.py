# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections to Redis were made before a moment, as CLIENT LIST tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from ansible_collections.holdfast.platform.plugins.module_utils._redis_cluster import Access
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: Seconds by which ages, which are whole ones, and clocks may differ.
SLACK = 1


def seconds(moment: str) -> float:
    """Seconds since 1970 of an ISO 8601 time in UTC. Raises Failed."""
    try:
        found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        raise Failed(f"'{moment}' is no time; write it as 2026-11-21T10:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def old(text: str, now: float, since: Mapping[str, float]) -> list[str]:
    """The connections from before the moment of their user, in words. text: of CLIENT LIST; now: the server's time."""
    found = []
    for line in text.splitlines():
        client = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
        user = client.get("user", "")
        if user in since and int(client.get("age", 0)) > now - since[user] + SLACK:
            name = f" ({client['name']})" if client.get("name") else ""
            found.append(f"{user} from {client.get('addr', '?')}{name}")
    return found


def look(members: Mapping[str, str], access: Access, since: Mapping[str, float]) -> list[str]:
    """Ask all members. Raises Failed when one can't be asked: nobody knows who is connected there."""
    found = []
    for name, address in members.items():
        with access.client(address) as client:
            (now, _), text = client.pipeline([("TIME",), ("CLIENT", "LIST")])
        found += [f"{connection} at {name}" for connection in old(text, int(now), since)]
    return found
