#!/bin/sh
# test_lines_example.sh PROGRAM PEER -- the examples of event loops pass every line on, in order, there and back, and end.
set -u
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
export PTQ_DIR="$work/bus"
fail() { echo "$*"; exit 1; }

# What its head shows.
output=$(seq 3 | timeout 30 "$1" there there) || fail "its head's call ended with $?"
[ "$output" = "$(printf '1\n2\n3')" ] || fail "its head's call printed: $output"

# Many more lines than the queue has room for, each way at once; one side's end is late, and its last line has no end.
seq 1 5000 >"$work/down"
({ seq 1 1500; sleep 0.2; printf 'the last'; } | timeout 50 "$2" up down >"$work/down.got") &
peer=$!
cat "$work/down" | timeout 50 "$1" down up >"$work/up.got" || fail "it ended with $?"
wait $peer || fail "its peer ended with $?"
cmp "$work/down" "$work/down.got" || fail "lines differ on the way down"
{ seq 1 1500; echo 'the last'; } | cmp - "$work/up.got" || fail "lines differ on the way up"

# A line that no message can hold is refused, not cut.
head -c 5000 /dev/zero | tr '\0' 'x' | timeout 30 "$1" long long >"$work/long" 2>&1 && fail "a line of 5,000 bytes passed"
grep -q 'longer than' "$work/long" || fail "it said nothing of the long line: $(cat "$work/long")"

# Bare of arguments it says how it is called.
"$1" >"$work/usage" 2>&1 </dev/null && fail "no arguments are no error"
grep -q '^usage: ' "$work/usage" || fail "no usage"
