# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL with Patroni and etcd: its client, its leader, what in sync means, and the faults that only it has."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos import faults
from tests.chaos.faults import Fault, Skipped, await_sync
from tests.chaos.judge import Limits
from tests.chaos.services import Service
from tests.lab.machine import LabError
from tests.lab.running import ROOT

NAME = "postgresql.lab.internal"
CA = "/etc/holdfast/ca.crt"
PKI = "/etc/holdfast/pki/etcd"


class PostgreSQL(Service):
    """One cluster, a member in each zone, an etcd member beside each."""

    name = "postgresql"
    client = Path(__file__).with_name("postgresql_client.py")

    @cached_property
    def members(self) -> Sequence[str]:
        return self.lab.group("postgresql")

    @cached_property
    def etcd_members(self) -> Sequence[str]:
        return self.lab.group("etcd")

    @cached_property
    def clients(self) -> Sequence[str]:
        return [*self.lab.group("tier_app"), *self.members]

    @cached_property
    def _credential(self) -> tuple[str, str]:
        return self.lab.credential("postgresql/app_rw")

    def prepare(self, host: str, run: str) -> Mapping[str, Any]:
        install = "apt-get -qy install python3-psycopg2 >/dev/null"
        self.lab.run(host, f"python3 -c 'import psycopg2' 2>/dev/null || {install}", timeout=300)
        # Without a key: a number that is written twice shows.
        self.sql(
            self.leader(),
            "SET ROLE app; CREATE TABLE IF NOT EXISTS app.chaos_ledger (run text NOT NULL, number bigint NOT NULL)",
        )
        user, password = self._credential
        connection = {
            "host": NAME,
            "port": 5000,
            "dbname": "app",
            "user": user,
            "password": password,
            "sslmode": "verify-full",
            "sslrootcert": CA,
            "connect_timeout": 2,
            "tcp_user_timeout": 3000,
        }
        return {"run": run, "connection": connection}

    def sql(self, host: str, statement: str) -> str:
        """What a member answers to its superuser."""
        return self.lab.run(host, "runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d app", statement).strip()

    def view(self, host: str) -> dict[str, dict[str, Any]]:
        """The members by name as Patroni of one member sees them; empty: no answer. `patronictl` costs seconds."""
        request = "printf 'GET /cluster HTTP/1.0\\r\\n\\r\\n'"
        tls = f"-quiet -verify_quiet -verify_return_error -CAfile {CA} -connect $(hostname):8008"
        answer = self.lab.run(host, f"{request} | timeout 8 openssl s_client {tls} 2>/dev/null", check=False)
        body = answer.partition("\n\n")[2]
        members = json.loads(body).get("members", []) if body.startswith("{") else []
        return {member["name"]: member for member in members}

    def cluster(self) -> dict[str, dict[str, Any]]:
        """What the first member that answers sees."""
        for host in self.members:
            if members := self.view(host):
                return members
        raise LabError("no member of Patroni answers")

    def leader(self) -> str:
        for name, member in self.cluster().items():
            if member["role"] == "leader" and member["state"] == "running":
                return name
        raise LabError("nobody leads PostgreSQL")

    def etcd(self) -> tuple[str, list[str]]:
        """The host of etcd's leader (empty when there is none), and the members that answer."""
        urls = ",".join(f"https://{host}:2379" for host in self.etcd_members)
        tls = f"--cacert={PKI}/ca.crt --cert={PKI}/etcd.crt --key={PKI}/etcd.key"
        command = f"etcdctl --dial-timeout=2s --command-timeout=3s {tls} --endpoints={urls} endpoint status -w json"
        for host in self.etcd_members:
            shown = self.lab.run(host, f"{command} 2>/dev/null", check=False)
            if shown.startswith("["):
                answers = {
                    item["Endpoint"].removeprefix("https://").split(":")[0]: item["Status"]
                    for item in json.loads(shown)
                }
                leading = [name for name, s in answers.items() if s.get("leader") == s["header"]["member_id"]]
                return (leading[0] if len(leading) == 1 else ""), sorted(answers)
        return "", []

    def trouble(self) -> str:
        # Who was cut off sees for a while what it saw before; so all have to agree.
        for host in self.members:
            seen = self.view(host)
            if problem := judge_members(seen, self.members) if seen else "no answer":
                return f"Patroni of {host}: {problem}"
        leader, answering = self.etcd()
        if missing := sorted(set(self.etcd_members) - set(answering)):
            return f"etcd does not answer on {', '.join(missing)}"
        return "" if leader else "etcd has no leader"

    def present(self, run: str) -> Mapping[str, Sequence[int]]:
        newest = self.sql(self.leader(), "SELECT pg_current_wal_flush_lsn()")
        caught_up = f"SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '{newest}'"
        found = {}
        for host in self.members:
            end = time.monotonic() + 30
            while self.sql(host, caught_up) != "t" and time.monotonic() < end:
                time.sleep(0.5)
            numbers = self.sql(host, f"SELECT number FROM app.chaos_ledger WHERE run = '{run}'")
            found[host] = [int(number) for number in numbers.split()]
        return found

    def figures(self) -> Mapping[str, Any]:
        return {"leader": self.leader(), "etcd_leader": self.etcd()[0]}


