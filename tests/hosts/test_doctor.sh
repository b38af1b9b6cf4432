#!/bin/bash
# test_doctor.sh -- ptq doctor names each trap, and says of a pair of processes why it is or is not on shared memory.
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: mounts, namespaces and other users need root"
    exit 77
fi
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/../tools/lib.sh"
chmod 0711 "$scratch"

# apart SCRIPT: in a mount namespace of its own; $work, $PTQ and the bus are there.
apart() {
    work=$work unshare --mount --propagation private bash -c "$1"
}

# says WORD...: one line of standard output has all of them.
says() {
    local word lines
    lines=$(cat "$work/out")
    for word in "$@"; do
        lines=$(grep -F -- "$word" <<<"$lines") || fail "no line says all of: $*"
    done
}

case_a_sound_bus_is_well() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" doctor
    says "ok" "queues" "1 looked at"
    says "ok" "tmpfs"
    grep -q MEND "$work/out" && fail "something is to be mended"
    expect 0 "$PTQ" doctor --quiet
    out_is_empty
    expect 0 "$PTQ" doctor --json
    json_is '.v == 1 and .well and .mend == 0 and (.findings | length) > 8'
    json_is '[.findings[].check] | contains(["version", "directory", "space", "files", "queues", "removeipc", "limits", "inotify",
        "cgroup", "kernel"])'
    nothing_said
}

case_it_makes_nothing() {
    expect 0 "$PTQ" doctor
    says "does not exist yet"
    [ ! -e "$PTQ_DIR" ] || fail "it made the directory"
}

case_a_wrong_call_is_misuse() {
    expect 2 "$PTQ" doctor 1
    expect 2 "$PTQ" doctor 1 x
    expect 2 "$PTQ" doctor 1 2 3
    expect 1 "$PTQ" doctor $$ 4194999
    err_has "no such process"
}

# ---- the place

case_a_missing_parent_is_named() {
    expect 1 env PTQ_DIR="$work/no/such" "$PTQ" doctor
    says MEND directory "$work/no/such" "neither does" "make it, or set PTQ_DIR"
}

case_an_open_directory_is_named() {
    expect 0 "$PTQ" create tasks
    chmod 0755 "$PTQ_DIR"
    expect 1 "$PTQ" doctor
    says MEND directory "open to everybody" "chmod"
}

case_a_link_is_named() {
    mkdir -m 0700 "$work/real" "$work/real/test"
    ln -s real "$PTQ_DIR"
    expect 1 "$PTQ" doctor
    says MEND directory "link"
}

case_a_container_s_small_shm_is_named() {
    expect 1 apart 'mount -t tmpfs -o size=64m,mode=0700 none /mnt && PTQ_DIR=/mnt/bus exec "$PTQ" doctor'
    says MEND space "64M" "--shm-size"
}

case_a_full_file_system_is_named() {
    expect 1 apart 'mount -t tmpfs -o size=80m,mode=0700 none /mnt && head -c 75M /dev/zero >/mnt/ballast &&
        PTQ_DIR=/mnt/bus exec "$PTQ" doctor'
    says MEND space "5.0M of 80M" "PTQ_ENOSPC"
}

case_too_few_inodes_are_named() {
    expect 1 apart 'mount -t tmpfs -o size=80m,nr_inodes=8,mode=0700 none /mnt && PTQ_DIR=/mnt/bus exec "$PTQ" doctor'
    says MEND space "inodes" "nr_inodes"
}

case_a_read_only_mount_is_named() {
    expect 0 "$PTQ" create tasks
    expect 1 apart 'mount --bind "$PTQ_DIR" "$PTQ_DIR" && mount -o remount,bind,ro "$PTQ_DIR" && exec "$PTQ" doctor'
    says MEND mount "read-only" "mount it writable"
}

case_an_overlay_is_told() {
    apart 'mount -t tmpfs none /mnt && cd /mnt && mkdir a b c d && mount -t overlay none d -o lowerdir=a,upperdir=b,workdir=c' ||
        return 0 # none here
    expect 0 apart 'mount -t tmpfs none /mnt && cd /mnt && mkdir a b c d &&
        mount -t overlay none d -o lowerdir=a,upperdir=b,workdir=c && PTQ_DIR=/mnt/d/bus exec "$PTQ" doctor'
    says note mount overlayfs "one volume"
}

case_queues_that_may_outgrow_their_place_are_named() {
    expect 1 apart 'mount -t tmpfs -o size=100m,mode=0700 none /mnt && export PTQ_DIR=/mnt/bus &&
        "$PTQ" create large --item-size 1M --capacity 1000 && exec "$PTQ" doctor'
    says MEND space "PTQ_ENOSPC" "--prefault"
}

# ---- the queues

