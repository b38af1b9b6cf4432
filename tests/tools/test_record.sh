#!/bin/bash
# test_record.sh -- ptq record and ptq replay: what was acknowledged is in the file, and comes out as it went in, whatever was killed or cut.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

fill() {
    "$PTQ" create tasks --capacity 5000 "${@:2}" && seq 1 "$1" | "$PTQ" put tasks --line || fail "cannot fill"
}

case_what_is_recorded_is_replayed() {
    "$PTQ" create tasks && seq 100 | "$PTQ" put tasks --line --header kind=number --trace 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01
    printf 'a\0b\nc' | "$PTQ" put tasks && "$PTQ" put tasks ''
    expect 0 "$PTQ" record tasks "$work/file" --all
    nothing_said
    figure tasks acked 102
    expect 0 "$PTQ" replay "$work/file" copies --create --speed max
    nothing_said
    expect 0 "$PTQ" get copies --all -F json
    [ "$(jq -s 'map(select(.headers.kind == "number" and .trace == "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")) | length' "$work/out")" = 100 ] ||
        fail "headers or traces are lost"
    jq -r 'select(.headers) | .data' "$work/out" | cmp -s - <(seq 100) || fail "not the messages"
    jq -se '.[100].data == "a\u0000b\nc" or .[100].base64 == "YQBiCmM="' "$work/out" >/dev/null || fail "bytes are lost"
    jq -se '.[101].size == 0' "$work/out" >/dev/null || fail "the empty one is lost"
    expect 0 "$PTQ" replay "$work/file" --info --json
    json_is '.v == 1 and .queue == "tasks" and .messages == 102 and .closed and .damages == 0 and (.tap | not)'
    expect 0 "$PTQ" replay "$work/file" --info
    out_has "messages  102, "
}

case_parts_are_replayed() {
    fill 3000
    expect 0 "$PTQ" record tasks "$work/file" --all --batch 10
    expect 0 "$PTQ" replay "$work/file" --from 2995 -n 3
    out_is 2995 2996 2997
    expect 0 "$PTQ" replay "$work/file" --to 2
    out_is 1 2
    expect 0 "$PTQ" replay "$work/file" --from +3600
    out_is_empty
    expect 0 "$PTQ" replay "$work/file" --from 2999 -F json
    jq -se '[.[].number] == [2999, 3000] and all(.[]; .time_ns > 0)' "$work/out" >/dev/null || fail "not the objects"
    expect 0 "$PTQ" replay "$work/file" --from 2000-01-01 --to '2000-01-02 00:00:00'
    out_is_empty
    for bad in 0 -1 +x yesterday; do expect 2 "$PTQ" replay "$work/file" --from=$bad; done
    for bad in 0 -1 x nan; do expect 2 "$PTQ" replay "$work/file" --speed=$bad; done
}

case_pauses_are_kept_or_not() {
    "$PTQ" create tasks
    start record "$PTQ" record tasks "$work/file"
    "$PTQ" put tasks one
    wait_for figure_is tasks acked 1
    read -rt 0.4 <>"$work/never"
    "$PTQ" put tasks two
    "$PTQ" end tasks
    finish "$pid" 0
    local before=${EPOCHREALTIME/./}
    expect 0 "$PTQ" replay "$work/file" --speed 1
    [ $((${EPOCHREALTIME/./} - before)) -ge 390000 ] || fail "the pause was left out"
    out_is one two
}

case_a_killed_recorder_loses_and_doubles_nothing() {
    fill 2000
    for ((i = 1; i <= 12; i++)); do
        start record "$PTQ" record tasks "$work/file" --append --batch 7
        wait_for acked_beyond $((i * 100))
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null
    done
    expect 0 "$PTQ" record tasks "$work/file" --append --all
    figure tasks acked 2000
    expect 0 "$PTQ" replay "$work/file"
    sort -n "$work/out" | uniq -c | awk '$1 != 1 || $2 != NR { exit 1 } END { exit NR != 2000 }' || fail "some are lost, or twice there"
    nothing_said
}

acked_beyond() { [ "$("$PTQ" stats tasks acked)" -gt "$1" ] || ! kill -0 "$pid" 2>/dev/null; }

case_a_full_disk_loses_nothing() {
    fill 500
    expect 1 "$PTQ" record tasks /dev/full --all
    err_has "/dev/full: cannot write: No space left on device - make room"
    figure tasks acked 0
    (trap '' XFSZ && ulimit -f 12 && "$PTQ" record tasks "$work/file" --all --batch 20) >"$work/out" 2>"$work/err" && fail "it did not fail"
    err_has "File too large; "
    expect 1 "$PTQ" record tasks "$work/file" --all
    err_has "File exists - go on with it by --append"
    expect 0 "$PTQ" record tasks "$work/file" --all --append
    expect 0 "$PTQ" replay "$work/file"
    seq 500 | cmp -s - "$work/out" || fail "not all, each once"
}

