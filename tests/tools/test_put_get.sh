#!/bin/bash
# test_put_get.sh -- messages in and out by ptq: bytes, lines, formats, exit codes.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_a_message_comes_out_as_it_went_in() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks hello
    nothing_said
    expect 0 "$PTQ" get tasks
    out_is hello
    nothing_said
    figure tasks acked 1
    figure tasks queue_size 0
}

case_any_byte_goes_through() {
    head -c 4096 /dev/urandom >"$work/in"
    printf 'a\0b\nc\xff\n\n' >"$work/zero"
    expect 0 "$PTQ" create tasks
    expect_from 0 "$work/in" "$PTQ" put tasks
    expect 0 "$PTQ" put tasks -f "$work/zero"
    expect_from 0 "$work/zero" "$PTQ" put tasks -
    expect 0 "$PTQ" get tasks -F raw
    cmp "$work/in" "$work/out" || fail "other bytes came out"
    expect 0 "$PTQ" get tasks -F raw -n 2
    cat "$work/zero" "$work/zero" | cmp - "$work/out" || fail "other bytes came out"
}

case_an_empty_message_is_a_message() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks ''
    expect 0 "$PTQ" put tasks </dev/null
    expect 0 "$PTQ" get tasks -n 2 -F json
    [ "$(jq -c '[.size, .data]' "$work/out")" = $'[0,""]\n[0,""]' ] || fail "not two empty ones"
}

case_the_largest_message_goes_through() {
    head -c 1048576 /dev/zero | tr '\0' x >"$work/in"
    expect 0 "$PTQ" create tasks --item-size 1M --capacity 4
    expect_from 0 "$work/in" "$PTQ" put tasks
    expect 0 "$PTQ" get tasks -F raw
    cmp "$work/in" "$work/out" || fail "other bytes came out"
}

case_a_message_of_many_mebibytes_goes_through() {
    head -c 40000001 /dev/urandom >"$work/in"
    expect 0 "$PTQ" create tasks --item-size 64M --capacity 4
    expect_from 0 "$work/in" "$PTQ" put tasks
    figure tasks queue_item_size_bytes 67108864
    expect 0 "$PTQ" get tasks -F raw
    cmp "$work/in" "$work/out" || fail "other bytes came out"
    expect 0 "$PTQ" rm tasks
}

case_a_line_is_a_message() {
    printf 'one\n\nthree\r\nno newline' >"$work/in"
    expect 0 "$PTQ" create tasks
    expect_from 0 "$work/in" "$PTQ" put tasks --line
    figure tasks queue_size 4
    expect 0 "$PTQ" get tasks --all
    printf 'one\n\nthree\r\nno newline\n' | cmp - "$work/out" || fail "other lines came out"
}

case_zero_bytes_part_messages_too() {
    printf 'a\nb\0\0c' >"$work/in"
    expect 0 "$PTQ" create tasks
    expect_from 0 "$work/in" "$PTQ" put tasks --null
    figure tasks queue_size 3
    expect 0 "$PTQ" get tasks --all -F null
    printf 'a\nb\0\0c\0' | cmp - "$work/out" || fail "other pieces came out"
}

case_no_lines_are_no_messages() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks --line
    figure tasks put 0
}

case_lines_at_the_edge_of_item_size() {
    expect 0 "$PTQ" create tasks --item-size 100
    for size in 99 100; do
        head -c $size /dev/zero | tr '\0' x
        echo
    done >"$work/in"
    head -c 100 /dev/zero | tr '\0' y >>"$work/in"
    expect_from 0 "$work/in" "$PTQ" put tasks --line
    figure tasks queue_size 3
    figure tasks bytes_put 299
}

case_a_long_line_is_named_and_what_was_before_stays() {
    expect 0 "$PTQ" create tasks --item-size 100
    { seq 16; head -c 5000 /dev/zero | tr '\0' x; echo; echo after; } >"$work/in"
    for batch in 1 7; do
        expect_from 1 "$work/in" "$PTQ" put tasks --line --batch $batch
        err_is "ptq: tasks: cannot put line 17, 5000 bytes; 16 messages were put before: item_size is 100 - create the queue with --item-size 8192"
        expect 0 "$PTQ" get tasks --all
        seq 16 | cmp - "$work/out" || fail "not what was before"
    done
}

