#!/bin/bash
# test_admin.sh -- create, ls, info, stats, peek, rm, gc, verify: queues as an operator handles them.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_ls_lists_names_in_order() {
    expect 0 "$PTQ" ls
    out_is_empty
    for name in beta alpha gamma; do
        expect 0 "$PTQ" create $name
    done
    expect 0 "$PTQ" ls
    out_is alpha beta gamma
    expect 0 "$PTQ" ls '*a*m*'
    out_is gamma
    expect 0 "$PTQ" ls nothing
    out_is_empty
}

case_ls_lists_what_any_of_several_globs_matches_once() {
    for name in alpha beta gamma delta; do
        expect 0 "$PTQ" create $name
    done
    expect 0 "$PTQ" ls 'g*' '*l*' gamma nothing
    out_is alpha delta gamma
    expect 0 "$PTQ" ls '[!a]*' # a "!" of its own
    out_is beta delta gamma
    expect 0 "$PTQ" ls --json 'a*' 'b*'
    [ "$(jq -r .name "$work/out")" = $'alpha\nbeta' ] || fail "json"
    expect 0 "$PTQ" ls -l beta gamma
    [ "$(wc -l <"$work/out")" -eq 3 ] || fail "not two rows"
}

case_ls_long_shows_what_each_holds() {
    expect 0 "$PTQ" create tasks --capacity 2
    expect 0 "$PTQ" put tasks x -n 2
    expect 0 "$PTQ" ls -l
    grep -Eq '^QUEUE +KIND +READY +LEASED +DELAYED +DEAD +CAPACITY +ITEM' "$work/out" || fail "no heads"
    grep -Eq '^tasks +queue +2 +0 +0 +0 +2 +4096 .* F$' "$work/out" || fail "not the figures"
}

case_ls_json_has_the_four_keys() {
    expect 0 "$PTQ" create tasks --capacity 8 --item-size 100
    expect 0 "$PTQ" put tasks x -n 2
    expect 0 "$PTQ" ls --json
    json_is '[.v, .name, .queue_size, .queue_capacity, .queue_utilization_percent, .queue_item_size_bytes]
        == [1, "tasks", 2, 8, 25, 100]'
}

case_create_sets_what_is_asked_for() {
    expect 0 "$PTQ" create tasks -c 2k -s 8K --max-deliveries 3 --max-endpoints 5 --mode 0640
    expect 0 "$PTQ" info tasks --json
    [ "$(jq -c '[.queue_capacity, .queue_item_size_bytes, .max_deliveries, .max_endpoints, .mode]' "$work/out")" = \
        '[2000,8192,3,5,"0640"]' ] || fail "$(cat "$work/out")"
    expect 0 "$PTQ" create other --no-max-deliveries --prefault --ephemeral
    expect 0 "$PTQ" info other --json
    [ "$(jq -c .max_deliveries "$work/out")" = null ] || fail "limited"
}

case_create_again_is_fine_unless_it_contradicts() {
    expect 0 "$PTQ" create tasks --item-size 100
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" create tasks --item-size 100
    expect 1 "$PTQ" create tasks --item-size 200
    err_has "ptq: tasks: "
    err_has 100
    err_has 200
    expect 1 "$PTQ" create tasks --exclusive
    err_has "ptq: tasks: "
    err_has exists
}

case_info_shows_geometry_contents_and_who_is_attached() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 3
    mkfifo "$work/hold"
    start get "$PTQ" get tasks --exec "exec cat '$work/hold'"
    wait_for figure_is tasks leased 1
    expect 0 "$PTQ" info tasks
    out_has "capacity     1000 messages of at most 4096 bytes"
    out_has "2 ready (0.2 %), 1 leased, 0 delayed, 0 dead"
    grep -Eq "^ *$pid +ptq +alive .* 1 +[0-9]+$" "$work/out" || fail "the holder is not shown"
    expect 0 "$PTQ" info tasks --json
    [ "$(jq -c "[.attached[] | select(.pid == $pid) | .alive, .leased]" "$work/out")" = '[true,1]' ] || fail "nor in JSON"
    kill "$pid"
    finish "$pid" 143
    expect 0 "$PTQ" info tasks
    out_has "nobody is attached"
}

