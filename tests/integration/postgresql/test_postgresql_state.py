# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases, roles and grants on a live cluster of three: the module finds the leader among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import HOME, HOST, Cluster

#: Quotes, a backslash, a dollar, and characters that SASLprep changes.
PASSWORD = 'it\'s a \\ "p\u00e4ss\u00adw\u00f6rd" $x \u2168'
WANTED: dict[str, Any] = {
    "databases": {
        "orders": {
            "schemas": ["orders"],
            "extensions": {"pg_trgm": {"schema": "orders"}, "btree_gin": None},
            "connection_limit": 50,
            "encoding": "UTF8",
            "locale": "C.UTF-8",
        }
    },
    "roles": {
        "orders_app": {
            "password": PASSWORD,
            "member_of": ["orders"],
            "connection_limit": 40,
            "settings": {"role": "orders", "statement_timeout": "30s", "search_path": ["orders", "public"]},
        },
        "Reporting": {"password": "reporting-secret", "valid_until": "2040-01-01"},
    },
    "grants": [
        {
            "role": "Reporting",
            "database": "orders",
            "schema": "orders",
            "objects": "tables",
            "privileges": ["SELECT"],
            "default": True,
        },
        {"role": "Reporting", "database": "orders", "schema": "orders", "objects": "functions", "privileges": ["ALL"]},
    ],
}


def _wanted(**parts: Any) -> dict[str, Any]:
    """Return a copy of WANTED in which single parts are replaced; a mapping is merged one level deep."""
    wanted = json.loads(json.dumps(WANTED))
    for key, value in parts.items():
        wanted[key] = {**wanted[key], **value} if isinstance(value, dict) else value
    return wanted


def _statements(result: dict[str, Any]) -> list[str]:
    return [item["sql"] for item in result["statements"]]