case_a_long_line_is_measured_not_kept() {
    expect 0 "$PTQ" create tasks --item-size 100
    { head -c 3000000 /dev/zero | tr '\0' x; echo; } >"$work/in"
    expect_from 1 "$work/in" "$PTQ" put tasks --line
    err_has "cannot put line 1, 3000000 bytes; 0 messages were put before: item_size is 100 - create the queue with --item-size 4194304"
}

case_a_message_that_is_too_large_says_what_to_do() {
    head -c 5000 /dev/zero >"$work/in"
    expect 0 "$PTQ" create tasks
    expect_from 1 "$work/in" "$PTQ" put tasks
    err_is "ptq: tasks: cannot put 5000 bytes: item_size is 4096 - create the queue with --item-size 8192"
    figure tasks put 0
}

case_batches_keep_the_order() {
    seq 1000 >"$work/in"
    expect 0 "$PTQ" create tasks
    expect_from 0 "$work/in" "$PTQ" put tasks --line --batch 32
    expect 0 "$PTQ" get tasks --all --batch 10
    cmp "$work/in" "$work/out" || fail "another order"
    figure tasks acked 1000
}

case_a_batch_that_can_never_fit_says_so() {
    seq 100 >"$work/in"
    expect 0 "$PTQ" create tasks --capacity 10
    expect_from 1 "$work/in" "$PTQ" put tasks --line --batch 100
    err_has "cannot put a batch of 100 messages; 0 messages were put before: capacity is 10 - "
    figure tasks put 0
}

case_a_batch_does_not_wait_for_more() {
    expect 0 "$PTQ" create tasks
    mkfifo "$work/pipe"
    "$PTQ" put tasks --line --batch 100 <"$work/pipe" &
    children+=("$!")
    exec 7>"$work/pipe"
    printf 'one\ntwo\nthr' >&7
    wait_for figure_is tasks queue_size 2
    echo ee >&7
    wait_for figure_is tasks queue_size 3
    exec 7>&-
    finish "${children[-1]}" 0
}

case_count_repeats_data_and_limits_lines() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks same -n 3
    expect 0 "$PTQ" put tasks same -n 5 --batch 2
    seq 10 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put tasks --line -n 4
    expect 0 "$PTQ" get tasks --all
    out_is same same same same same same same same 1 2 3 4
}

case_positions_grow() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 3 --position
    sort -n -u "$work/out" | cmp - "$work/out" || fail "they do not grow"
    [ "$(wc -l <"$work/out")" -eq 3 ] || fail "not three"
}

case_data_may_begin_with_a_dash() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks -- -n
    expect 2 "$PTQ" put tasks -5
    expect 0 "$PTQ" get tasks
    out_is -n
}

case_empty_is_4() {
    expect 0 "$PTQ" create tasks
    expect 4 "$PTQ" get tasks --timeout 0
    err_is "ptq: tasks: it is empty - wait for what comes with --timeout"
    expect 4 "$PTQ" get tasks --timeout 30
    err_is "ptq: tasks: nothing came within 30 ms - wait longer with --timeout"
    expect 0 "$PTQ" get tasks --all
    nothing_said
}

case_fewer_than_asked_for_is_4_with_what_came() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 2
    expect 4 "$PTQ" get tasks -n 5 -t 0
    out_is x x
    err_is "ptq: tasks: only 2 of 5 messages came - wait longer with --timeout"
    figure tasks acked 2
}

case_full_is_5() {
    expect 0 "$PTQ" create tasks --capacity 2
    expect 5 "$PTQ" put tasks x -n 3 --timeout 0
    err_has "cannot put 1 byte; 2 messages were put before: it is full, 2 of 2 messages - "
    expect 4 "$PTQ" put tasks x --timeout 20
    err_has "it is full, 2 of 2 messages"
    figure tasks put 2
}

case_no_such_queue_is_3() {
    for command in put get peek info stats end rm verify; do
        expect 3 "$PTQ" $command nothing
        err_has "ptq: nothing: "
        err_has "no such queue"
    done
    expect 3 "$PTQ" get nothing
    err_has " - create it with: ptq create nothing"
}

case_no_such_thing_is_3_whatever_it_is() {
    for command in 'pool status' 'pool stop' 'pool rm' 'pool worker --exec cat' 'share ls' 'share rm' 'log show' 'log rm' rm; do
        # shellcheck disable=SC2086 # two words
        expect 3 "$PTQ" $command nothing
        err_has "ptq: nothing: "
        err_has "no such "
        err_has "on bus 'test' ($PTQ_DIR/test) - "
        [ "$command" = 'pool worker --exec cat' ] || ! grep -q -- --wait "$work/err" || fail "$command has no --wait"
    done
    expect 0 "$PTQ" pool rm nothing --force

    expect 0 "$PTQ" log rm events --force
    expect_from 1 / "$PTQ" log append events
    err_has "ptq: events: cannot read standard input: Is a directory - "
}