case_stats_are_lines_for_scripts() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks hello
    expect 0 "$PTQ" stats tasks
    out_has "queue_size 1"
    out_has "bytes_put 5"
    expect 0 "$PTQ" stats tasks ready put acked
    out_is 1 1 0
    expect 2 "$PTQ" stats tasks nonsense
    err_has "there is no figure 'nonsense'"
}

case_how_long_messages_waited_is_told() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks hello
    expect 0 "$PTQ" stats tasks waits_measured
    out_is 0
    expect 2 "$PTQ" stats tasks wait_p99_us
    expect 0 "$PTQ" get tasks
    expect 0 "$PTQ" stats tasks waits_measured
    out_is 1
    expect 0 "$PTQ" info tasks --json
    jq -e '.wait_mean_us > 0 and .wait_p50_us >= .wait_mean_us and .wait_p50_us == .wait_max_us' "$work/out" >"$work/null" ||
        fail "not the wait of one message"
    expect 0 "$PTQ" info tasks
    out_has "all at most" "(1 measured)"
}

case_peek_takes_nothing() {
    expect 0 "$PTQ" create tasks
    seq 5 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put tasks --line
    expect 0 "$PTQ" peek tasks
    out_is 1
    expect 0 "$PTQ" peek tasks -n 3
    out_is 1 2 3
    expect 0 "$PTQ" peek tasks --all
    out_is 1 2 3 4 5
    expect 0 "$PTQ" peek tasks -F json
    [ "$(jq -c '[.v, .data, .state, .deliveries]' "$work/out")" = '[1,"1","ready",0]' ] || fail "$(cat "$work/out")"
    figure tasks taken 0
    expect 0 "$PTQ" get tasks --all -F json
    [ "$(jq -s -c '[.[].deliveries] | unique' "$work/out")" = '[1]' ] || fail "it counted"
}

case_peek_tells_who_holds_a_message() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks mine
    expect 0 "$PTQ" put tasks free
    mkfifo "$work/hold"
    start get "$PTQ" get tasks --exec "echo started; read -r wait <'$work/hold'"
    wait_for figure_is tasks leased 1
    expect 0 "$PTQ" peek tasks --state leased -F json
    [ "$(jq -c '[.data, .state, .holder_pid]' "$work/out")" = "[\"mine\",\"leased\",$pid]" ] || fail "$(cat "$work/out")"
    expect 0 "$PTQ" peek tasks
    out_is free
    echo go >"$work/hold"
    finish "$pid" 0
}

case_peek_of_nothing_is_4() {
    expect 0 "$PTQ" create tasks
    expect 4 "$PTQ" peek tasks
    err_is "ptq: tasks: there is no such message - see with --state any what there is"
    expect 0 "$PTQ" peek tasks --all
    expect 2 "$PTQ" peek tasks@elsewhere
}

case_rm_removes_what_nobody_has_open() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    expect 0 "$PTQ" rm tasks
    expect 0 "$PTQ" ls
    out_is_empty
    expect 3 "$PTQ" rm tasks
    expect 0 "$PTQ" rm tasks --force
}

case_rm_keeps_what_is_in_use_unless_forced() {
    expect 0 "$PTQ" create tasks
    start get "$PTQ" get tasks
    wait_for figure_is tasks endpoints 1
    wait_for catches "$pid" TERM # it has opened it
    expect 1 "$PTQ" rm tasks
    err_has "processes have it open - end them, or give --force"
    expect 0 "$PTQ" ls
    out_is tasks
    expect 0 "$PTQ" rm tasks --force
    finish "$pid" 3
    has_line "$work/get.err" "ptq: tasks: cannot get: " || fail "the user was not told"
}

case_rm_all_sweeps_a_run_and_no_other() {
    for name in one two three; do
        expect 0 "$PTQ" create $name
        expect 0 "$PTQ" --run other create $name
    done
    expect 0 "$PTQ" rm --all
    expect 0 "$PTQ" ls
    out_is_empty
    expect 0 "$PTQ" --run other ls
    out_is one three two
}