def judge_members(cluster: Mapping[str, Mapping[str, Any]], members: Sequence[str]) -> str:
    """Why the cluster, as Patroni's `/cluster` shows it, is not in sync; empty when it is."""
    roles = {name: member["role"] for name, member in cluster.items()}
    if missing := sorted(set(members) - set(cluster)):
        return f"{', '.join(missing)} did not join"
    if list(roles.values()).count("leader") != 1:
        return f"not one leader: {roles}"
    if len({member.get("timeline") for member in cluster.values()}) > 1:
        return "members are on different timelines"
    for name, member in cluster.items():
        state, lag = member["state"], member.get("lag", 0)
        if roles[name] == "leader" and state != "running":
            return f"{name} leads and is {state}"
        if roles[name] != "leader" and (state != "streaming" or lag == "unknown" or int(lag) > 1024 * 1024):
            return f"{name} is {state}, {lag} bytes behind"
        if roles[name] not in ("leader", "quorum_standby", "sync_standby"):
            return f"{name} is no synchronous standby yet"
    return ""


DATA = "$(echo /var/lib/postgresql/*/holdfast)"
STOP = "systemctl mask --runtime -q patroni; systemctl kill -s KILL patroni; kill -9 $(head -n 1 {data}/postmaster.pid)"


class _PostgreSQLFault(Fault):
    """A fault that knows PostgreSQL."""

    service: PostgreSQL

    def others(self) -> list[str]:
        """Members beside the victims, in an order that the seed decides."""
        others = [host for host in self.service.members if host not in self.victims]
        self.random.shuffle(others)
        return others

    def want_backup(self) -> None:
        """Restores and upgrades are refused without one. Raises Skipped."""
        backups = self.lab.run(self.victims[0], "runuser -u postgres -- pgbackrest info --output=json", check=False)
        if not any(stanza.get("backup") for stanza in json.loads(backups or "[]")):
            raise Skipped("PostgreSQL of this lab has no backup: make backup SERVICE=postgresql")

    def stop(self, host: str) -> None:
        """Kill a member, Patroni and PostgreSQL, so that it stays down; its etcd lives."""
        self.lab.run(host, STOP.format(data=DATA), check=False)

    def start(self, host: str) -> None:
        self.lab.run(host, "systemctl unmask --runtime -q patroni; systemctl start patroni")


class KillPostmaster(faults.Kill):
    what = "kill -9 of the leader's postmaster"
    command = f"kill -9 $(head -n 1 {DATA}/postmaster.pid)"


class KillPatroni(faults.Kill):
    what = "kill -9 of the leader's Patroni"
    hold = 30.0
    command = "kill -9 $(systemctl show -P MainPID patroni)"


class Switchover(_PostgreSQLFault):
    what = "a planned switchover"
    limits = Limits(gap=10.0)
    hold = 3.0

    def inject(self) -> None:
        leader, candidate = self.victims[0], self.others()[0]
        command = f"patronictl -c /etc/patroni/config.yml switchover --leader {leader} --candidate {candidate} --force"
        said = self.lab.run(leader, command, timeout=180)
        if "Successfully switched over" not in said:
            raise LabError(f"no switchover to {candidate}: {said}")

    def heal(self) -> None:
        """Nothing: the former leader has to follow by itself."""


