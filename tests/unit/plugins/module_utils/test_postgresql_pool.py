# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pooler's function: when it is made, and what the statements leave nobody to guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _postgresql_pool as pool

STAMP = "holdfast " + "0" * 64


def current() -> str:
    """Return the comment that the function of this version bears, from the statement that sets it."""
    [comment] = [statement.sql for statement in pool.plan([], "pgbouncer") if statement.sql.startswith("COMMENT")]
    return comment.partition(" IS '")[2].rstrip("'")


@pytest.mark.parametrize("kind", [tuple, list])
def test_all_is_well(kind: Callable[[Sequence[object]], Sequence[object]]) -> None:
    assert pool.plan([kind((current(), True, False))], "pgbouncer") == []


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="no function"),
        pytest.param([(None, True, False)], id="a function of somebody else"),
        pytest.param([(STAMP, True, False)], id="one of another version"),
        pytest.param([(current(), False, False)], id="the user may not call it"),
        pytest.param([(current(), True, True)], id="everybody may"),
    ],
)
def test_the_function_is_made_anew(rows: list[tuple[object, ...]]) -> None:
    statements = pool.plan(rows, "pgbouncer")
    assert [" ".join(statement.sql.split()[:2]) for statement in statements] == [
        "CREATE SCHEMA",
        "DROP FUNCTION",
        "CREATE FUNCTION",
        "COMMENT ON",
        "REVOKE ALL",
        "GRANT USAGE",
        "GRANT EXECUTE",
    ]
    assert {statement.database for statement in statements} == {"postgres"}
    assert all(statement.shown == statement.sql for statement in statements)


def test_what_the_function_may() -> None:
    sql = "\n".join(statement.sql for statement in pool.plan([], "pgbouncer"))
    for words in (
        "SECURITY DEFINER SET search_path = pg_catalog",
        "NOT rolsuper AND NOT rolreplication",
        "rolvaliduntil > pg_catalog.now()",
        "REVOKE ALL ON FUNCTION pgbouncer.lookup(text) FROM PUBLIC",
    ):
        assert words in sql


@pytest.mark.parametrize(
    ("user", "written"),
    [("pgbouncer", 'TO "pgbouncer"'), ("Pool User", 'TO "Pool User"'), ('a"; DROP', 'TO "a""; DROP"')],
)
def test_the_user_is_quoted(user: str, written: str) -> None:
    *_, usage, execute = pool.plan([], user)
    assert usage.sql == f"GRANT USAGE ON SCHEMA pgbouncer {written}"
    assert execute.sql == f"GRANT EXECUTE ON FUNCTION pgbouncer.lookup(text) {written}"
