# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The function with which a pooler looks up the password verifiers of its clients.

See auth_query in pgbouncer.org/config.html. It runs with its owner's rights, so the pooler's own role can read nothing
else, and it gives nothing away of superusers, of roles that replicate, and of roles that can't log in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_state import Statement, ident, literal

DATABASE = "postgres"
SCHEMA = "pgbouncer"
SIGNATURE = f"{SCHEMA}.lookup(text)"

# A role whose time is over has to be refused by the pooler too: it never asks the server about that.
_BODY = """
  SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid
  WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
    AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
"""

#: Who may do what, and whether the function is ours as it is: one row (comment, may the user call it, may everybody).
READING = f"""
SELECT obj_description(p.oid, 'pg_proc'), has_function_privilege(%(user)s, p.oid, 'EXECUTE')
    AND has_schema_privilege(%(user)s, p.pronamespace, 'USAGE'),
    EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
FROM pg_proc p WHERE p.oid = to_regprocedure('{SIGNATURE}')
"""  # noqa: S608 - no outside text in it


def _stamp() -> str:
    """Mark this text of the function, so that another one is noticed."""
    return f"holdfast {hashlib.sha256(_BODY.encode()).hexdigest()}"


def plan(rows: Sequence[Sequence[object]], user: str) -> list[Statement]:
    """Return the statements that bring the function to the server and let user, and nobody else, call it.

    rows: what READING gave, nothing when there is no such function yet.
    """
    if [tuple(row) for row in rows] == [(_stamp(), True, False)]:
        return []
    texts = [
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f"DROP FUNCTION IF EXISTS {SIGNATURE}",
        f"CREATE FUNCTION {SIGNATURE} RETURNS TABLE (username text, verifier text) "
        f"LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog AS {literal(_BODY)}",
        f"COMMENT ON FUNCTION {SIGNATURE} IS {literal(_stamp())}",
        f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {ident(user)}",
        f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {ident(user)}",
    ]
    return [Statement(sql=text, shown=text, database=DATABASE) for text in texts]
