#!/bin/bash
# test_database_sqlite.sh PROGRAM -- the database worker with SQLite: statements are answered in order, each row is there once, whoever is killed.
set -u -o pipefail
program=$(realpath "$1")
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
export PTQ_DIR=$work/bus DATABASE=$work/data/database
mkdir "$work/data"
fail() { echo "$*" >&2; exit 1; }

echo 'CREATE TABLE numbers(n PRIMARY KEY, square)' | timeout 50 "$program" || fail "no table: $?"

# 200 rows; after the first 60 answers both workers are killed, one after the other.
mkfifo "$work/in" "$work/out"
"$program" <"$work/in" >"$work/out" &
pid=$!
exec 7>"$work/in" 8<"$work/out"
for n in $(seq 200); do
    echo "INSERT OR IGNORE INTO numbers VALUES($n, $((n * n))); SELECT $n, square FROM numbers WHERE n = $n" >&7
    [ "$n" = 100 ] || continue
    for i in $(seq 60); do
        read -rt 30 answer <&8 || fail "no answer $i"
        [ "$answer" = "$i|$((i * i))" ] || fail "answer $i is $answer"
    done
    for worker in $(cat "/proc/$pid/task/$pid/children"); do
        kill -KILL "$worker"
    done
done
echo 'SELECT nonsense' >&7
exec 7>&-
for i in $(seq 61 200); do
    read -rt 30 answer <&8 || fail "no answer $i"
    [ "$answer" = "$i|$((i * i))" ] || fail "answer $i is $answer"
done
read -rt 30 answer <&8
[ "$answer" = 'error: no such column: nonsense' ] || fail "an error is $answer"
exec 8<&-
wait "$pid" || fail "it ended with $?"
answer=$(echo 'SELECT count(*), sum(square) FROM numbers' | timeout 50 "$program")
[ "$answer" = '200|2686700' ] || fail "there are $answer"

# A database that cannot be opened now is asked again.  It comes back at once: an empty one would be made in its place.
mv "$work/data" "$work/away"
echo 'SELECT max(n) FROM numbers' | "$program" >"$work/late" &
pid=$!
for i in $(seq 50); do
    [ -n "$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)" ] && break
    sleep 0.02
done
mv "$work/away" "$work/data"
wait "$pid" || fail "it ended with $?"
[ "$(cat "$work/late")" = 200 ] || fail "late there is $(cat "$work/late")"
[ -z "$(ls "$work/bus/default")" ] || fail "it left $(ls "$work/bus/default")"