class EtcdLeader(_PostgreSQLFault):
    what = "etcd's leader stops"
    limits = Limits(gap=10.0)
    hold = 15.0

    def aim(self) -> None:
        self.victims = [self.service.etcd()[0]]

    def inject(self) -> None:
        self.lab.run(self.victims[0], "systemctl stop etcd")

    def heal(self) -> None:
        self.lab.run(self.victims[0], "systemctl start etcd", timeout=120)


class EtcdCut(_PostgreSQLFault):
    """With failsafe_mode the leader may go on as long as every other member confirms that it follows."""

    what = "the leader's host is cut off from etcd alone; replicas and clients reach it"
    limits = Limits(gap=10.0)
    hold = 45.0
    hold_most = 75.0

    def aim(self) -> None:
        super().aim()
        self.inside = self.victims[0]

    def inject(self) -> None:
        ports = "{ 2379, 2380 }"
        rules = [
            f'chain {hook} {{\n type filter hook {hook} priority -50\n {device} != "lo" tcp dport {ports} drop\n'
            f' {device} != "lo" tcp sport {ports} drop\n }}\n'
            for hook, device in (("input", "iifname"), ("output", "oifname"))
        ]
        self.lab.run(self.victims[0], "nft -f -", f"table inet holdfast_chaos {{\n{''.join(rules)}}}\n")

    def heal(self) -> None:
        self.lab.run(self.victims[0], "nft -f -", "table inet holdfast_chaos\ndelete table inet holdfast_chaos\n")


class ReplicaThenLeader(_PostgreSQLFault):
    """Until Patroni has taken the dead replica off the list, the other one can't be known to have every commit: then
    nobody may take over before the first one is back. So the gap is measured and not judged."""

    what = "a replica dies, and moments later the leader's zone"
    limits = Limits(gap=None)
    hold = 40.0
    hold_most = 40.0

    def aim(self) -> None:
        super().aim()
        self.zones = {self.zone(self.victims[0])}
        self.victims.append(self.others()[0])

    def inject(self) -> None:
        leader, replica = self.victims
        self.stop(replica)
        time.sleep(self.random.choice([0.0, 2.0, 8.0]))
        self.lab.lab.zone_kill(self.zone(leader))

    def heal(self) -> None:
        leader, replica = self.victims
        self.start(replica)
        self.lab.lab.zone_heal(self.zone(leader))


class LoneLeader(_PostgreSQLFault):
    """What a leader acknowledges alone is on its disk only: its replicas must not take over without it."""

    what = "both replicas die, the leader goes on alone and dies; the replicas come back first"
    limits = Limits(gap=None)
    hold = 45.0
    hold_most = 45.0

    def aim(self) -> None:
        super().aim()
        self.zones = {self.zone(self.victims[0])}
        self.replicas = self.others()

    def inject(self) -> None:
        for host in self.replicas:
            self.stop(host)
        time.sleep(20)
        self.lab.lab.zone_kill(self.zone(self.victims[0]))
        for host in self.replicas:
            self.start(host)

    def heal(self) -> None:
        for host in self.replicas:
            self.start(host)
        self.lab.lab.zone_heal(self.zone(self.victims[0]))


class ReplicaDisk(_PostgreSQLFault):
    """The replica's WAL moves to a small file system of its own for the time of the round: nothing else is filled.
    Small, and larger than what it keeps (wal_keep_size) with what a round writes."""

    what = "a replica's disk is full"
    limits = Limits(gap=10.0)
    hold = 20.0

    def aim(self) -> None:
        self.victims = [self.service.leader()]
        self.victims = [self.others()[0]]
        self.move(
            "mv {wal} {wal}.kept; mkdir -m 700 {wal}; "
            "mount -t tmpfs -o size=700m,mode=700,uid=postgres,gid=postgres tmpfs {wal}; "
            "cp -a {wal}.kept/. {wal}/"
        )

    def move(self, commands: str) -> None:
        wal = f"{DATA}/pg_wal"
        self.lab.run(
            self.victims[0], f"systemctl stop patroni; set -e; {commands.format(wal=wal)}; systemctl start patroni",
            timeout=180,
        )  # fmt: skip

    def inject(self) -> None:
        wal = f"{DATA}/pg_wal"
        self.lab.run(self.victims[0], f"dd if=/dev/zero of={wal}/filler bs=1M 2>/dev/null; test -s {wal}/filler")
        # What it has in reserve is used up, segment by segment.
        leader, end = self.service.leader(), time.monotonic() + 120
        while time.monotonic() < end and self.service.cluster()[self.victims[0]]["state"] == "streaming":
            self.service.sql(leader, "SELECT pg_switch_wal()")
            time.sleep(0.3)

    def heal(self) -> None:
        self.lab.run(self.victims[0], f"rm -f {DATA}/pg_wal/filler")

    def clean(self) -> None:
        self.heal()
        self.move(
            "mountpoint -q {wal} || exit 0; find {wal}.kept -mindepth 1 -delete; cp -a {wal}/. {wal}.kept/; "
            "umount {wal}; rmdir {wal}; mv {wal}.kept {wal}"
        )


