#!/bin/bash
# test_grep_example.sh PROGRAM -- the parallel grep prints what grep -nH prints, in that order, also of one large file, and leaves nothing.
set -u -o pipefail
grep=$(realpath "$1")
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
export PTQ_DIR=$work/bus LC_ALL=C.UTF-8
fail() { echo "$*" >&2; exit 1; }

# same PATTERN...: the same output and exit code as grep.
same() {
    timeout 50 "$grep" "$@" >"$work/got" 2>"$work/said"
    local code=$?
    command grep -nH "$@" >"$work/wanted" 2>/dev/null
    local wanted=$?
    [ $code = $wanted ] || fail "$*: exit $code, not $wanted: $(cat "$work/said")"
    cmp "$work/wanted" "$work/got" || fail "$*: other lines"
}

mkdir "$work/files"
for n in $(seq 60); do
    seq "$n" "$((n * 40))" >"$work/files/$n"
done
printf 'no end 7' >"$work/files/last"
: >"$work/files/empty"
seq 400000 >"$work/large" # ten pieces
head -c 700000 /dev/zero | tr '\0' 7 >"$work/line"
yes '' | head -n 300000 >"$work/blank"
same '7$' "$work"/files/*
same -i 'NO END' "$work"/files/*
same '^[0-9]*99$' "$work/large" "$work/files/60" "$work/large" "$work/line"
same '^$' "$work/blank" "$work/large"
same '777' "$work/line"
same 'nothing has this' "$work"/files/*
same '7' "$work/files/1" "$work/files/nowhere" "$work/files/9"
command grep -q 'nowhere: No such file' "$work/said" || fail "it does not say what is missing"

# A worker is killed in the middle, while its results wait for their reader: nobody notices.
mkfifo "$work/out"
"$grep" '9$' "$work/large" "$work/large" "$work/large" >"$work/out" &
pid=$!
exec 8<"$work/out"
read -r first <&8
read -r worker _ <"/proc/$pid/task/$pid/children" # it has no newline
[ -n "$worker" ] || fail "there are no workers"
kill -KILL "$worker"
{ echo "$first"; cat <&8; } >"$work/got"
exec 8<&-
wait "$pid" || fail "it ended with $?"
for _ in 1 2 3; do command grep -nH '9$' "$work/large"; done | cmp - "$work/got" || fail "other lines after a kill"
[ -z "$(ls "$work/bus/default")" ] || fail "it left $(ls "$work/bus/default")"