case_too_few_descriptors_are_told_as_such() {
    command -v prlimit >/dev/null || { echo "  skipped: no prlimit"; return 0; }
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    local code least=0
    for least in 5 6 7 8 9 10; do
        prlimit --nofile=$least "$PTQ" get tasks -t 0 --exec cat >"$work/out" 2>"$work/err" </dev/null
        code=$?
        [ $code -ne 127 ] || continue # the loader lacked one
        [ $code -eq 0 ] && break
        grep -q 'ulimit -n' "$work/err" || fail "with $least"
    done
    [ $code -eq 0 ] || fail "ten are too few"
    for least in 6 8 12 16 24; do
        seq 3 | prlimit --nofile=$least "$PTQ" pool run -- echo {} >"$work/out" 2>"$work/err"
        [ "${PIPESTATUS[1]}" -eq 0 ] || grep -q 'ulimit -n' "$work/err" || fail "pool run with $least"
        prlimit --nofile=$least "$PTQ" bench --count 10 >"$work/out" 2>"$work/err" || grep -q 'ulimit -n' "$work/err" || fail "bench with $least"
    done
}

case_a_bad_name_is_misuse() {
    for name in '' .hidden 'a b' $'a\nb' a/b; do
        expect 2 "$PTQ" create "$name"
        expect 2 "$PTQ" put "$name" x
        expect 2 "$PTQ" peek "$name"
    done
}

case_get_waits_for_a_message() {
    expect 0 "$PTQ" create tasks
    start get "$PTQ" get tasks
    wait_for figure_is tasks endpoints 1
    expect 0 "$PTQ" put tasks late
    finish "$pid" 0
    [ "$(cat "$work/get.out")" = late ] || fail "not the message"
}

case_put_waits_for_room() {
    expect 0 "$PTQ" create tasks --capacity 1
    expect 0 "$PTQ" put tasks first
    start put "$PTQ" put tasks second
    wait_for figure_is tasks endpoints 1
    expect 0 "$PTQ" get tasks
    finish "$pid" 0
    expect 0 "$PTQ" get tasks
    out_is second
}

case_both_may_wait_for_the_queue() {
    start get "$PTQ" get tasks --wait 30s
    expect 0 "$PTQ" put tasks x --create
    finish "$pid" 0
}

case_end_is_0_with_what_was_got() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 2
    expect 0 "$PTQ" end tasks
    expect 0 "$PTQ" end tasks
    expect 1 "$PTQ" put tasks more
    err_has "ptq: tasks: cannot put 4 bytes: "
    expect 0 "$PTQ" get tasks --follow
    out_is x x
    for how in '' --all --follow '-n 5'; do
        # shellcheck disable=SC2086
        expect 0 "$PTQ" get tasks $how
        nothing_said
    done
}

case_follow_ends_at_the_end() {
    expect 0 "$PTQ" create tasks
    start get "$PTQ" get tasks --follow
    expect 0 "$PTQ" put tasks one
    wait_for has_line "$work/get.out" one
    expect 0 "$PTQ" put tasks two
    expect 0 "$PTQ" end tasks
    finish "$pid" 0
    [ "$(cat "$work/get.out")" = $'one\ntwo' ] || fail "not both"
}

case_formats() {
    printf 'q"\\\t\x01\xc3\xa9\xff' >"$work/in"
    expect 0 "$PTQ" create tasks
    for format in quoted hex json raw line null; do
        expect_from 0 "$work/in" "$PTQ" put tasks
        "$PTQ" get tasks -F $format >"$work/$format" || fail "$format"
    done
    [ "$(cat "$work/quoted")" = '"q\"\\\t\x01é\xff"' ] || fail "quoted: $(cat "$work/quoted")"
    [ "$(cat "$work/hex")" = 71225c0901c3a9ff ] || fail "hex: $(cat "$work/hex")"
    jq -r .base64 "$work/json" | base64 -d | cmp - "$work/in" || fail "json: $(cat "$work/json")"
    [ "$(jq -c '[.v, .queue, .size, .deliveries, .redelivered, has("data")]' "$work/json")" = '[1,"tasks",8,1,false,false]' ] ||
        fail "json: $(cat "$work/json")"
    cmp "$work/raw" "$work/in" || fail raw
    { cat "$work/in"; echo; } | cmp - "$work/line" || fail line
    { cat "$work/in"; printf '\0'; } | cmp - "$work/null" || fail null
}