case_gc_recovers_the_dead_and_removes_the_empty() {
    expect 0 "$PTQ" create empty
    expect 0 "$PTQ" create full
    expect 0 "$PTQ" put full x
    start get "$PTQ" get full --exec 'echo started; exec sleep 1000'
    wait_for has_line "$work/get.out" started
    local child
    child=$(cat "/proc/$pid/task/$pid/children")
    kill -KILL "$pid"
    wait_for is_gone "$pid"
    # shellcheck disable=SC2086 # perhaps none
    kill $child
    expect 0 "$PTQ" gc --json
    [ "$(jq -c '[.v, .queues, .removed, .kept, .recovered]' "$work/out")" = '[1,2,1,1,1]' ] || fail "$(cat "$work/out")"
    figure full queue_size 1
    expect 0 "$PTQ" gc --force
    out_has "1 removed"
    expect 0 "$PTQ" ls
    out_is_empty
}

case_verify_counts() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 10
    expect 0 "$PTQ" get tasks -n 3
    expect 0 "$PTQ" verify
    out_is "tasks: sound: 10 put = 7 ready + 0 leased + 0 delayed + 0 dead + 3 acked + 0 dropped"
    expect 0 "$PTQ" verify tasks --json
    [ "$(jq -c '[.v, .name, .sound, .put, .ready, .acked, .imbalance, .findings]' "$work/out")" = \
        '[1,"tasks",true,10,7,3,0,[]]' ] || fail "$(cat "$work/out")"
    expect 0 "$PTQ" verify --quiet
    out_is_empty
}

case_a_bus_that_is_open_to_everybody_is_6() {
    expect 0 "$PTQ" create tasks
    chmod 0777 "$PTQ_DIR"
    for command in 'ls' 'get tasks' 'put tasks x' 'create other' 'gc' 'verify'; do
        # shellcheck disable=SC2086 # a command and its arguments
        expect 6 "$PTQ" $command
        err_has "ptq: cannot open the bus: "
    done
    expect 6 "$PTQTOP" --once
    err_has "ptqtop: cannot open the bus: "
    chmod 0700 "$PTQ_DIR"
    expect 0 "$PTQ" ls
    out_is tasks
}

queue_file() {
    "$PTQ" info "$1" --json | jq -r .path
}

case_a_damaged_queue_is_told_and_can_be_removed() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" create good
    printf 'garbage garbage garbage' | dd of="$(queue_file tasks)" conv=notrunc 2>/dev/null
    for command in 'get tasks' 'put tasks x' 'info tasks' 'peek tasks' 'verify tasks' 'ls -l'; do
        # shellcheck disable=SC2086 # a command and its arguments
        "$PTQ" $command >"$work/out" 2>"$work/err" </dev/null
        local code=$?
        [ $code -ne 0 ] && [ $code -lt 9 ] || fail "exit $code: ptq $command"
        err_has "ptq: tasks: "
    done
    expect 1 "$PTQ" verify
    out_has "good: sound"
    expect 0 "$PTQTOP" --once
    out_has good
    out_has "1 cannot be read"
    expect 1 "$PTQ" rm tasks
    err_has "give --force"
    expect 0 "$PTQ" rm tasks --force
    expect 0 "$PTQ" verify
}

case_a_queue_for_a_spec_shows_its_fields() {
    expect 0 "$PTQ" create frames --spec '  images:u8[480,640,3]  label:i32'
    expect 0 "$PTQ" create frames --spec 'images:u8[480,640,3] label:i32'
    expect 0 "$PTQ" info frames
    out_has "images:u8[480,640,3] label:i32"
    grep -Eq '^label +i32 +- +921600 +4$' "$work/out" || fail "the field label is not shown"
    expect 0 "$PTQ" info frames --json
    [ "$(jq -r '.spec, .queue_item_size_bytes' "$work/out" | tr '\n' ' ')" = "images:u8[480,640,3] label:i32 921604 " ] ||
        fail "the spec is not in the JSON form"
    expect 1 "$PTQ" create frames --spec 'images:u8[480,640,4] label:i32'
    err_has "exists with spec 'images:u8[480,640,3] label:i32', 'images:u8[480,640,4] label:i32' was asked"
    expect 2 "$PTQ" create other --spec 'label:i33'
    err_has "a type is one of u8"
    expect 0 "$PTQ" ls
    out_is frames
}

