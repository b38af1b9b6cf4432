#!/bin/bash
# test_top.sh -- ptqtop as a table and for machines.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_an_empty_bus_is_a_table_without_rows() {
    expect 0 "$PTQTOP" --once
    nothing_said
    out_has "bus test"
    out_has "0 queues  0 processes alive, 0 dead"
    grep -q '^QUEUE *KIND *PATH *DEPTH *FILL *READY *LEASED *DELAYED *DEAD *IN/s *OUT/s *B/s *P50 *P99 *AGE *PROD *CONS *WAIT *DROP/s *REDLV/s *FLAGS$' \
        "$work/out" || fail "no heads"
}

case_once_shows_figures_and_no_rates() {
    expect 0 "$PTQ" create tasks --capacity 4
    expect 0 "$PTQ" put tasks 12345 -n 3
    expect 0 "$PTQTOP" --once
    grep -Eq '^tasks +queue +shm +3 +75% +3 +0 +0 +0 +- +- +- +- +- +[^ ]+ +[0-9]+ +[0-9]+ +- +- +- +-$' "$work/out" || fail "not the row"
    out_has "1 queue "
}

# Reads frames until one has a rate of KEY above 0: $frame.
frame_with() {
    local end=$((SECONDS + deadline_seconds))
    while IFS= read -ru 7 frame; do
        jq -e ".$1 > 0" <<<"$frame" >/dev/null && return
        [ $SECONDS -lt $end ] || break
    done
    fail "no frame with $1: $frame"
}

case_later_frames_have_rates() {
    expect 0 "$PTQ" create tasks
    mkfifo "$work/pipe"
    "$PTQTOP" -b -d 0.3 -o ndjson >"$work/pipe" &
    pid=$!
    children+=("$pid")
    exec 7<"$work/pipe"
    IFS= read -ru 7 frame
    jq -e '[.v, .name, .in_per_second, .out_per_second] == [1, "tasks", null, null]' <<<"$frame" >/dev/null ||
        fail "first: $frame"
    expect 0 "$PTQ" put tasks 12345 -n 100
    frame_with in_per_second
    jq -e '.in_per_second <= 100 / 0.1 and (.bytes_per_second / .in_per_second - 5 | fabs) < 0.001' <<<"$frame" >/dev/null ||
        fail "puts: $frame"
    expect 0 "$PTQ" get tasks -n 50
    frame_with out_per_second
    jq -e '.out_per_second <= 50 / 0.1' <<<"$frame" >/dev/null || fail "gets: $frame"
    exec 7<&-
    kill "$pid"
}

case_json_is_one_object_with_the_four_keys() {
    expect 0 "$PTQ" create tasks --capacity 8 --item-size 100
    expect 0 "$PTQ" put tasks x -n 2
    expect 0 "$PTQTOP" --once -o json
    json_is '[.v, .bus, .queue_count, .processes_alive, (.pools | length)] == [1, "test", 1, 0, 0]'
    json_is '.queues[0] | [.name, .queue_size, .queue_capacity, .queue_utilization_percent, .queue_item_size_bytes,
        .in_per_second] == ["tasks", 2, 8, 25, 100, null]'
}

case_csv_has_heads_and_as_many_fields() {
    expect 0 "$PTQ" create one
    expect 0 "$PTQ" create two
    expect 0 "$PTQTOP" -b -n 2 -d 0.1 -o csv
    [ "$(awk -F, '{print NF}' "$work/out" | sort -u | wc -l)" -eq 1 ] || fail "uneven"
    [ "$(grep -c '^unix_ms,bus,queue,' "$work/out")" -eq 1 ] || fail "heads not once"
    [ "$(wc -l <"$work/out")" -eq 5 ] || fail "not two frames of two"
}