@pytest.fixture(scope="module", autouse=True)
def orders(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """What a first run did, after check mode has told the same and nothing was there."""
    predicted = cluster.reconcile("--check", "--diff", **WANTED)
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname = 'orders'") == "0"
    done = cluster.reconcile("--diff", **WANTED)
    # What an extension brings into the schema is only known once it is there.
    assert _statements(done)[: len(_statements(predicted))] == _statements(predicted)
    assert _statements(done)[len(_statements(predicted)) :] == [
        'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA "orders" TO "Reporting"'
    ]
    cluster.sql("CREATE TABLE t (i int); INSERT INTO t VALUES (7)", "orders", "orders_app", PASSWORD)
    yield done


@pytest.fixture
def put_back(cluster: Cluster) -> Iterator[None]:
    """Bring the state back after a test that moves it away."""
    yield
    cluster.reconcile(**WANTED)


def test_a_second_run_has_nothing_to_do(cluster: Cluster) -> None:
    cluster.unchanged(**WANTED)


def test_it_is_as_wanted(cluster: Cluster) -> None:
    app = ("orders", "orders_app", PASSWORD)
    reporting = ("orders", "Reporting", "reporting-secret")
    assert cluster.sql("SELECT current_user, current_setting('statement_timeout')", *app) == "orders|30s"
    assert cluster.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'", *app) == "orders"
    assert cluster.sql("SELECT i FROM orders.t", *reporting) == "7", "a table that was made after the grant"
    assert "permission denied" in cluster.sql("INSERT INTO orders.t VALUES (8)", *reporting)
    assert "permission denied" in cluster.sql("CREATE TABLE public.x (i int)", *reporting)
    assert cluster.sql("SELECT orders.similarity('a', 'a')", *reporting) == "1"
    cluster.sql("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    assert "permission denied for database" in cluster.sql("SELECT 1", "orders", "stranger", "x")
    cluster.sql("DROP ROLE stranger")


@pytest.mark.usefixtures("put_back")
def test_passwords(cluster: Cluster, orders: dict[str, Any]) -> None:
    read = "SELECT rolpassword FROM pg_authid WHERE rolname = 'orders_app'"
    verifier = cluster.sql(read)
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    log = cluster.log()
    assert "pg_authid" in log, "the log holds statements"
    for secret in (PASSWORD, "reporting-secret", verifier.partition("$")[2], "super-secret"):
        assert secret not in log
        assert secret not in json.dumps(orders, ensure_ascii=False)
    # A verifier that libpq itself has made of the same password stays.
    program = (
        "import psycopg2, psycopg2.extensions as e, sys; "
        f"c = psycopg2.connect('host={HOME}/m1,{HOME}/m2,{HOME}/m3 port=15432 user=postgres dbname=postgres "
        "target_session_attrs=read-write'); c.autocommit = True; "
        f"v = e.encrypt_password({PASSWORD!r}, 'orders_app', c, 'scram-sha-256'); "
        "c.cursor().execute('ALTER ROLE orders_app PASSWORD ' + chr(39) + v + chr(39))"
    )
    cluster.shell(f"cd / && sudo -u postgres python3 - <<'HOLDFAST'\n{program}\nHOLDFAST")
    made = cluster.sql(read)
    assert made != verifier
    cluster.unchanged(**WANTED)
    # A new password makes the old one useless.
    changed = _wanted(roles={"orders_app": {**WANTED["roles"]["orders_app"], "password": "another"}})
    assert _statements(cluster.reconcile(**changed)) == ["ALTER ROLE \"orders_app\" PASSWORD '(verifier, not shown)'"]
    assert cluster.sql("SELECT 1", "orders", "orders_app", "another") == "1"
    assert "password authentication failed" in cluster.sql("SELECT 1", "orders", "orders_app", PASSWORD)
    # A verifier may be given in the password's place.
    given = _wanted(roles={"orders_app": {**WANTED["roles"]["orders_app"], "password": made}})
    cluster.reconcile(**given)
    assert cluster.sql(read) == made


@pytest.mark.usefixtures("put_back")
def test_what_was_changed_by_hand_is_undone(cluster: Cluster) -> None:
    cluster.sql("CREATE ROLE other; CREATE ROLE granter; GRANT other TO granter WITH ADMIN OPTION")
    cluster.sql("ALTER ROLE \"Reporting\" SUPERUSER CONNECTION LIMIT 3 VALID UNTIL 'infinity'")
    cluster.sql("ALTER ROLE \"Reporting\" SET work_mem = '64MB'; ALTER ROLE orders_app SET statement_timeout = 0")
    cluster.sql('SET ROLE granter; GRANT other TO "Reporting"')
    by_hand = 'GRANT INSERT ON orders.t TO "Reporting"; REVOKE SELECT ON orders.t FROM "Reporting"'
    cluster.sql(f'{by_hand}; GRANT CREATE ON SCHEMA orders TO "Reporting"; GRANT SELECT ON orders.t TO other', "orders")
    cluster.sql("ALTER DATABASE orders CONNECTION LIMIT 1; GRANT CONNECT ON DATABASE orders TO PUBLIC")
    cluster.sql("ALTER SCHEMA orders OWNER TO postgres", "orders")
    predicted = cluster.reconcile("--check", **WANTED)
    done = cluster.reconcile(**WANTED)
    assert _statements(predicted) == _statements(done)
    assert sorted(_statements(done)) == [
        'ALTER DATABASE "orders" CONNECTION LIMIT 50',
        'ALTER ROLE "Reporting" RESET "work_mem"',
        "ALTER ROLE \"Reporting\" WITH NOSUPERUSER CONNECTION LIMIT -1 VALID UNTIL '2040-01-01T00:00:00+00:00'",
        'ALTER ROLE "orders_app" SET "statement_timeout" TO \'30s\'',
        'ALTER SCHEMA "orders" OWNER TO "orders"',
        'GRANT SELECT ON ALL TABLES IN SCHEMA "orders" TO "Reporting"',
        'REVOKE "other" FROM "Reporting" GRANTED BY "granter"',
        'REVOKE CONNECT ON DATABASE "orders" FROM PUBLIC',
        'REVOKE CREATE ON SCHEMA "orders" FROM "Reporting"',
        'REVOKE INSERT ON TABLE orders.t FROM "Reporting"',
    ]
    assert cluster.sql("SELECT has_table_privilege('other', 'orders.t', 'SELECT')", "orders") == "t", "not declared"
    cluster.sql("DROP OWNED BY other; DROP ROLE other", "orders")
    cluster.sql("DROP ROLE IF EXISTS other; DROP ROLE granter")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {
                "databases": {
                    "orders": {**WANTED["databases"]["orders"], "locale": "de_DE.UTF-8"},
                    "more": {"extensions": ["postgis"]},
                },
                "roles": {"more": {"member_of": ["nobody"]}},
            },
            [
                "databases.orders.locale: the database exists with C.UTF-8",
                "dump the data",
                "databases.more.extensions.postgis: not available",
                "pg_trgm",
                "roles.more.member_of: nobody does not exist",
            ],
        ),
        ({"roles": {"more": {"pasword": "x"}}}, ["roles.more.pasword: unknown key; did you mean password?"]),
        (
            {"password": "wrong"},
            ["no session as superuser postgres on the leader among 127.0.0.1", "password authentication failed"],
        ),
        (
            {"ca": f"{HOME}/tls/other.crt"},
            ["no session as superuser postgres on the leader among 127.0.0.1", "certificate verify failed"],
        ),
        ({"port": 1}, ["no session as superuser postgres on the leader among 127.0.0.1", "Connection refused"]),
        ({"user": "orders_app"}, ["no session as superuser orders_app", "permission denied"]),
    ],
)
def test_refusals_change_nothing(cluster: Cluster, parts: dict[str, Any], words: list[str]) -> None:
    wanted = _wanted(**{key: value for key, value in parts.items() if key in WANTED})
    rest = {key: value for key, value in parts.items() if key not in WANTED}
    if rest.get("user"):
        rest["password"] = PASSWORD
    message = cluster.reconcile(fails=True, **wanted, **rest)["msg"]
    for word in words:
        assert word in message
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname = 'more'") == "0"
    assert cluster.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'more'") == "0"


