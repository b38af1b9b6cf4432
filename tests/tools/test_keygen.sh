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
    out_has "ptqbridge --keys /etc/ptq/keys --listen tls+tcp://0.0.0.0:7400"
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

# The lines that keygen prints, as another user at another place: ssh is a shell here.
copy_as_printed() {
    mkdir -p "$work/bin"
    printf '#!/bin/sh\nexec sh -c "$2"\n' >"$work/bin/ssh"
    chmod +x "$work/bin/ssh"
    sed -n 's/^    \(tar .*\)/\1/p' "$work/out" >"$work/lines"
    [ -s "$work/lines" ] || fail "it does not say how to copy"
    while read -r line; do
        node=${line#*root@} node=${node%% *}
        line=${line//\/etc\/ptq\/keys/$work/hosts/$node} line=${line//chown -R ptq:/chown -R $(id -u):$(id -g)}
        PATH=$work/bin:$PATH sh -c "$line" 2>"$work/err" || fail "it did not work: $line"
    done <"$work/lines"
}

case_what_is_copied_as_it_says_works_and_may_be_copied_again() {
    umask 022
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    copy_as_printed
    modes_are 0600 "$work/hosts/east" -type f
    modes_are 0700 "$work/hosts/east" -type d
    expect 0 "$PTQBRIDGE" --node east --keys "$work/hosts/east" --listen tcp://127.0.0.1:0 --check
    echo 'west jobs-* put' >"$work/hosts/east/rules"
    touch -d '1 minute' "$work/hosts/east/rules"
    rm "$work/set/east/node.pem"
    old=$(cksum <"$work/hosts/east/node.pem")
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west north
    touch -d '1 minute' "$work/set/east/node.pem" # as if the last had not been made a moment ago
    copy_as_printed
    [ "$(cat "$work/hosts/east/rules")" = 'west jobs-* put' ] || fail "the rules were written over"
    [ "$(cksum <"$work/hosts/east/node.pem")" != "$old" ] || fail "the renewed certificate did not come"
    [ -s "$work/hosts/east/peers/north.key" ] && [ -s "$work/hosts/north/node.key" ] || fail "the new host is not known"
    [ ! -e "$work/hosts/east/east" ] && [ ! -e "$work/hosts/east/peers/peers" ] || fail "a folder is in a folder"
    expect 0 "$PTQBRIDGE" --node east --keys "$work/hosts/east" --listen tcp://127.0.0.1:0 --check
}

# tells NAME WORD: what $work/NAME has is known to be what it should be, for WORD is in it; and no secret is.
tells() {
    grep -qaF -- "$2" "$work/$1" || fail "$1 lacks '$2': it is not what is looked for"
    ! grep -aqFf "$work/secrets" "$work/$1" || fail "$1 has a secret: $(grep -aoFf "$work/secrets" "$work/$1" | head -1)"
}

# All digits of each key, and each line of the private key of the certificate.
list_secrets() {
    cat "$work"/set/*/node.key "$work"/set/*/peers/*.key | cut -d' ' -f3
    sed -n '/PRIVATE/,/PRIVATE/p' "$work"/set/*/node.pem | grep -v -- '-----'
    echo hunter2
}

# Links that come about and such as are refused, for want of keys, of a certificate, of a right; everything that tells anything is asked.
case_no_secret_is_told_to_anybody() {
    expect 0 "$PTQBRIDGE" keygen "$work/set" east west
    expect 0 "$PTQBRIDGE" keygen "$work/other" east west
    cp "$work/out" "$work/made"
    list_secrets >"$work/secrets"
    [ "$(wc -l <"$work/secrets")" -ge 13 ] || fail "few secrets are looked for"
    tells made node.key
    printf '[bridge]\nnode = east\nkeys = %s\nhttp = 127.0.0.1:0\nlog-level = debug\n[listen a]\nurl = tls+tcp://127.0.0.1:0\n' "$work/set/east" >"$work/conf"
    printf '[listen b]\nurl = tcp://127.0.0.1:0\n[link up]\nurl = tcp://me:hunter2@127.0.0.1:1\n' >>"$work/conf"
    start home "$PTQBRIDGE" --config "$work/conf"
    wait_for has_line "$work/home.err" "listening on tcp"
    tls=$(sed -n 's/^ptqbridge: listening on \(tls.*\)/\1/p' "$work/home.err") tcp=$(sed -n 's/^ptqbridge: listening on \(tcp.*\)/\1/p' "$work/home.err")
    pages=$(sed -n 's,^ptqbridge: pages on http://127.0.0.1:,,p' "$work/home.err")
    for url in "$tls" "$tcp"; do
        far=(--dir "$work/far" --peers "east=$url")
        expect 0 env PTQ_KEYS="$work/set/west" "$PTQ" put "${far[@]}" --create "q@east" hello
        expect 6 env PTQ_KEYS="$work/other/west" "$PTQ" put "${far[@]}" "q@east" hello
        tells err east
    done
    start follower env PTQ_KEYS="$work/set/west" "$PTQ" get --dir "$work/far" --peers "east=$tls" q@east --follow
    follower=$pid
    wait_for has_line "$work/follower.out" hello
    home=${children[0]}
    for process in home follower; do
        for file in cmdline environ; do
            cat "/proc/${!process}/$file" >"$work/$process.$file"
            tells "$process.$file" "$work"
        done
    done
    kill -USR1 "$home"
    wait_for has_line "$work/home.err" event=status
    kill -HUP "$home"
    wait_for has_line "$work/home.err" event=reloaded
    for page in status metrics healthz nowhere; do
        exec 7<>"/dev/tcp/127.0.0.1/$pages"
        printf 'GET /%s HTTP/1.0\r\n\r\n' "$page" >&7
        cat <&7 >"$work/page"
        exec 7<&-
        tells page "HTTP/1"
    done
    "$PTQ" ls -l --json >"$work/ls" && tells ls '"q"'
    "$PTQ" doctor >"$work/doctor"
    "$PTQ" peers >"$work/peers" 2>&1
    tells peers up
    tells home.err event=refused
    kill -TERM "$home"
    kill -KILL "$follower"
    finish "$home" 0
    tells home.err event=draining
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

case_a_folder_of_too_many_is_refused_whole() {
    mkdir -m 700 "$work/many"
    for i in $(seq 256); do
        mkdir -m 700 "$work/many/h$i"
        : >"$work/many/h$i/node.key"
    done
    expect 1 "$PTQBRIDGE" keygen "$work/many" one-more
    err_has "more than 256 hosts"
    [ ! -e "$work/many/one-more" ] || fail "something was made"
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
