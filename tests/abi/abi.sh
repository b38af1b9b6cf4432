#!/bin/sh
# abi.sh SOURCE LIBRARY -- the library's ABI is the stored one, but for what is new; and what says so finds each kind of breach.
. "$(dirname "$0")/lib.sh"
abi=$1/tools/dev/abi
library=$2
"$abi" "$library"
status=$?
[ $status -ne 77 ] || exit 77
[ $status -eq 0 ] || fail "the ABI is not the stored one"

gzip -dc "$1/tests/abi/ptq.abi.gz" >"$work/stored" || fail "gzip"
# breach NAME SED-SCRIPT: found, and named.
breach() {
    sed "$2" "$work/stored" >"$work/changed"
    cmp -s "$work/stored" "$work/changed" && fail "nothing to change for $1: is this test blind?"
    "$abi" --compare "$work/stored" "$work/changed" >"$work/out" 2>&1 && fail "accepted: $1"
    grep -q "$1" "$work/out" || { cat "$work/out"; fail "not named: $1"; }
}
breach ptq_ack_many "/elf-symbol name='ptq_ack_many'/d"
breach PTQ_FULL "s/\(enumerator name='PTQ_FULL' value='\)/\\19/"
breach ptq_queue_options "s/\(class-decl name='ptq_queue_options' size-in-bits='[0-9]*\)'/\\164'/"
say "3 breaches were found"