case_sort_and_filter() {
    for name in a b c; do
        expect 0 "$PTQ" create $name
    done
    expect 0 "$PTQ" put a x
    expect 0 "$PTQ" put b x -n 3
    expect 0 "$PTQTOP" --once -o ndjson -s depth
    [ "$(jq -r .name "$work/out" | tr -d '\n')" = bac ] || fail "depth"
    expect 0 "$PTQTOP" --once -o ndjson -s depth -r
    [ "$(jq -r .name "$work/out" | tr -d '\n')" = cab ] || fail "reverse"
    expect 0 "$PTQTOP" --once -o ndjson
    [ "$(jq -r .name "$work/out" | tr -d '\n')" = abc ] || fail "by name"
    expect 0 "$PTQTOP" --once -o ndjson -f '[ab]'
    [ "$(jq -r .name "$work/out" | tr -d '\n')" = ab ] || fail "glob"
    expect 0 "$PTQTOP" --once -o json -f c
    [ "$(jq -c '[.queue_count, [.queues[].name]]' "$work/out")" = '[3,["c"]]' ] || fail "part"
    expect 2 "$PTQTOP" -s nonsense
}

case_processes_are_counted() {
    expect 0 "$PTQ" create tasks
    start one "$PTQ" get tasks
    local first=$pid
    start two "$PTQ" get tasks
    wait_for figure_is tasks endpoints 2
    expect 0 "$PTQTOP" --once
    out_has "2 processes alive, 0 dead"
    kill -KILL "$first"
    wait_for is_gone "$first"
    expect 0 "$PTQTOP" --once -o json
    [ "$(jq .processes_alive "$work/out")" = 1 ] || fail "the dead one lives"
}

case_flags_tell_full_dead_and_ended() {
    expect 0 "$PTQ" create tasks --capacity 1 --max-deliveries 1
    expect 0 "$PTQ" put tasks x
    expect 1 "$PTQ" get tasks --exec false
    expect 4 "$PTQ" get tasks -t 0
    expect 0 "$PTQ" put tasks y
    expect 0 "$PTQ" end tasks
    expect 0 "$PTQTOP" --once -o json
    [ "$(jq -r '.queues[0].flags' "$work/out")" = FDE ] || fail "flags"
}

case_stalled_is_told_from_two_frames() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    expect 0 "$PTQTOP" -b -n 2 -d 0.1 -o ndjson
    [ "$(jq -r .flags "$work/out" | tr '\n' '|')" = '|S|' ] || fail "flags"
}

head_is_held() {
    "$PTQTOP" --once -o json >"$work/out" && jq -e '.pools[0] | .head_pid != null and .held == 2 and .leased == 1' "$work/out" >/dev/null
}

case_a_pool_is_a_row_that_tells_who_holds_the_head() {
    mkfifo "$work/hold"
    seq 5 >"$work/in"
    "$PTQ" pool run squares --workers 2 --window 3 --exec "read n; [ \$n = 3 ] && cat '$work/hold'; echo \$((n * n))" \
        <"$work/in" >"$work/squares" &
    local pool=$!
    children+=("$pool")
    wait_for head_is_held # 3 is held back, 4 and 5 are done, behind it
    json_is '[.queues[].kind] == ["done", "jobs"] and (.pools | length) == 1'
    json_is '.pools[0] | [.name, .kind, .window, .leased, .head_alive] == ["squares", "pool", 3, 1, true]'
    local holder sequence
    holder=$(jq '.pools[0].head_pid' "$work/out")
    sequence=$(jq '.pools[0].sequence' "$work/out")
    expect 0 "$PTQ" info squares.jobs --json
    json_is ".attached | map(select(.pid == $holder)) | .[0] | .leased == 1 and .oldest_position == $sequence"
    expect 0 "$PTQTOP" --once
    grep -Eq "^squares +pool .* $sequence +3 +$holder " "$work/out" || fail "not in the table"
    echo >"$work/hold"
    finish "$pool" 0
    [ "$(tr -d '\n' <"$work/squares" | tr -s ' ')" = 1491625 ] || fail "results: $(cat "$work/squares")"
}

# A worker that holds the third of four lines, and one that has nothing to do.
hold_a_line() {
    mkfifo "$work/hold"
    seq 4 >"$work/in"
    "$PTQ" pool run squares --workers 2 --exec "read n; [ \$n = 3 ] && cat '$work/hold'; echo \$((n * n))" <"$work/in" >"$work/squares" &
    pool=$!
    children+=("$pool")
    wait_for workers_are_three_done
}

workers_are_three_done() {
    "$PTQTOP" --workers --once -o json >"$work/out" && jq -e '([.workers[].done] | add) == 3 and
        ([.workers[].state] | sort) == ["idle", "works"] and (.workers[] | select(.state == "works") | .ticket) == .pools[0].sequence' "$work/out" >/dev/null
}

