#!/bin/bash
# test_config.sh PTQ PTQTOP MAN PTQBRIDGE -- what ptqbridge is told: files, environment, command line; what is wrong with them.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
pages=$3 PTQBRIDGE=$4 sources=$(cd "$(dirname "$0")/../.." && pwd)

# file LINE...: $work/conf
file() {
    printf '%s\n' "$@" >"$work/conf"
}

check() {
    expect "$1" timeout 20 "$PTQBRIDGE" --config "$work/conf" --check "${@:2}"
}

# dumped LINE: --dump-config shows it.
dumped() {
    grep -qxF -- "$1" "$work/out" || fail "the dump lacks: $1"
}

dump() {
    expect 0 timeout 20 "$PTQBRIDGE" --config "$work/conf" --dump-config "$@"
}

case_the_example_is_right() {
    cp "$sources/bridges/ptqbridge/ptq-bridge.conf.example" "$work/conf"
    check 0
    nothing_said
    [ ! -e "$work/bus" ] || fail "--check made a bus"
}

case_the_manual_page_has_every_key() {
    [ -e "$pages/man5" ] || { echo "  skipped: no pages were built"; return 0; }
    page=$pages/man5/ptq-bridge.conf.5
    [ -s "$page" ] || fail "no page"
    for key in dir run node grace drain log-level log-format url queue; do
        grep -q "^.fB.* .fB${key/-/.-}.fR = " "$page" || fail "the page lacks $key"
    done
}

case_flags_go_before_the_environment_and_that_before_the_files() {
    mkdir "$work/conf.d"
    file '[bridge]' 'grace = 1s' 'drain = 1s' 'run = file' 'node = file' '[listen a]' 'url = tcp://127.0.0.1:1'
    printf '[bridge]\ndrain = 2s\nnode = folder\n' >"$work/conf.d/10.conf"
    printf '[bridge]\nnode = later\n' >"$work/conf.d/20.conf"
    printf 'nonsense\n' >"$work/conf.d/30.conf~"
    unset PTQ_RUN PTQ_DIR
    export PTQ_BRIDGE_GRACE=3s PTQ_RUN=env PTQ_BRIDGE_DRAIN=
    dump --run flag
    dumped "run = flag ; --run"
    dumped "grace = 3s ; PTQ_BRIDGE_GRACE"
    dumped "drain = 2s ; $work/conf.d/10.conf:2"
    dumped "node = later ; $work/conf.d/20.conf:2"
    dumped "; log-level = info ; default"
    dumped "url = tcp://127.0.0.1:1 ; $work/conf:7"
}

case_a_list_is_taken_whole_from_one_place() {
    file '[listen a]' 'url = tcp://127.0.0.1:1' '[listen b]' 'url = tcp://127.0.0.1:2' '[deny]' 'queue = x' 'queue = y'
    dump
    dumped "url = tcp://127.0.0.1:1 ; $work/conf:2"
    dumped "url = tcp://127.0.0.1:2 ; $work/conf:4"
    PTQ_BRIDGE_DENY='p, q' dump --listen tcp://127.0.0.1:3
    dumped "url = tcp://127.0.0.1:3 ; --listen"
    ! grep -q "127.0.0.1:[12]" "$work/out" || fail "a list has two origins"
    dumped "queue = p ; PTQ_BRIDGE_DENY"
    dumped "queue = q ; PTQ_BRIDGE_DENY"
    ! grep -q "queue = [xy]" "$work/out" || fail "a list has two origins"
}

case_a_dump_is_a_file_of_the_same_meaning() {
    long=a-name-that-is-longer-than-fifty-bytes-as-globs-of-queues-may-well-be
    file '[bridge]' 'grace = 1500' 'all-runs = on' '[listen a]' 'url = tcp://127.0.0.1:1' '[link east]' 'url = tcp://127.0.0.1:2' \
        "[export $long-[ab]*]" '[import x]' '[deny]' 'queue = y' '[rename]' "$long = b" '[move]' "$long-* = east" 'k = ws://127.0.0.1:9/p'
    dump --node here
    cp "$work/out" "$work/first"
    sed 's/ ; [^;]*$//' "$work/first" >"$work/first.values"
    cp "$work/first" "$work/conf"
    dump
    sed 's/ ; [^;]*$//' "$work/out" | cmp - "$work/first.values" || fail "the dump of the dump is another"
    dumped "[export $long-[ab]*] ; $work/conf:$(grep -n "^.export" "$work/conf" | cut -d: -f1)"
    grep -q "^$long-\*=east" "$work/out" || fail "a key was cut"
}

case_a_dump_has_each_section_once() {
    file '[listen a]' 'url = tcp://127.0.0.1:1' '[bridge]' 'status-file = /x'
    dump
    for section in bridge limits; do
        [ "$(grep -cx "\[$section\]" "$work/out")" = 1 ] || fail "[$section] is there $(grep -cx "\[$section\]" "$work/out") times"
    done
}

