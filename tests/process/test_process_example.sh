#!/bin/sh
# test_process_example.sh PROGRAM -- the example of supervised processes prints what its head says, and leaves nothing.
set -u
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
expected=$(sed -n 's/^ \* *\([0-9]* pages, .*\)/\1/p' "$(dirname "$0")/../../docs/examples/process.c")
[ -n "$expected" ] || { echo "the example's head says nothing"; exit 1; }
output=$(PTQ_DIR=$work/bus "$1") || { echo "the example exited with $?: $output"; exit 1; }
[ "$output" = "$expected" ] || { echo "it printed '$output', not '$expected'"; exit 1; }
[ -z "$(ls "$work/bus/crawl")" ] || { echo "it left $(ls "$work/bus/crawl")"; exit 1; }