case_a_cut_file_tells_what_is_lost() {
    fill 100
    expect 0 "$PTQ" record tasks "$work/file" --all --batch 10
    head -c $(($(stat -c %s "$work/file") - 900)) "$work/file" >"$work/cut"
    expect 1 "$PTQ" replay "$work/cut"
    err_has "it is cut in the midst of a frame"
    seq 100 | head -n "$(wc -l <"$work/out")" | cmp -s - "$work/out" || fail "not the first ones"
    [ "$(wc -l <"$work/out")" -ge 70 ] || fail "more is lost than one frame"
    expect 1 "$PTQ" replay "$work/cut" --info --json
    json_is '.cut and (.closed | not) and .damages == 1'
    cp "$work/file" "$work/bad"
    printf 'XXXXXXXX' | dd of="$work/bad" bs=1 seek=1500 conv=notrunc status=none
    expect 1 "$PTQ" replay "$work/bad"
    err_has "are not what was written: their messages are lost"
    [ "$(wc -l <"$work/out")" = 90 ] || fail "not 90 of 100"
    head -c 20 "$work/file" >"$work/cut"
    expect 1 "$PTQ" replay "$work/cut"
    err_has "is no recording, or its first bytes are damaged - "
}

case_a_signal_closes_the_file() {
    fill 3
    start record "$PTQ" record tasks "$work/file" --sync
    wait_for figure_is tasks acked 3
    kill -TERM "$pid"
    finish "$pid" 143
    expect 0 "$PTQ" replay "$work/file"
    out_is 1 2 3
    nothing_said
}

case_a_tap_takes_nothing() {
    fill 20
    expect 0 "$PTQ" record tasks "$work/file" --tap --all -n 20
    figure tasks acked 0
    "$PTQ" get tasks --all >/dev/null
    start record "$PTQ" record tasks "$work/file" --tap --append
    wait_for sees_a_try
    kill -STOP "$pid"
    wait_for is_stopped "$pid"
    seq 21 25 | "$PTQ" put tasks --line && "$PTQ" get tasks --all >/dev/null
    "$PTQ" put tasks 26
    kill -CONT "$pid"
    wait_for shows 26
    "$PTQ" end tasks
    finish "$pid" 0
    expect 0 "$PTQ" replay "$work/file"
    grep -v try "$work/out" | cmp -s - <(seq 20; echo 26) || fail "other messages"
    err_has "5 messages or more are not in it: the tap did not see them - "
}

# One that was put before it began is not seen.
sees_a_try() {
    tries=$((${tries:-0} + 1))
    "$PTQ" put tasks "try $tries" && shows "try $tries"
}
shows() { "$PTQ" replay "$work/file" 2>/dev/null | grep -qx "$1"; }

case_through_a_pipe() {
    fill 1000
    "$PTQ" record tasks - --all | "$PTQ" replay - copies --create --speed max || fail "it failed"
    expect 0 "$PTQ" get copies --all
    seq 1000 | cmp -s - "$work/out" || fail "not the messages"
}

case_packed() {
    fill 1000
    "$PTQ" record tasks "$work/file" --all --zstd 2>"$work/err" || { grep -q "not built in" "$work/err" && echo "  skipped: no zstd" && return 0; fail "it failed"; }
    [ "$(stat -c %s "$work/file")" -lt 20000 ] || fail "it is not packed"
    expect 0 "$PTQ" replay "$work/file"
    seq 1000 | cmp -s - "$work/out" || fail "not the messages"
}

case_traces_are_spans() {
    "$PTQ" create tasks --stamps all
    "$PTQ" put tasks one --trace 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01 && "$PTQ" put tasks two
    "$PTQ" put tasks three --trace 00-00000000000000000000000000000abc-00000000000000ef-01
    read -rt 0.02 <>"$work/never"
    expect 0 "$PTQ" record tasks "$work/file" --all
    expect 0 "$PTQ" trace export "$work/file"
    [ "$(wc -l <"$work/out")" = 2 ] || fail "not two"
    jq -se 'all(.[]; .v == 1) and ([.[].resourceSpans[0].scopeSpans[0].spans[0]] | .[0].traceId == "0123456789abcdef0123456789abcdef" and
        .[0].parentSpanId == "0123456789abcdef" and .[0].name == "tasks" and .[0].spanId != .[1].spanId and (.[0].spanId | length) == 16 and
        ((.[0].endTimeUnixNano | tonumber) - (.[0].startTimeUnixNano | tonumber)) >= 19000000)' "$work/out" >/dev/null || fail "not the spans"
    expect 0 "$PTQ" trace export "$work/file" -F chrome
    json_is '(.traceEvents | length) == 2 and .traceEvents[1].args.trace == "00000000000000000000000000000abc" and .traceEvents[1].ph == "X"'
    "$PTQ" put tasks none && expect 0 "$PTQ" record tasks "$work/none" --all
    expect 4 "$PTQ" trace export "$work/none"
    err_has "no message bears a trace - "
    expect 1 "$PTQ" trace export "$work/never-there"
}

case_calls_without_sense() {
    expect 2 "$PTQ" record tasks
    expect 2 "$PTQ" record tasks f --append --force
    expect 2 "$PTQ" record tasks@west f --tap
    expect 2 "$PTQ" replay
    expect 3 "$PTQ" record tasks "$work/file"
    [ ! -e "$work/file" ] || fail "it made a file"
    expect 1 "$PTQ" replay "$work/file"
    fill 1
    expect 0 "$PTQ" record tasks "$work/file" --all
    expect 2 "$PTQ" replay "$work/file" tasks --info
    expect 3 "$PTQ" replay "$work/file" others
}

run_cases