class Clock(_PostgreSQLFault):
    """Hosts of the lab share the machine's clock, so libfaketime moves that of Patroni and PostgreSQL of one host."""

    what = "the clock of the leader's Patroni and PostgreSQL jumps by 60 s, and back"
    limits = Limits(gap=10.0)
    hold = 30.0
    afterwards = 30.0  # Patroni counts by the wall clock when it last renewed its lease
    place = "/run/holdfast-chaos-clock"
    drop_in = "/run/systemd/system/patroni.service.d/90-chaos.conf"

    def aim(self) -> None:
        leader = self.service.leader()
        self.victims = [leader]
        self.victims = [self.others()[0]]
        host = self.victims[0]
        found = "find /usr/lib -name libfaketimeMT.so.1"
        self.lab.run(
            host, f'[ -n "$({found})" ] || apt-get -qy install libfaketime >/dev/null', check=False, timeout=300
        )
        library = self.lab.run(host, found).strip()
        if not library:
            raise Skipped("Debian's package libfaketime can't be installed")
        lines = (
            "[Service]", f"Environment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={self.place}",
            "Environment=FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1", "",
        )  # fmt: skip
        self.shift("+0")
        self.lab.run(host, f"mkdir -p $(dirname {self.drop_in}); cat > {self.drop_in}", "\n".join(lines))
        self.restart()
        await_sync(self.service, 120)
        if self.service.leader() != host:
            command = f"patronictl -c /etc/patroni/config.yml switchover --leader {leader} --candidate {host} --force"
            self.lab.run(host, command, timeout=180)

    def shift(self, seconds: str) -> None:
        self.lab.run(self.victims[0], f"echo '{seconds}' > {self.place}; chmod 644 {self.place}")

    def restart(self) -> None:
        self.lab.run(self.victims[0], "systemctl daemon-reload; systemctl restart patroni", timeout=180)

    def inject(self) -> None:
        self.shift("+60")
        if (
            abs(float(self.service.sql(self.victims[0], "SELECT extract(epoch FROM clock_timestamp())")) - time.time())
            < 50
        ):
            raise LabError("the clock of PostgreSQL did not move")

    def heal(self) -> None:
        self.shift("+0")

    def clean(self) -> None:
        self.lab.run(self.victims[0], f"rm -f {self.drop_in}")
        self.restart()


class ControllerKilledSwitchover(faults.ControllerKilled, _PostgreSQLFault):
    """A parameter that needs a restart: the run restarts the replicas, hands over, and restarts the former leader."""

    what = "the controller dies while its run hands the leader's part over"
    playbook = "playbooks/site.yml"

    def aim(self) -> None:
        super().aim()
        if not (ROOT / "plugins/module_utils/_guard.py").is_file():
            raise Skipped("no run hands over: there is no guard")
        workers = int(self.service.sql(self.victims[0], "SHOW max_worker_processes")) + 1
        parameters = json.dumps({"postgresql_parameters": {"max_worker_processes": workers}})
        self.options = ["--tags", "postgresql", "--extra-vars", parameters]

    def clean(self) -> None:
        """The parameter as it is declared."""
        if self.done:
            self.options = ["--tags", "postgresql"]
            self.again()

    def ripe(self) -> bool:
        members = self.service.cluster()
        return members.get(self.victims[0], {}).get("role") != "leader" or "leader" not in {
            member["role"] for member in members.values()
        }