# To a file " ;" is a comment: what is dumped is never read back as something else.
case_what_a_file_cannot_say_is_dumped_as_a_comment() {
    file '[listen a]' 'url = tcp://127.0.0.1:1'
    for path in '/a ;b' ';b' '/a ' $'/a\tb' $'/a\n[deny]' $'/a\t;b'; do
        dump --status-file "$path"
        grep -qx '; status-file = .* ; --status-file, a file cannot say this' "$work/out" || fail "it is not marked: '$path'"
        cp "$work/out" "$work/dumped"
        expect 0 timeout 20 "$PTQBRIDGE" --config "$work/dumped" --dump-config
        dumped '; status-file = the log ; default'
    done
    dump --status-file '/a;b'
    dumped 'status-file = /a;b ; --status-file'
}

case_every_mistake_is_told_with_its_line_and_what_to_do() {
    file '[brigde]' 'x = 1' '[bridge]' 'grac = 1' 'grace = soon' 'foo' 'run =' '[listen]' 'url = x' '[listen b]' '[deny me]' 'queue = x' \
        '[bridge]' 'drain = 1s' 'drain = 2s' 'insecure = maybe' '[unclosed'
    check 2
    err_is "ptqbridge: $work/conf:1: there is no section [brigde] - did you mean [bridge]?" \
        "ptqbridge: $work/conf:4: unknown key 'grac' in [bridge] - did you mean 'grace'?" \
        "ptqbridge: $work/conf:6: 'foo' is neither [section] nor key = value" \
        "ptqbridge: $work/conf:7: 'run' has no value - give it one, or take out the line" \
        "ptqbridge: $work/conf:8: [listen] needs a name - write [listen NAME]" \
        "ptqbridge: $work/conf:10: [listen b] says nothing - give it url = ..., or take it out" \
        "ptqbridge: $work/conf:11: [deny] has no name - take out 'me'" \
        "ptqbridge: $work/conf:15: 'drain' was said in line 14 already - keep one of them" \
        "ptqbridge: $work/conf:17: ']' is missing behind a section" \
        "ptqbridge: $work/conf:5: grace cannot be 'soon': it is milliseconds above 0, or 5s, or 2m" \
        "ptqbridge: $work/conf:16: insecure cannot be 'maybe': it is yes or no"
    [ ! -e "$work/bus" ] || fail "--check made a bus"
}

case_what_the_library_refuses_is_told_with_its_line() {
    file '[listen a]' 'url = foo://x' '[deny]' 'queue = a/b' '[rename]' 'a* = b' '[export x y]'
    check 2
    err_has "$work/conf:2: cannot listen on 'foo://x'"
    err_has "$work/conf:4: deny 'a/b' is no glob"
    err_has "$work/conf:6: rename 'a*=b'"
    err_has "$work/conf:7: export 'x y' is no glob"
    file '[listen a]' 'url = tcp://127.0.0.1:1' '[move]' 'a = nobody'
    check 2
    err_has "$work/conf:4: move to 'nobody': no peer is called that"
    file '[listen a]' 'url = tcp://192.0.2.1:1'
    check 6
    err_has "$work/conf:2: cannot listen on 'tcp://192.0.2.1:1': it is beyond the loopback"
    check 0 --insecure
    file '[bridge]' 'http = 0.0.0.0:9417' '[listen a]' 'url = tcp://127.0.0.1:1'
    check 6
    err_has "$work/conf:2: '0.0.0.0:9417' is beyond the loopback"
    err_has "say --insecure (PTQ_INSECURE=1)"
    expect 6 timeout 20 "$PTQBRIDGE" --listen "ipc://$work/a.sock" --http 0.0.0.0:0
    check 0 --insecure
}

case_the_manual_says_what_waits_for_a_restart() {
    "$PTQBRIDGE" --print keys | awk '/^[*]/ { item = $2; gsub(/[*]/, "", item) } /waits for a restart/ { print item }' >"$work/out"
    out_is dir run node keys insecure http
}

case_a_wrong_environment_or_flag_is_named() {
    file '[listen a]' 'url = tcp://127.0.0.1:1'
    PTQ_BRIDGE_GRACE=soon check 2
    err_has "PTQ_BRIDGE_GRACE: grace cannot be 'soon'"
    check 2 --log-level loud
    err_has "--log-level: log-level cannot be 'loud': it is one of error|warning|info|debug"
    check 2 --drain 0
    err_has "--drain: drain cannot be '0'"
}

case_files_that_are_none_are_told() {
    expect 2 timeout 20 "$PTQBRIDGE" --config "$work/none" --check
    err_is "ptqbridge: $work/none: cannot read it: No such file or directory"
    expect 2 timeout 20 "$PTQBRIDGE" --config "$work" --check
    err_is "ptqbridge: $work: it is a directory, not a file"
    expect 2 timeout 20 "$PTQBRIDGE" --config /dev/zero --check
    err_has "not a file"
    expect 2 timeout 20 "$PTQBRIDGE" --config "$work/never" --check
    err_has "not a file"
    file '[listen a]' 'url = tcp://127.0.0.1:1'
    mkdir -p "$work/conf.d/deep.conf/deeper"
    check 2
    err_is "ptqbridge: $work/conf.d/deep.conf: it is a directory, not a file"
    rm -r "$work/conf.d"
    ln -s nowhere "$work/conf.d"
    check 0
    if [ "$(id -u)" != 0 ]; then
        chmod 000 "$work/conf"
        check 2
        err_has "cannot read it: Permission denied"
    fi
}

