#!/bin/sh
# test_typed_example.sh PROGRAM -- the example of typed messages prints what its head says, and leaves nothing.
set -u
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
expected=$(sed -n 's/^ \* *\([0-9]* readings of .*\)/\1/p' "$(dirname "$0")/../../docs/examples/typed/readings.c")
[ -n "$expected" ] || { echo "the example's head says nothing"; exit 1; }
output=$(PTQ_DIR=$work/bus "$1") || { echo "the example exited with $?: $output"; exit 1; }
[ "$output" = "$expected" ] || { echo "it printed '$output', not '$expected'"; exit 1; }
[ -z "$(ls "$work/bus/readings")" ] || { echo "it left $(ls "$work/bus/readings")"; exit 1; }