class ControllerKilledRestore(faults.ControllerKilled, _PostgreSQLFault):
    """To a time while the load was on: what was written later is given up, what came before must be there."""

    what = "the controller dies in the middle of a restore"
    playbook = "playbooks/restore.yml"
    limits = Limits(gap=None, in_sync=None)

    def aim(self) -> None:
        super().aim()
        self.want_backup()

    def inject(self) -> None:
        moment = time.time()
        target = datetime.fromtimestamp(moment, UTC).isoformat(sep=" ")
        self.options = ["--tags", "postgresql", "--extra-vars", json.dumps({"postgresql_restore_time": target})]
        self.given_up = (moment - 1.0, math.inf)
        super().inject()

    def ripe(self) -> bool:
        try:
            members = self.service.cluster()
        except LabError:
            return True
        return any(member["state"] not in ("running", "streaming") for member in members.values())

    def heal(self) -> None:
        super().heal()
        if self.given_up and self.given_up[1] == math.inf:
            self.given_up = (self.given_up[0], time.time())


# A package of a newer version, in a package source of the host's own.
NEWER = """set -e
rm -rf {place}; mkdir -p {place}; cd {place}
version=$(dpkg-query -W -f '${{Version}}' patroni)
apt-get -qq download "patroni=$version"
mv patroni_*.deb old.deb
dpkg-deb -R old.deb tree
sed -i "s/^Version: .*/&+chaos/" tree/DEBIAN/control
dpkg-deb -b tree new.deb >/dev/null
size=$(stat -c %s new.deb) sum=$(sha256sum < new.deb | cut -d' ' -f1)
(cat tree/DEBIAN/control; echo "Filename: ./new.deb"; echo "Size: $size"; echo "SHA256: $sum") > Packages
rm -r tree
echo 'deb [trusted=yes] file:{place} ./' > {source}
"""
# dpkg tells by the file's time when it unpacked a package; the old one is what runs, in all that counts.
OLDER = """test -e {source} || exit 0
rm {source}
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
dpkg -i --force-downgrade --force-confold {place}/old.deb >/dev/null 2>&1; status=$?
rm -f /usr/sbin/policy-rc.d
touch -d @0 /var/lib/dpkg/info/patroni.list
rm -rf {place}
apt-get -qq update
exit $status
"""


class ControllerKilledUpgrade(faults.ControllerKilled, _PostgreSQLFault):
    """Patroni gets a newer version: the same program, repacked. The seed decides whether the controller dies while a
    replica is upgraded, or later, when the leader hands over."""

    what = "the controller dies in the middle of an upgrade"
    playbook = "playbooks/upgrade.yml"
    place = "/var/tmp/holdfast-chaos-packages"
    source = "/etc/apt/sources.list.d/holdfast-chaos.list"

    def aim(self) -> None:
        super().aim()
        self.want_backup()
        self.options = ["--tags", "postgresql"]
        self.late = self.random.random() < 0.5
        for host in self.service.members:
            try:
                self.lab.run(host, NEWER.format(place=self.place, source=self.source), timeout=180)
            except LabError as error:
                raise Skipped(f"Debian's package patroni can't be had: {error}") from error

    def ripe(self) -> bool:
        members = self.service.cluster()
        if self.late:
            return members.get(self.victims[0], {}).get("role") != "leader"
        return any(member["state"] not in ("running", "streaming") for member in members.values())

    def clean(self) -> None:
        for host in self.service.members:
            self.lab.run(host, OLDER.format(place=self.place, source=self.source), timeout=180)


SERVICE = PostgreSQL
PostgreSQL.faults = {
    "zone-kill": faults.ZoneKill,
    "zone-cut": faults.ZoneCut,
    "zone-cut-in": faults.ZoneCutIn,
    "zone-cut-out": faults.ZoneCutOut,
    "kill-postmaster": KillPostmaster,
    "kill-patroni": KillPatroni,
    "switchover": Switchover,
    "etcd-leader": EtcdLeader,
    "etcd-cut": EtcdCut,
    "replica-then-leader": ReplicaThenLeader,
    "lone-leader": LoneLeader,
    "replica-disk": ReplicaDisk,
    "clock": Clock,
    "controller-switchover": ControllerKilledSwitchover,
    "controller-restore": ControllerKilledRestore,
    "controller-upgrade": ControllerKilledUpgrade,
}