case_damage_is_named() {
    expect 0 "$PTQ" create tasks
    printf garbage | dd of="$(echo "$PTQ_DIR"/test/tasks~v*)" conv=notrunc bs=1 seek=100 2>/dev/null
    expect 1 "$PTQ" doctor
    says MEND queues "'tasks'" "damaged" "ptq rm"
}

case_another_layout_is_named() {
    expect 0 "$PTQ" create tasks
    cp "$(echo "$PTQ_DIR"/test/tasks~v*)" "$PTQ_DIR/test/old~v1"
    expect 1 "$PTQ" doctor
    says MEND queues "'old'" "layout 1" "ptq rm --force"
}

case_a_half_made_file_is_named_and_gc_removes_it() {
    expect 0 "$PTQ" create tasks
    : >"$PTQ_DIR/test/tasks~new.0123456789abcdef"
    expect 1 "$PTQ" doctor
    says MEND leftovers "tasks~new.0123456789abcdef" "ptq gc"
    expect 0 "$PTQ" gc
    expect 0 "$PTQ" doctor
}

case_a_hostile_name_cannot_write_to_the_terminal() {
    expect 0 "$PTQ" create tasks
    : >"$PTQ_DIR/test/x"$'\033[2J'"~new.1"
    expect 1 "$PTQ" doctor
    says MEND leftovers '\x1b[2J'
    grep -q $'\033' "$work/out" && fail "an escape sequence came through"
    true
}

case_the_dead_are_named_and_gc_recovers_them() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" put tasks work
    start holder "$PTQ" get tasks --exec "echo held; sleep 60"
    wait_for has_line "$work/holder.out" held
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    expect 1 "$PTQ" doctor
    says MEND queues "dead processes" tasks "ptq gc"
    expect 0 "$PTQ" gc
    expect 0 "$PTQ" doctor
    says note queues "nobody has open" tasks
}

case_too_few_endpoints_are_named() {
    expect 0 "$PTQ" create tasks --max-endpoints 1
    start sleeper "$PTQ" get tasks --timeout forever
    wait_for figure_is tasks endpoints 1
    expect 1 "$PTQ" doctor
    says MEND queues "endpoints" tasks "--max-endpoints"
}

# ---- the host

case_small_limits_are_named() {
    expect 1 bash -c 'ulimit -n 100; exec "$PTQ" doctor'
    says MEND limits "100 descriptors" "ulimit -n"
    expect 1 bash -c 'ulimit -f 64; exec "$PTQ" doctor'
    says MEND limits "64K bytes in a file" "ulimit -f"
    bash -c 'ulimit -v 200000; exec "$PTQ" version' >/dev/null 2>&1 || return 0 # a sanitizer's address space cannot be limited
    expect 1 bash -c 'ulimit -v 200000; exec "$PTQ" doctor'
    says MEND limits "address space" "ulimit -v"
}

as_user='exec setpriv --reuid 61234 --regid 61234 --clear-groups "$PTQ" doctor'

case_remove_ipc_is_named() {
    local systemd='mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount -t tmpfs none /etc && mkdir -p /etc/systemd'
    expect 1 apart "$systemd && unset PTQ_DIR && $as_user"
    says MEND removeipc "user 61234" "RemoveIPC=no" "enable-linger"
    expect 0 apart "$systemd/logind.conf.d && echo RemoveIPC=no >/etc/systemd/logind.conf.d/x.conf && unset PTQ_DIR && $as_user"
    says ok removeipc "RemoveIPC=no"
    expect 1 apart "$systemd/logind.conf.d && echo RemoveIPC=no >/etc/systemd/logind.conf &&
        echo 'RemoveIPC=yes' >/etc/systemd/logind.conf.d/x.conf && unset PTQ_DIR && $as_user"
    says MEND removeipc
    expect 0 apart "$systemd && exec \"\$PTQ\" doctor"
    says ok removeipc "a system user"
}

case_spent_inotify_instances_are_named() {
    unshare --user --map-root-user true 2>/dev/null || return 0
    expect 1 unshare --user --map-root-user bash -c 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$PTQ" doctor'
    says MEND inotify "no more instances" "max_user_instances"
}

case_a_small_control_group_is_named() {
    local group=/sys/fs/cgroup/memory/ptq-test.$$ limit=memory.limit_in_bytes
    [ -d /sys/fs/cgroup/memory ] || { group=/sys/fs/cgroup/ptq-test.$$ limit=memory.max; }
    mkdir "$group" 2>/dev/null || { echo "  no control group can be made here"; return 0; }
    if echo 200M >"$group/$limit" 2>/dev/null; then
        expect 0 "$PTQ" create large --item-size 1M --capacity 1000
        expect 1 bash -c "echo \$\$ >$group/cgroup.procs && exec \"\$PTQ\" doctor"
        says MEND cgroup "200M" "the kernel kills" "--memory"
    else
        echo "  no control group with a limit of memory can be made here"
    fi
    rmdir "$group"
}

