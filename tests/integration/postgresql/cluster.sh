#!/bin/sh
# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# A throw-away Patroni cluster of three on one host: loopback addresses, TLS, one etcd. `up`, `member N stop|start`, `down`.
set -eu

home=/var/lib/holdfast-test-postgresql
addresses="127.0.0.1 127.0.0.2 127.0.0.3"

install_packages() {
    # No cluster of the distribution's own beside ours.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends \
        postgresql postgresql-contrib patroni etcd-server python3-etcd python3-psycopg2 openssl || status=$?
    rm /usr/sbin/policy-rc.d
    return "${status:-0}"
}

certificates() {
    mkdir -p "$home/tls"
    cd "$home/tls"
    for authority in ca other; do
        # Python 3.13 refuses an authority without a key usage.
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $authority.key -out $authority.crt \
            -subj /CN=$authority -days 2 -addext keyUsage=critical,keyCertSign,cRLSign
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=member
    printf 'subjectAltName=IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3\nauthorityKeyIdentifier=keyid\n' >extensions
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt -extfile extensions
    chmod 0600 ./*.key
    chown -R postgres: "$home"
}

configuration() {
    cat <<END
scope: test
name: m$1
restapi:
  listen: $2:18008
  connect_address: $2:18008
  certfile: $home/tls/server.crt
  keyfile: $home/tls/server.key
  cafile: $home/tls/ca.crt
  authentication: {username: patroni, password: rest-secret}
etcd3: {host: '127.0.0.1:12379'}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 3
    retry_timeout: 5
    synchronous_mode: true
    postgresql: {use_pg_rewind: true, parameters: {max_connections: 50, shared_buffers: 32MB}}
  initdb: [{encoding: UTF8}, data-checksums, {locale: C.UTF-8}]
postgresql:
  listen: $2:15432
  connect_address: $2:15432
  data_dir: $home/m$1/data
  bin_dir: /usr/lib/postgresql/17/bin
  pgpass: $home/m$1/pgpass
  parameters:
    ssl: 'on'
    ssl_cert_file: $home/tls/server.crt
    ssl_key_file: $home/tls/server.key
    unix_socket_directories: $home/m$1
    log_statement: all
    fsync: 'off'
  authentication:
    superuser: {username: postgres, password: super-secret}
    replication: {username: replicator, password: replication-secret}
    rewind: {username: rewind, password: rewind-secret}
  pg_hba:
    - local all postgres peer
    - hostssl all all 127.0.0.0/8 scram-sha-256
    - hostssl replication replicator 127.0.0.0/8 scram-sha-256
END
}

member() { systemctl "$2" "holdfast-test-m$1.service"; }

up() {
    install_packages
    if systemctl -q is-active holdfast-test-m1.service; then return; fi
    down
    mkdir -p "$home/etcd"
    certificates
    run() {
        unit=$1
        shift
        systemd-run -q --collect --unit "holdfast-test-$unit" -p User=postgres -p "StandardOutput=file:$home/$unit.log" \
            -p "StandardError=file:$home/$unit.log" "$@"
    }
    run etcd etcd --data-dir "$home/etcd/data" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
        --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
        --initial-cluster default=http://127.0.0.1:12380
    number=0
    for address in $addresses; do
        number=$((number + 1))
        mkdir -p -m 0700 "$home/m$number"
        configuration "$number" "$address" >"$home/m$number/patroni.yml"
        chown -R postgres: "$home/m$number"
        cat >"/run/systemd/system/holdfast-test-m$number.service" <<END
[Service]
User=postgres
ExecStart=/usr/bin/patroni $home/m$number/patroni.yml
KillMode=process
TimeoutSec=30
StandardOutput=append:$home/m$number.log
StandardError=append:$home/m$number.log
END
    done
    systemctl daemon-reload
    for number in 1 2 3; do member "$number" start; done
}

down() {
    for number in 1 2 3; do member "$number" stop 2>/dev/null || true; done
    systemctl stop holdfast-test-etcd.service 2>/dev/null || true
    rm -rf "$home" /run/systemd/system/holdfast-test-m?.service
    systemctl daemon-reload
}

"$@"
