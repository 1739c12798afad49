# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is logged in to a member of PostgreSQL: at the server itself, and at the pooler in front of it.

A pooler keeps connections to the server open that no client uses; only its clients count. Sources: the manual's page on
pg_stat_activity, and "SHOW CLIENTS" in pgbouncer.org/usage.html, whose admin console lets the system user in that the
pooler runs as, over the socket and under the name `pgbouncer`.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.holdfast.platform.plugins.module_utils._run import run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, until

SOCKETS = "/var/run/postgresql"
SYSTEM_USER = "postgres"

#: Sessions, those over the socket with an empty address.
ACTIVITY = "SELECT usename, host(client_addr) AS addr, application_name FROM pg_stat_activity"


@dataclass(frozen=True, order=True)
class Session:
    """A client's connection. address: of the client; through: `server` or `pooler`."""

    user: str
    address: str
    application: str
    through: str


def parse_activity(text: str, *, local: bool = False) -> list[Session]:
    """Sessions out of what psql printed for ACTIVITY, as CSV with a line of names."""
    return [
        Session(row["usename"], row["addr"] or "here", row["application_name"], "server")
        for row in csv.DictReader(io.StringIO(text))
        if row["usename"] and (row["addr"] or local)
    ]


def parse_clients(text: str) -> list[Session]:
    """Sessions out of what psql printed for SHOW CLIENTS, as CSV with a line of names; who looks is none of them."""
    return [
        Session(row["user"], row["addr"], row.get("application_name") or "", "pooler")
        for row in csv.DictReader(io.StringIO(text))
        if (row["database"], row["addr"]) != ("pgbouncer", "unix")
    ]


def read(pooler_port: int, *, local: bool = False) -> list[Session]:
    """Ask the server and the pooler of this host; local: with the server's sessions over the socket, which are the
    pooler's. Raises Failed.
    """
    command = ["runuser", f"--user={SYSTEM_USER}", "--", "psql", "--no-psqlrc", "--csv", f"--host={SOCKETS}"]
    server = run([*command, "--dbname=postgres", f"--command={ACTIVITY}"], timeout=30)
    pooler = run(
        [*command, f"--port={pooler_port}", "--username=pgbouncer", "--dbname=pgbouncer", "--command=SHOW CLIENTS"],
        timeout=30,
    )
    return parse_activity(server.out, local=local) + parse_clients(pooler.out)


def wait(
    users: Sequence[str],
    look: Callable[[], list[Session]],
    timeout: float,
    *,
    quiet: float = 0,
    pause: float = 1,
) -> list[Session]:
    """Look until none of the users was logged in for `quiet` seconds, or timeout (seconds) is over; return who is.

    A client may have read the old credential and not have connected yet: that is what the quiet time is for.
    """
    left: list[Session] = []
    since: float | None = None

    def trouble() -> str:
        nonlocal left, since
        left = sorted(session for session in look() if session.user in users)
        now = REAL.now()
        since = None if left else now if since is None else since
        return "" if since is not None and now >= since + quiet else "somebody may come back"

    until(trouble, timeout, pause)
    return left


def told(sessions: Sequence[Session]) -> str:
    """The sessions in words: how many of which user, from where."""
    counted = Counter(sessions)
    return ", ".join(
        f"{session.user} {number} times from {session.address}"
        + (f" ({session.application})" if session.application else "")
        + f" at the {session.through}"
        for session, number in sorted(counted.items())
    )