case_another_clock_is_told() {
    unshare --time --monotonic 1000 --fork true 2>/dev/null || return 0
    expect 0 unshare --time --monotonic 1000 --fork "$PTQ" doctor
    says note clock "1000 s"
}

# ---- pairs

# sleeper NAME COMMAND...: one that waits for a message; $pid is its process.
sleeper() {
    local name=$1
    shift
    start "$name" "$@"
    wait_for maps_a_queue "$pid"
}

maps_a_queue() {
    grep -q '~v[0-9]' "/proc/$1/maps" 2>/dev/null
}

case_two_that_share_a_queue_are_told_so() {
    expect 0 "$PTQ" create tasks
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    sleeper two "$PTQ" get tasks --timeout forever
    expect 0 "$PTQ" doctor "$one" "$pid"
    says "$one" "$pid" "both have queue 'tasks' mapped"
    expect 0 "$PTQ" doctor "$one" "$pid" --json
    json_is '.shared and .queues == ["tasks"] and (.reasons | length) == 1'
}

case_two_with_other_queues_are_told_that_they_could() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" create other
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    sleeper two "$PTQ" get other --timeout forever
    expect 1 "$PTQ" doctor "$one" "$pid"
    says "share no queue"
    says "$one" "has open: 'tasks'"
    says "same directory"
}

case_two_runs_and_two_directories_are_told() {
    expect 0 "$PTQ" create tasks
    expect 0 "$PTQ" --run night create tasks
    expect 0 "$PTQ" --dir "$work/elsewhere" create tasks
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    sleeper two env PTQ_RUN=night "$PTQ" get tasks --timeout forever
    expect 1 "$PTQ" doctor "$one" "$pid"
    says "Both have a queue 'tasks'" "two files"
    says "Their runs differ" "PTQ_RUN"
    sleeper three env PTQ_DIR="$work/elsewhere" "$PTQ" get tasks --timeout forever
    expect 1 "$PTQ" doctor "$one" "$pid" --json
    json_is '(.shared | not) and ([.reasons[] | select(contains("Their directories differ"))] | length) == 1'
}

case_two_containers_with_their_own_shm_are_told() {
    expect 0 "$PTQ" create tasks
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    sleeper two unshare --mount --propagation private bash -c 'mount -t tmpfs none /dev/shm && mkdir -p "$(dirname "$PTQ_DIR")" &&
        "$PTQ" create tasks && exec "$PTQ" get tasks --timeout forever'
    expect 1 "$PTQ" doctor "$one" "$pid"
    says "different mount namespaces" "one volume"
    says "two files"
}

case_two_containers_with_one_volume_are_told_that_they_share() {
    expect 0 "$PTQ" create tasks
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid inner
    start two unshare --mount --pid --fork --kill-child --propagation private bash -c 'mount -t tmpfs none /mnt && mkdir /mnt/v &&
        mount --bind "$PTQ_DIR" /mnt/v && mount -t tmpfs none /dev/shm && mount -t proc proc /proc &&
        PTQ_DIR=/mnt/v exec "$PTQ" get tasks --timeout forever'
    child_maps_a_queue() {
        inner=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
        inner=${inner%% *}
        [ -n "$inner" ] && maps_a_queue "$inner"
    }
    wait_for child_maps_a_queue
    expect 0 "$PTQ" doctor "$one" "$inner"
    says "both have queue 'tasks' mapped"
}

case_a_queue_removed_under_one_is_told() {
    expect 0 "$PTQ" create tasks
    # stopped: it cannot notice
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    kill -STOP "$one"
    wait_for is_stopped "$one"
    rm "$PTQ_DIR"/test/tasks~v*
    expect 0 "$PTQ" create tasks
    sleeper two "$PTQ" get tasks --timeout forever
    expect 1 "$PTQ" doctor "$one" "$pid"
    says "The file of $one was removed" "open it again"
}

case_another_user_is_told() {
    expect 0 "$PTQ" create tasks
    sleeper one "$PTQ" get tasks --timeout forever
    local one=$pid
    start two setpriv --reuid 61236 --regid 61236 --clear-groups sleep 60
    local two=$pid
    has_user() { grep -q '^Uid:.61236' "/proc/$1/status"; }
    wait_for has_user "$two"
    expect 1 "$PTQ" doctor "$one" "$two"
    says "$two" "has no queue of this host open"
    says "user 0" "61236" "chmod 2770" "--group"
    expect 6 setpriv --reuid 61236 --regid 61236 --clear-groups "$PTQ" doctor "$one" "$two"
    err_has "belongs to user 0"
}

run_cases