case_json_tells_text_as_text() {
    expect 0 "$PTQ" create tasks
    printf 'h\xc3\xa9\0\n"' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put tasks
    expect 0 "$PTQ" get tasks -F json
    jq -j .data "$work/out" | cmp - "$work/in" || fail "$(cat "$work/out")"
}

case_headers_and_trace_are_put_and_shown() {
    local trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks hello --header kind=letter -H 'equation=a=b' -H empty= --trace $trace
    for look in 'peek tasks -F json' 'get tasks -F json'; do
        # shellcheck disable=SC2086 # a command and its arguments
        expect 0 "$PTQ" $look
        [ "$(jq -c '[.headers.kind, .headers.equation, .headers.empty, .trace, .data]' "$work/out")" = \
            "[\"letter\",\"a=b\",\"\",\"$trace\",\"hello\"]" ] || fail "$look: $(cat "$work/out")"
    done
    expect 0 "$PTQ" put tasks plain
    expect 0 "$PTQ" get tasks -F json
    [ "$(jq -c '[has("headers"), has("trace"), has("type")]' "$work/out")" = '[false,false,false]' ] || fail "$(cat "$work/out")"
}

case_a_command_gets_the_trace_of_its_message_and_no_other() {
    local trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks one --trace $trace
    expect 0 "$PTQ" put tasks two
    TRACEPARENT=mine expect 0 "$PTQ" get tasks --all --exec 'echo "$(cat) ${TRACEPARENT-none}"'
    out_is "one $trace
two none"
}

case_bad_headers_put_nothing() {
    expect 0 "$PTQ" create tasks --item-size 64
    for bad in novalue =x "$(printf 'n%.0s' $(seq 65))=x"; do
        expect 2 "$PTQ" put tasks x --header "$bad"
        err_has "write NAME=VALUE"
    done
    expect 2 "$PTQ" put tasks x --trace 00-12-34-01
    err_has "no traceparent"
    expect 1 "$PTQ" put tasks x --header "big=$(printf 'v%.0s' $(seq 500))"
    err_has "its headers do not fit beside 1 byte"
    expect 4 "$PTQ" get tasks --timeout 0
}

case_lengths_part_messages_and_any_byte_is_in_them() {
    printf 'a\nb\0c\xff' >"$work/one"
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks -f "$work/one"
    expect 0 "$PTQ" put tasks ''
    expect 0 "$PTQ" put tasks last
    expect 0 "$PTQ" get tasks --all -F length
    { printf '\0\0\0\6'; cat "$work/one"; printf '\0\0\0\0\0\0\0\4last'; } | cmp - "$work/out" || fail "not lengths"
    cp "$work/out" "$work/in"
    for batch in 1 5; do
        expect_from 0 "$work/in" "$PTQ" put tasks --length --batch $batch
        expect 0 "$PTQ" get tasks --all -F length
        cmp "$work/in" "$work/out" || fail "other messages came out"
    done
    expect_from 0 "$work/in" "$PTQ" put tasks --length -n 2
    figure tasks queue_size 2
}

case_lengths_that_are_none_are_told() {
    expect 0 "$PTQ" create tasks --item-size 100
    printf '\0\0\0\2ok\0\0\0\377' >"$work/in"
    head -c 255 /dev/zero >>"$work/in"
    expect_from 1 "$work/in" "$PTQ" put tasks --length
    err_is "ptq: tasks: cannot put message 2, 255 bytes; 1 message was put before: item_size is 100 - create the queue with --item-size 256"
    printf '\0\0\0\2ok\0\0\0\12half' >"$work/in"
    expect 1 "$PTQ" put tasks --length -f "$work/in"
    err_is "ptq: $work/in: ends in the middle of message 2, of which it has 4 of 10 bytes; 1 message was put before - it was cut: write it again, and go on behind that"
    printf '\0\0' >"$work/in"
    expect_from 1 "$work/in" "$PTQ" put tasks --length
    err_has "standard input: ends in the middle of message 1"
    echo 'hello, this is no length' >"$work/in"
    expect_from 1 "$work/in" "$PTQ" put tasks --length
    err_has "standard input: message 1 says that it has 1751477356 bytes, more than any message; 0 messages were put before - give four bytes with the length"
    figure tasks queue_size 2
    expect 2 "$PTQ" put tasks --length --line
}

