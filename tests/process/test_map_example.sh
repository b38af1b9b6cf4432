#!/bin/sh
# test_map_example.sh PROGRAM -- the example of maps prints what its head says, and leaves nothing.
set -u
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
expected=$(sed -n '/\.\/map$/,/\*\//{s/^ \*     //p}' "$(dirname "$0")/../../docs/examples/map.c" | sed 1d)
[ "$(echo "$expected" | wc -l)" -eq 3 ] || { echo "the example's head says '$expected'"; exit 1; }
output=$(PTQ_DIR=$work/bus timeout 50 "$1") || { echo "the example exited with $?: $output"; exit 1; }
[ "$output" = "$expected" ] || { echo "it printed '$output', not '$expected'"; exit 1; }
[ -z "$(ls "$work/bus/words")" ] || { echo "it left $(ls "$work/bus/words")"; exit 1; }
