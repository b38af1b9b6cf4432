#!/bin/bash
# test_keygen.sh -- ptqbridge keygen: a set that works, made by one command, private, and never written over.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
PTQBRIDGE=$4

modes_are() { # MODE, of all that find finds
    local mode=$1
    shift
    [ -z "$(find "$@" ! -perm "$mode")" ] || fail "not all are $mode: $(find "$@" ! -perm "$mode")"
}

case_one_command_makes_a_set_that_is_private_whatever_the_umask() {
    umask 0
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    modes_are 0600 "$work/set" -type f
    modes_are 0700 "$work/set" -type d
    for file in east/node.key east/peers/west.key west/peers/east.key east/rules east/ca.crt east/node.pem ca.key ca.crt; do
        [ -s "$work/set/$file" ] || fail "$file is missing"
        [ "${file%%/*}" = "$file" ] || out_has "made $work/set/$file"
    done
    out_has "ptqbridge --keys /etc/ptq-keys --listen tls+tcp://0.0.0.0:7400"
    out_has "PTQ_PEERS=east=tls+tcp://east:7400"
    openssl verify -CAfile "$work/set/ca.crt" "$work/set/east/node.pem" >"$work/out" 2>&1 || fail "openssl does not believe the certificate"
    ! find "$work/set" -name '.new*' | grep -q . || fail "something unfinished is left"
    secret=$(cut -d' ' -f3 "$work/set/east/node.key")
    [ ${#secret} = 64 ] || fail "the secret has ${#secret} digits"
    ! grep -rq "$secret" "$work/set/west" || fail "west knows the secret of east"
    ! cmp -s "$work/set/east/node.key" "$work/set/west/node.key" || fail "two hosts have one secret"
}

case_what_is_there_is_never_written_over() {
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    (cd "$work/set" && find . -type f -exec sha256sum {} + | sort >"$work/before")
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    ! grep -q '^made' "$work/out" || fail "something was made again"
    expect 0 "$PTQBRIDGE" keygen "$work/set" north
    (cd "$work/set" && sha256sum -c --quiet "$work/before") || fail "something was changed"
    [ -s "$work/set/east/peers/north.key" ] && [ -s "$work/set/north/peers/east.key" ] || fail "the new one is not known"
    rm "$work/set/east/node.pem"
    expect 0 "$PTQBRIDGE" keygen "$work/set" east
    out_has "made $work/set/east/node.pem"
}

case_without_openssl_there_are_keys_alone() {
    expect 0 env PATH=/nowhere "$PTQBRIDGE" keygen "$work/set" east west
    out_has "no openssl(1)"
    out_has "--listen tcp://0.0.0.0:7400"
    [ ! -e "$work/set/ca.key" ] && [ ! -e "$work/set/east/node.pem" ] || fail "there are certificates"
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    out_has "made $work/set/west/node.pem"
}

case_what_cannot_be_is_told() {
    expect 2 "$PTQBRIDGE" keygen
    expect 2 "$PTQBRIDGE" keygen "$work/set"
    expect 2 "$PTQBRIDGE" keygen "$work/set" a/b
    err_has "no name of a host"
    expect 2 "$PTQBRIDGE" keygen "$work/set" a a
    err_has "named twice"
    expect 0 "$PTQBRIDGE" keygen --help
    mkdir -m 755 "$work/open"
    expect 1 "$PTQBRIDGE" keygen "$work/open" a
    err_has "chmod 700"
    expect 1 "$PTQBRIDGE" keygen "$work/no/such/place" a
    err_has "cannot make this folder"
    expect 0 env PATH=/nowhere "$PTQBRIDGE" keygen "$work/set" a b
    echo garbage >"$work/set/a/node.key"
    expect 1 env PATH=/nowhere "$PTQBRIDGE" keygen "$work/set" a
    err_has "this is no key of 'a'"
    rm "$work/set/a/node.key"
    expect 1 env PATH=/nowhere "$PTQBRIDGE" keygen "$work/set" a
    err_has "it is not made of the key of 'a' that is here"
}

case_the_two_lines_that_are_printed_work() {
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    unset PTQ_DIR PTQ_RUN
    start bridge "$PTQBRIDGE" --dir "$work/bus" --keys "$work/set/east" --listen tls+tcp://127.0.0.1:0
    bridge=$pid
    wait_for has_line "$work/bridge.err" "listening on"
    url=$(sed -n 's/^ptqbridge: listening on //p' "$work/bridge.err")
    export PTQ_DIR="$work/far" PTQ_KEYS="$work/set/west" PTQ_PEERS="east=$url"
    expect 0 "$PTQ" put --create tasks@east hello
    expect 0 "$PTQ" get tasks@east
    out_is hello
    expect 2 env PTQ_KEYS="$work/set" "$PTQ" get tasks@east
    expect 2 env PTQ_KEYS="$work/nowhere" "$PTQ" get tasks@east
    expect 2 env PTQ_KEYS= "$PTQ" get tasks@east
    expect 0 env PTQ_KEYS= "$PTQ" put --keys "$work/set/west" tasks@east again
    kill -TERM "$bridge"
    finish "$bridge" 0
}

run_cases