case_workers_of_pools_are_shown_with_what_they_do() {
    local pool busy
    hold_a_line
    json_is '[.workers[] | .pool, .kind] == ["squares", "worker", "squares", "worker"]'
    json_is '[.workers[].name] == ["worker-0", "worker-1"] and all(.workers[]; .rss_bytes > 0 and .done_per_second == null)'
    busy=$(jq '.workers[] | select(.state == "works") | .pid' "$work/out")
    json_is ".pools[0].head_pid == $busy and (.workers[] | select(.pid == $busy) | .ticket) == .pools[0].sequence"
    expect 0 "$PTQTOP" --workers --once
    grep -q '^WORKER *POOL *PID *STATE *FOR *TASK *TICKET *DONE *FAILED *DONE/s *BUSY *RSS *LANE$' "$work/out" || fail "no heads"
    grep -Eq "^worker-[01] +squares +$busy +works +[0-9.]+(us|ms|s) +- +[0-9]+ +[0-9]+ +0 +- +[0-9]+% +[0-9.]+[KMi]* +-$" "$work/out" || fail "not the row"
    expect 0 "$PTQTOP" -w -b -n 3 -d 0.1 -o ndjson
    jq -se '[.[] | select(.pid == '"$busy"') | .done_per_second] == [null, 0, 0]' "$work/out" >/dev/null || fail "rates"
    expect 0 "$PTQTOP" -w -b -n 3 -d 0.1
    tail -n 2 "$work/out" | grep -Eq 'works .* ##$' && tail -n 2 "$work/out" | grep -Eq 'idle .* \.\.$' || fail "no lanes"
    expect 0 "$PTQTOP" -w -b -n 2 -d 0.1 -o csv
    [ "$(awk -F, '{print NF}' "$work/out" | sort -u | wc -l)" -eq 1 ] || fail "uneven"
    [ "$(grep -c '^unix_ms,bus,pool,worker,' "$work/out")" -eq 1 ] || fail "heads not once"
    [ "$(wc -l <"$work/out")" -eq 5 ] || fail "not two frames of two"
    expect 0 "$PTQTOP" -w --once -f other -o json
    json_is '.workers == []'
    echo >"$work/hold"
    finish "$pool" 0
    expect 0 "$PTQTOP" -w --once -o json
    json_is '.workers == []'
}

case_watching_takes_nothing() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 5
    "$PTQ" stats tasks >"$work/before"
    for output in table json ndjson csv; do
        expect 0 "$PTQTOP" -b -n 2 -d 0.1 -o $output
    done
    "$PTQ" stats tasks >"$work/after"
    grep -v oldest_ms "$work/before" >"$work/b"
    grep -v oldest_ms "$work/after" | cmp - "$work/b" || fail "it changed something"
}

case_not_a_terminal_is_batch_by_itself() {
    expect 0 "$PTQTOP" -n 1
    out_has "bus test"
    ! grep -q $'\033' "$work/out" || fail "escapes without a terminal"
}

case_a_queue_that_goes_and_comes_is_a_new_one() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 9
    mkfifo "$work/pipe"
    "$PTQTOP" -b -d 0.1 -o ndjson >"$work/pipe" &
    pid=$!
    children+=("$pid")
    exec 7<"$work/pipe"
    IFS= read -ru 7 frame
    kill -STOP "$pid" # it goes and comes between two frames
    wait_for is_stopped "$pid"
    expect 0 "$PTQ" rm tasks
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    kill -CONT "$pid"
    while jq -e '.put == 9' <<<"$frame" >/dev/null; do IFS= read -ru 7 frame; done # what had been written before
    kill "$pid"
    exec 7<&-
    [ "$(jq -c '[.ready, .put, .in_per_second]' <<<"$frame")" = '[1,1,null]' ] || fail "not a new one: $frame"
}

case_a_full_disk_is_an_error() {
    "$PTQTOP" --once >/dev/full 2>"$work/err"
    [ $? -eq 1 ] || fail "it did not fail"
    err_has "cannot write to standard output"
}

command -v jq >/dev/null || { echo "skipped: no jq"; exit 77; }
run_cases
