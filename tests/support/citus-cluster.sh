#!/bin/sh
# A Citus cluster for the tests: a coordinator and two workers on loopback, in a folder of their own.
#
#   eval "$(sh tests/support/citus-cluster.sh start [DIRECTORY])"      sets CITUS_URL
#   sh tests/support/citus-cluster.sh stop [DIRECTORY]                 stops it and deletes the folder
#
# Needs PostgreSQL with Citus installed; PG_BIN names its programs when pg_config finds others. Root works: PostgreSQL then
# runs as the user postgres. Everybody on this machine may connect to it, so it holds nothing but tests.
set -eu

command=${1:-}
directory=${2:-${TMPDIR:-/tmp}/flashsale-citus}
bin=${PG_BIN:-$(pg_config --bindir)}
nodes='coordinator worker1 worker2'

as_owner() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

free_port() {
  node -e "const s = require('node:net').createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close(); })"
}

stop() {
  for node in $nodes; do
    if [ -f "$directory/$node/postmaster.pid" ]; then as_owner "$bin/pg_ctl" -D "$directory/$node" -m fast stop >&2; fi
  done
  rm -rf "$directory"
}

# fsync stays on, as the server demands. Every test file's database has a background process of Citus on each node, and
# commits in two phases.
start_node() {
  port=$(free_port)
  as_owner "$bin/initdb" -D "$directory/$1" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  as_owner tee -a "$directory/$1/postgresql.conf" >/dev/null <<SETTINGS
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_preload_libraries = 'citus'
shared_buffers = 64MB
max_connections = 200
max_prepared_transactions = 400
max_worker_processes = 64
citus.max_shared_pool_size = 150
SETTINGS
  as_owner "$bin/pg_ctl" -D "$directory/$1" -l "$directory/$1.log" -w start >&2
}

on_coordinator() {
  as_owner "$bin/psql" -h 127.0.0.1 -p "$coordinator" -U postgres -d postgres -qAtX -v ON_ERROR_STOP=1 -c "$1" >&2
}

case $command in
  start)
    if [ -e "$directory" ]; then echo "error: $directory exists; stop the cluster first" >&2; exit 1; fi
    mkdir -p "$directory"
    if [ "$(id -u)" = 0 ]; then chown postgres "$directory"; fi
    trap 'stop' EXIT
    start_node coordinator
    coordinator=$port
    on_coordinator "CREATE EXTENSION citus; SELECT citus_set_coordinator_host('127.0.0.1', $coordinator)"
    for node in worker1 worker2; do
      start_node $node
      as_owner "$bin/psql" -h 127.0.0.1 -p "$port" -U postgres -d postgres -qAtX -c 'CREATE EXTENSION citus' >&2
      on_coordinator "SELECT citus_add_node('127.0.0.1', $port)"
    done
    trap - EXIT
    echo "export CITUS_URL=postgres://postgres@127.0.0.1:$coordinator/postgres"
    ;;
  stop) stop ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