command -v jq >/dev/null || { echo "skipped: no jq"; exit 77; }
case_create_sets_policies_and_info_shows_them() {
    expect 0 "$PTQ" create tasks --capacity 2 -s 100 --policy drop-oldest --bytes 1000 --ttl 2s --expired-to-dead --max-dead 7 \
        --stamps all --header-size 64 --lease 30s --last-producer-ends
    expect 0 "$PTQ" info tasks --json
    json_is '[.policy, .byte_budget, .ttl_ms, .expired_to_dead, .max_dead, .stamps, .header_size, .lease_ms, .last_producer_ends]
        == ["drop-oldest", 1000, 2000, true, 7, "all", 64, 30000, true]'
    expect 0 "$PTQ" info tasks
    out_has "the oldest ready message is dropped"
    expect 1 "$PTQ" create tasks --policy fail
    err_has drop-oldest
    expect 2 "$PTQ" create other --policy sometimes
    expect 2 "$PTQ" create other --header-size 1k
    expect 2 "$PTQ" create other --bytes 10
    err_has "bytes 10"
}

case_what_a_full_queue_drops_is_counted_by_reason() {
    expect 0 "$PTQ" create latest --capacity 2 --policy drop-oldest
    expect 0 "$PTQ" put latest x -n 5
    expect 0 "$PTQ" stats latest dropped dropped_oldest put ready
    out_is 3 3 5 2
    expect 0 "$PTQ" info latest
    out_has "3 dropped (3 oldest)"
    expect 0 "$PTQ" verify latest
}

case_put_delay_and_ttl() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks later --delay 1m
    expect 4 "$PTQ" get tasks --timeout 0
    expect 0 "$PTQ" stats tasks delayed ready
    out_is 1 0
    expect 0 "$PTQ" put tasks short --ttl 1
    expect 4 "$PTQ" get tasks --timeout 50
    expect 0 "$PTQ" stats tasks dropped_expired
    out_is 1
    expect 2 "$PTQ" put tasks x --delay forever
}

case_what_is_no_queue_is_told_with_what_removes_it() {
    expect 0 "$PTQ" create tasks
    printf 'garbage%.0s' {1..1000} >"$PTQ_DIR/test/junk~v2"
    ln -s /etc/passwd "$PTQ_DIR/test/link~v2"
    mkdir "$PTQ_DIR/test/folder~v2"
    expect 1 "$PTQ" info junk
    err_is "ptq: junk: cannot open: its header is damaged - remove it with ptq rm --force"
    expect 6 "$PTQ" rm link
    err_is "ptq: link: cannot remove it: $PTQ_DIR/test/link~v2 is a link, which is never followed - remove it"
    expect 6 "$PTQ" rm folder
    err_has "cannot remove it: $PTQ_DIR/test/folder~v2 is no regular file - remove it"
    expect 6 "$PTQ" ls -l
    err_has "ptq: junk: cannot look at it: its header is damaged - "
    out_has tasks
    expect 1 "$PTQ" rm junk
    err_has "give --force"
    expect 0 "$PTQ" rm junk --force
    expect 2 "$PTQ" create 'tasks!dead'
    err_has "would be a view of tasks"
    expect 3 "$PTQ" --dir "$work/none/below" ls
    err_has "the directory above it is missing - make that, or set PTQ_DIR to another"
    expect 2 "$PTQ" share add counts one -1
    err_has "put -- before a number"
    expect 0 "$PTQ" share add counts one -- -1
    out_is -1
}

# as_other COMMAND...: as somebody who may use what is on the bus, and not change its directory.
as_other() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