case_carriage_returns_and_a_mark_of_utf8_are_fine() {
    printf '\xef\xbb\xbf[bridge]\r\n\tgrace = 2s\r\n\r\n  [listen a]\r\n  url = tcp://127.0.0.1:1 \r\n' >"$work/conf"
    dump
    dumped "grace = 2s ; $work/conf:2"
    dumped "url = tcp://127.0.0.1:1 ; $work/conf:5"
    printf '[bridge]\ngrace = 2s' >"$work/conf"
    dump
    dumped "grace = 2s ; $work/conf:2"
}

case_limits_hold() {
    { printf '[bridge]\ngrace = '; head -c 1000000 /dev/zero | tr '\0' 1; } >"$work/conf"
    check 2
    err_is "ptqbridge: $work/conf:2: the line is longer than 4096 bytes"
    head -c 1048577 /dev/zero | tr '\0' '\n' >"$work/conf"
    check 2
    err_has "a configuration has 1048576 at most"
    { echo '[listen a]'; printf 'url = tcp://127.0.0.1:1'; head -c 4073 /dev/zero | tr '\0' ' '; } >"$work/conf"
    check 0
    printf ' ' >>"$work/conf"
    check 2
    file "[$(head -c 256 /dev/zero | tr '\0' x)]"
    check 2
    err_has ":1: the name of a section is longer than 255 bytes"
    yes nonsense | head -100 >"$work/conf"
    check 2
    [ "$(wc -l <"$work/err")" = 21 ] || fail "so many errors at once"
    mkdir "$work/conf.d"
    file '[listen a]' 'url = tcp://127.0.0.1:1'
    (cd "$work/conf.d" && touch {1..256}.conf)
    check 0
    touch "$work/conf.d/x.conf"
    check 2
    err_has "$work/conf.d: it has 257 files; 256 at most"
}

# Whatever the bytes: an answer, 0 or 2, and no line of an error that has control characters.
case_garbage_is_refused() {
    RANDOM=${PTQ_TEST_SEED:-7}
    for ((i = 0; i < ${PTQ_TEST_ROUNDS:-60}; i++)); do
        case $((i % 4)) in
        0) head -c $((RANDOM % 3000)) /dev/urandom >"$work/conf" ;;
        1) head -c 6000 /dev/urandom | tr -dc '[]=;#: \na-z\0\r"*' >"$work/conf" ;;
        2) sed "s/./$(printf '\\x%02x' $((RANDOM % 256)))/$((RANDOM % 9 + 1))" "$sources/bridges/ptqbridge/ptq-bridge.conf.example" >"$work/conf" ;;
        3) head -c $((RANDOM % 900)) "$sources/bridges/ptqbridge/ptq-bridge.conf.example" >"$work/conf" ;;
        esac 2>/dev/null
        timeout 20 "$PTQBRIDGE" --config "$work/conf" --check >"$work/out" 2>"$work/err" </dev/null
        code=$?
        case $code in
        0) ;;
        2 | 6) [ -s "$work/err" ] || fail "refused without a word" ;;
        *) fail "exit $code, round $i of PTQ_TEST_SEED=${PTQ_TEST_SEED:-7}: $(base64 -w0 "$work/conf" | head -c 9000)" ;;
        esac
        ! LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$work/err" || fail "control characters in an error"
    done
}

case_a_bridge_runs_by_its_file() {
    file '[bridge]' "dir = $work/bus" 'run = test' 'log-format = json' '[listen a]' "url = ipc://$work/a.sock" '[export jobs-*]'
    unset PTQ_DIR PTQ_RUN
    start bridge "$PTQBRIDGE" --config "$work/conf"
    bridge=$pid
    wait_for grep -qs '"event":"listening"' "$work/bridge.err"
    far=(--dir "$work/far" --run test --peers "home=ipc://$work/a.sock")
    expect 0 "$PTQ" put "${far[@]}" --create jobs-1@home hello
    expect 0 "$PTQ" get --dir "$work/bus" --run test jobs-1
    out_is hello
    expect 3 "$PTQ" put "${far[@]}" other@home hello
    kill -TERM "$bridge"
    finish "$bridge" 0
    jq -es 'all(.[]; .v == 1 and has("time") and has("level") and has("component")) and any(.[]; .component == "session" and .event == "up" and
        (.session | type) == "number")' "$work/bridge.err" >/dev/null || fail "the log is not JSON as it should be"
}

case_the_journal_gets_priorities() {
    start bridge "$PTQBRIDGE" --listen "ipc://$work/a.sock" --log-format journal
    bridge=$pid
    wait_for grep -qs '^<6>component=bridge event=listening' "$work/bridge.err"
    kill -TERM "$bridge"
    finish "$bridge" 0
    ! grep -qv '^<[34567]>component=' "$work/bridge.err" || fail "a line is without a priority"
}

run_cases