case_a_rate_is_not_exceeded() {
    local begun=${EPOCHREALTIME/./}
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 6 --rate 20
    [ $((${EPOCHREALTIME/./} - begun)) -ge 250000 ] || fail "six at 20 a second took less than a quarter of a second"
    begun=${EPOCHREALTIME/./}
    seq 9 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put tasks --line --batch 3 --rate 0.02k
    [ $((${EPOCHREALTIME/./} - begun)) -ge 300000 ] || fail "three batches of three at 20 a second took less than 300 ms"
    figure tasks queue_size 15
    for bad in 0 -1 nan fast 5x 2G; do
        expect 2 "$PTQ" put tasks x --rate "$bad"
    done
    err_has "--rate cannot be '2G': it is a number above 0 and at most 1G"
    start put "$PTQ" put tasks late -n 2 --rate 0.001
    wait_for figure_is tasks queue_size 16
    kill -TERM "$pid"
    finish "$pid" 143
    grep -qxF 'ptq: tasks: interrupted; 1 message was put before - go on behind that' "$work/put.err" || fail "$(cat "$work/put.err")"
}

case_a_format_of_ones_own() {
    local trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks $'h"\n' --header kind=letter --trace $trace --position
    local position
    position=$(cat "$work/out")
    for look in peek 'get --no-ack' get; do
        # shellcheck disable=SC2086 # a command and its option
        expect 0 "$PTQ" $look tasks -F '%p|%S|%Q|%x|%h{kind}|%h{none}|%q|%t|%T|%u|100%%\x41\t\\\n'
        out_is "$position|3|\"h\\\"\\n\"|68220a|letter||tasks||$trace|0|100%A"$'\t\\'
    done
    expect 0 "$PTQ" put tasks ab
    expect 0 "$PTQ" get tasks -F '%R%s%d\0'
    printf '\0\0\0\2ab1\0' | cmp - "$work/out" || fail "bytes"
    expect 0 "$PTQ" put tasks ab
    expect 0 "$PTQ" get tasks -F '<%s>\n' --exec cat
    out_is '<ab>'
}

case_a_format_that_means_nothing_takes_nothing() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    for bad in %z % '%s%' '%h{}' '%h{x' %h '\q' 'x\' '\x4' "%h{$(printf 'n%.0s' $(seq 65))}"; do
        for command in get peek tail; do
            expect 2 "$PTQ" $command tasks -F "$bad"
            err_has "means nothing - see: ptq $command --help"
        done
    done
    expect 2 "$PTQ" get tasks -F FORMAT
    err_has "it is one of raw|line|null|quoted|hex|json|length|FORMAT"
    figure tasks queue_size 1
    figure tasks acked 0
}

# on_terminal COMMAND: standard error is a terminal, what it saw stands in $work/seen.
on_terminal() {
    TERM=xterm script -qec "$1" "$work/seen" >/dev/null </dev/null
}

case_long_work_shows_on_a_terminal_how_far_it_is() {
    command -v script >/dev/null || { echo "  skipped: no script"; return 0; }
    expect 0 "$PTQ" create tasks
    on_terminal "'$PTQ' get tasks -n 20 >'$work/all'" &
    children+=("$!")
    expect 0 "$PTQ" put tasks hello
    wait_for has_line "$work/all" hello # it has begun: what it measures its time from lies behind
    expect 0 "$PTQ" put tasks hello -n 19 --rate 25
    finish "${children[-1]}" 0
    grep -qE '[0-9]+ messages got, [0-9]+, [0-9]+ %, [0-9]+ a second' "$work/seen" || fail "get: $(cat -v "$work/seen")"
    [ "$(wc -l <"$work/all")" -eq 20 ] || fail "not all"
    on_terminal "'$PTQ' put tasks hello -n 10 --rate 20"
    grep -qE '[0-9]+ messages put, [0-9]+, [0-9]+ %, [0-9]+ a second' "$work/seen" || fail "put: $(cat -v "$work/seen")"
    on_terminal "'$PTQ' get tasks --all | cat >'$work/all'"
    ! grep -q 'messages got' "$work/seen" || fail "it is shown over what a pipe ends in"
    [ "$(wc -l <"$work/all")" -eq 10 ] || fail "not all"
}

command -v jq >/dev/null || { echo "skipped: no jq"; exit 77; }
run_cases