case_who_may_not_remove_it_leaves_it_as_it_was() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" create empty
    expect 0 "$PTQ" put tasks hello
    expect 0 "$PTQ" share set settings level 1
    expect 0 "$PTQ" log append events begun
    if [ "$(id -u)" = 0 ]; then
        chmod o+x "$scratch" "$work"
        chown -R 65534:65534 "$PTQ_DIR"
    fi
    chmod u-w "$PTQ_DIR/test"
    as_other "$PTQ" version >/dev/null 2>&1 || { echo "  skipped: others cannot run this build"; return 0; }
    for force in '' --force; do
        # shellcheck disable=SC2086
        for what in "rm $force tasks" "share rm $force settings" "log rm $force events"; do
            expect 6 as_other "$PTQ" $what
            err_has "cannot remove it: "
        done
    done
    expect 0 as_other "$PTQ" gc
    expect 6 as_other "$PTQ" rm --all
    for queue in tasks empty; do
        expect 0 as_other "$PTQ" put $queue again
    done
    expect 0 as_other "$PTQ" get tasks --all
    out_is hello again
    expect 0 as_other "$PTQ" share get settings level
    out_is 1
    expect 0 as_other "$PTQ" log append events ended
    chmod u+w "$PTQ_DIR/test"
    expect 0 as_other "$PTQ" rm tasks
}

case_pause_holds_gets_until_resume() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x
    expect 0 "$PTQ" pause tasks
    expect 4 "$PTQ" get tasks --timeout 0
    expect 0 "$PTQ" info tasks
    out_has paused
    expect 0 "$PTQ" resume tasks
    expect 0 "$PTQ" get tasks --timeout 0
    expect 3 "$PTQ" pause nothing
}

case_purge_drops_what_is_ready() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks x -n 3
    expect 0 "$PTQ" purge tasks
    out_is 3
    expect 0 "$PTQ" purge tasks --quiet
    out_is_empty
    expect 0 "$PTQ" stats tasks dropped_purged ready
    out_is 3 0
    expect 0 "$PTQ" verify tasks
}

# Messages that die at their second delivery.
bury() {
    expect 0 "$PTQ" put tasks "$@"
    for _ in "$@"; do
        expect 1 "$PTQ" get tasks --exec false --timeout 0
    done
    expect 4 "$PTQ" get tasks --timeout 0
}

case_dead_letters_are_seen_taken_and_kicked_by_their_view() {
    expect 0 "$PTQ" create tasks --max-deliveries 1
    expect 0 "$PTQ" ls '*!dead'
    out_is_empty
    bury one
    bury two
    bury three
    expect 0 "$PTQ" put tasks alive
    expect 0 "$PTQ" ls '*!dead'
    out_is 'tasks!dead'
    expect 0 "$PTQ" ls
    out_is tasks
    expect 0 "$PTQ" ls 'ta*' '*!dead'
    out_is tasks 'tasks!dead'
    expect 0 "$PTQ" ls '[!a]*'
    out_is tasks
    expect 0 "$PTQ" peek 'tasks!dead' --all
    out_is one two three
    expect 0 "$PTQ" peek tasks --all --state any
    out_is one two three alive
    expect 0 "$PTQ" info 'tasks!dead'
    out_has '3 dead'
    expect 0 "$PTQ" get 'tasks!dead' --no-ack
    out_is one
    expect 0 "$PTQ" get 'tasks!dead'
    out_is one
    expect 0 "$PTQ" kick tasks -n 1
    out_is 1
    expect 0 "$PTQ" get tasks --all --timeout 0
    out_is two alive
    expect 0 "$PTQ" kick 'tasks!dead' --quiet
    out_is_empty
    expect 0 "$PTQ" get tasks --timeout 0
    out_is three
    expect 4 "$PTQ" get 'tasks!dead' --timeout 0
    expect 0 "$PTQ" verify tasks
}

case_the_view_of_dead_letters_takes_nothing_in() {
    expect 3 "$PTQ" get 'tasks!dead'
    err_has 'ptq create tasks'
    expect 0 "$PTQ" create tasks --max-deliveries 1
    expect 2 "$PTQ" put 'tasks!dead' x
    err_has 'put into the queue itself'
    expect 2 "$PTQ" end 'tasks!dead'
    bury one
    bury two
    expect 0 "$PTQ" purge 'tasks!dead'
    out_is 2
    expect 3 "$PTQ" kick nothing
    expect 2 "$PTQ" get 'tasks!living'
}

case_beyond_max_dead_the_oldest_goes() {
    expect 0 "$PTQ" create tasks --max-deliveries 1 --max-dead 1
    bury one
    bury two
    expect 0 "$PTQ" peek 'tasks!dead' --all
    out_is two
    expect 0 "$PTQ" stats tasks dead dropped
    out_is 1 1
}

run_cases
