#!/bin/bash
# test_database_postgres.sh PROGRAM -- the database worker with PostgreSQL: the server is started again in the middle, a worker is killed, and each row is
# there once, each answer in its place.
#
# The server is the test's own: a cluster in a scratch folder, a Unix socket there and no other, ended by its own pid.  It refuses root: then it and
# its tools run as nobody.
set -u -o pipefail
program=$(realpath "$1")
bin=$(pg_config --bindir 2>/dev/null)
[ -x "$bin/initdb" ] || bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || { echo "skipped: no PostgreSQL server (apt-get install postgresql)"; exit 77; }
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
chmod 711 "$work"
as_user=()
mkdir -m 700 "$work/pg"
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    chown nobody:nogroup "$work/pg"
fi
export PTQ_DIR=$work/bus PGHOST=$work/pg PGDATABASE=postgres PGUSER=tester LC_ALL=C.UTF-8
unset PGPORT PGOPTIONS PGSERVICE PGPASSFILE
server=
fail() { echo "$*" >&2; tail -n 5 "$work/log" >&2; exit 1; }
# One that has only begun hears no signal yet; after ten seconds it has to.
end_server() {
    [ -n "$server" ] || return 0
    for _ in $(seq 1000); do
        kill -"$1" "$server" 2>/dev/null || break
        sleep 0.01
    done
    kill -KILL "$server" 2>/dev/null
    wait "$server"
    server=
}
trap 'end_server QUIT 2>/dev/null; rm -rf "$work"' EXIT

start_server() {
    "${as_user[@]}" "$bin/postgres" -D "$work/pg/data" -c listen_addresses= -c unix_socket_directories="$work/pg" -c fsync=off \
        -c max_connections=10 -c shared_buffers=1MB -c dynamic_shared_memory_type=mmap -c autovacuum=off >>"$work/log" 2>&1 7>&- 8<&- &
    server=$!
}

cd "$work" || exit 1 # a folder that nobody may enter, too
"${as_user[@]}" "$bin/initdb" --no-sync -A trust -U tester -D "$work/pg/data" >"$work/log" 2>&1 || fail "initdb failed"
start_server # it is not waited for: the program has to
echo 'CREATE TABLE numbers(n int PRIMARY KEY, square int)' | timeout 60 "$program" || fail "no table: $?"

mkfifo "$work/in" "$work/out"
"$program" <"$work/in" >"$work/out" &
pid=$!
exec 7>"$work/in" 8<"$work/out"
answered() {
    local i answer
    for i in $(seq "$1" "$2"); do
        read -rt 60 answer <&8 || fail "no answer $i"
        [ "$answer" = "$i|$((i * i))" ] || fail "answer $i is $answer"
    done
}
for n in $(seq 300); do
    echo "INSERT INTO numbers VALUES($n, $((n * n))) ON CONFLICT DO NOTHING; SELECT $n, square FROM numbers WHERE n = $n" >&7
    case $n in
    100)
        answered 1 60
        end_server INT # all connections are cut, whatever they are in
        read -r worker _ <"/proc/$pid/task/$pid/children"
        kill -KILL "$worker"
        ;;
    120) start_server ;;
    200)
        answered 61 150
        end_server QUIT # as if it had crashed
        start_server
        ;;
    esac
done
echo 'SELECT nonsense' >&7
exec 7>&-
answered 151 300
read -rt 60 answer <&8
[ "$answer" = 'error: column "nonsense" does not exist' ] || fail "an error is $answer"
exec 8<&-
wait "$pid" || fail "it ended with $?"
answer=$(echo 'SELECT count(*), sum(square) FROM numbers' | timeout 60 "$program")
[ "$answer" = '300|9045050' ] || fail "there are $answer"
end_server INT
[ -z "$(ls "$work/bus/default")" ] || fail "it left $(ls "$work/bus/default")"