@pytest.mark.usefixtures("put_back")
def test_a_statement_that_the_server_refuses(cluster: Cluster) -> None:
    """What belongs together is undone together, the reason is given, and a later run goes on."""
    wrong = _wanted(roles={"more": {"password": "more-secret", "settings": {"work_mem": "lots"}}})
    message = cluster.reconcile(fails=True, **wrong)["msg"]
    assert 'ALTER ROLE "more" SET "work_mem" TO \'lots\'' in message
    assert "invalid value for parameter" in message
    assert cluster.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'more'") == "0"
    cluster.reconcile(**_wanted(roles={"more": {"password": "more-secret", "settings": {"work_mem": "5MB"}}}))
    assert cluster.sql("SHOW work_mem", user="more", password="more-secret") == "5MB"
    cluster.reconcile(**_wanted(roles={"more": {"state": "absent"}}))


@pytest.mark.usefixtures("put_back")
def test_remove(cluster: Cluster) -> None:
    more = {
        "databases": {"more": {"owner": "more", "schemas": ["more"]}},
        "roles": {"guest": {"password": "guest-secret"}},
        "grants": [
            *WANTED["grants"],
            {"role": "guest", "database": "more", "privileges": ["CONNECT"]},
            {
                "role": "guest",
                "database": "orders",
                "schema": "orders",
                "objects": "tables",
                "privileges": ["ALL"],
                "default": True,
            },
        ],
    }
    cluster.reconcile(**_wanted(**more))
    cluster.sql("CREATE TABLE more.t (i int)", "more")
    gone = {"databases": {"more": {"state": "absent"}}, "roles": {"guest": {"state": "absent"}, "more": None}}
    message = cluster.reconcile(fails=True, **_wanted(**gone))["msg"]
    assert "databases.more: shall be absent, but holds 1 tables" in message
    assert cluster.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'guest'") == "1"
    cluster.sql("DROP TABLE more.t", "more")
    cluster.sql("CREATE TABLE kept (i int); ALTER TABLE kept OWNER TO guest", "orders")
    message = cluster.reconcile(fails=True, **_wanted(**gone))["msg"]
    assert "roles.guest: shall be absent, but owns 1 objects in database orders" in message
    cluster.sql("DROP TABLE kept", "orders")
    done = cluster.reconcile(**_wanted(**gone))
    assert _statements(done) == [
        'DROP DATABASE "more"',
        'DROP OWNED BY "guest"',
        'DROP ROLE "guest"',
    ]
    cluster.unchanged(**_wanted(**gone))
    cluster.reconcile(**_wanted(roles={"more": {"state": "absent"}}))


def test_two_runs_at_once(cluster: Cluster) -> None:
    wanted = _wanted(
        databases={f"twice{number}": {"schemas": ["s"], "extensions": ["pg_trgm"]} for number in range(3)},
        roles={f"twice_app{number}": {"password": f"secret-{number}"} for number in range(10)},
    )
    extra = {"test_host": HOST, **{f"test_{name}": value for name, value in wanted.items()}}
    runs = [cluster.start(extra=extra) for _ in range(2)]
    results = [cluster.result(run.wait(), *run.communicate()) for run in runs]
    assert sorted(result["changed"] for result in results) == [False, True]
    gone = {"state": "absent"}
    owners = {f"twice{number}": gone for number in range(3)}
    apps = {f"twice_app{number}": gone for number in range(10)}
    cluster.reconcile(**_wanted(databases=owners, roles={**apps, **owners}))


@pytest.mark.usefixtures("put_back")
def test_the_leader_moves(cluster: Cluster) -> None:
    leader = cluster.leader()
    cluster.script(f"member {leader[1:]} stop")
    try:
        wanted = _wanted(roles={"moved": {"password": "moved-secret"}})
        cluster.reconcile(**wanted)
        cluster.unchanged(**wanted)
    finally:
        cluster.script(f"member {leader[1:]} start")
        assert cluster.leader() != leader
    cluster.reconcile(**_wanted(roles={"moved": {"state": "absent"}}))


def test_nothing_runs_yet(cluster: Cluster) -> None:
    result = cluster.reconcile("--check", port=1, ca="/nowhere/ca.crt", **WANTED)
    assert result["changed"]
    assert 'CREATE ROLE "orders"' in _statements(result)
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)
