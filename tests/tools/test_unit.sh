#!/bin/bash
# test_unit.sh PTQ PTQTOP MAN PTQBRIDGE -- the files for systemd: they are right, and what they forbid is not needed.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
PTQBRIDGE=$4 sources=$(cd "$(dirname "$0")/../.." && pwd)/bridges/ptqbridge

has() {
    command -v "$1" >/dev/null || { echo "  skipped: no $1"; return 1; }
}

# As it is installed, with the program that was built.
make_unit() {
    sed "s,^ExecStart=[^ ]*,ExecStart=\"$PTQBRIDGE\"," "$sources/ptqbridge.service.in" >"$work/ptqbridge.service"
}

case_systemd_understands_the_unit() {
    has systemd-analyze || return 0
    make_unit
    expect 0 systemd-analyze verify --man=no "$work/ptqbridge.service"
    nothing_said
    out_is_empty
}

case_the_unit_is_a_sandbox() {
    has systemd-analyze || return 0
    systemd-analyze security --help 2>&1 | grep -q -- --offline || { echo "  skipped: systemd is older"; return 0; }
    make_unit
    expect 0 systemd-analyze security --offline=true --threshold=30 "$work/ptqbridge.service"
    ! grep -q '^\(PrivateIPC\|PrivateUsers\|ProtectProc\)=' "$sources/ptqbridge.service.in" || fail "it parts the bridge from programs"
}

# unit_says KEY: the value in the unit.
unit_says() {
    sed -n "s,^$1=,,p" "$sources/ptqbridge.service.in"
}

# What `systemctl reload` does, done here by the shell.
case_the_unit_reloads() {
    command=$(unit_says ExecReload)
    [ -n "$command" ] || fail "systemctl reload would be refused"
    printf '[listen a]\nurl = ipc://%s/home.sock\n' "$work" >"$work/conf"
    start home "$PTQBRIDGE" --config "$work/conf" --log-format journal
    wait_for grep -qs event=listening "$work/home.err"
    expect 0 env MAINPID="$pid" sh -c "$command"
    wait_for grep -qs event=reloaded "$work/home.err"
    kill -TERM "$pid"
    finish "$pid" 0
}

# core_soft PID: in bytes, as the kernel has it.
core_soft() {
    sed -n 's/^Max core file size  *\([^ ]*\).*/\1/p' "/proc/$1/limits"
}

# With the limits of the unit, and without rights to raise them: no file, and nothing for a program that core_pattern names.
case_with_keys_it_leaves_no_core_under_the_unit() {
    has setpriv && has prlimit || return 0
    limit=$(unit_says LimitCORE) drop=()
    [ "$(id -u)" != 0 ] || drop=(setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource)
    expect 0 "$PTQBRIDGE" keygen "$work/keys" home
    start home prlimit "--core=$limit:$limit" "${drop[@]}" "$PTQBRIDGE" --keys "$work/keys/home" --listen "ipc://$work/home.sock"
    wait_for grep -qs "listening on" "$work/home.err"
    [ "$(core_soft "$pid")" = 1 ] || fail "its limit is $(core_soft "$pid")"
    ! grep -q core_not_prevented "$work/home.err" || fail "it could not set its limit"
    kill -TERM "$pid"
    finish "$pid" 0
}

case_the_user_and_the_folder_can_be_made() {
    has systemd-sysusers || return 0
    mkdir -p "$work/root/etc" "$work/root/dev/shm"
    expect 0 systemd-sysusers --root="$work/root" "$sources/ptqbridge.sysusers"
    grep -q '^ptq:' "$work/root/etc/passwd" || fail "no user"
    grep -q '^ptq:' "$work/root/etc/group" || fail "no group"
    has systemd-tmpfiles || return 0
    if [ "$(id -u)" = 0 ]; then
        expect 0 systemd-tmpfiles --root="$work/root" --create "$sources/ptqbridge.tmpfiles"
        [ "$(stat -c %a "$work/root/dev/shm/ptq")" = 2770 ] || fail "the folder is $(stat -c %a "$work/root/dev/shm/ptq")"
    fi
}

# group NAME: the system calls of one of systemd's groups, with those of the groups in it.
group() {
    systemd-analyze syscall-filter "$1" 2>/dev/null | sed -n 's/^ *\([a-z0-9_@-]*\)$/\1/p' | while read -r word; do
        case $word in
        @*) [ "$word" = "$1" ] || group "$word" ;;
        *) echo "$word" ;;
        esac
    done
}

case_no_system_call_is_made_that_the_unit_forbids() {
    has systemd-analyze && has strace || return 0
    nm "$PTQBRIDGE" 2>/dev/null | grep -q __asan_init && { echo "  skipped: a sanitizer is in it"; return 0; }
    group @system-service | sort -u >"$work/allowed"
    [ "$(wc -l <"$work/allowed")" -gt 200 ] || fail "the group is short"
    start home strace -f -qq -o "$work/calls" "$PTQBRIDGE" --listen "ipc://$work/home.sock" --listen tcp://127.0.0.1:0 --log-format journal
    home=$pid
    wait_for test -s "$work/calls"
    bridge=$(head -1 "$work/calls" | cut -d' ' -f1)
    children+=("$bridge") # it would outlive strace
    wait_for grep -qs listening "$work/home.err"
    far=(--dir "$work/far" --peers "home=ipc://$work/home.sock")
    expect 0 "$PTQ" create tasks
    seq 100 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put "${far[@]}" --line tasks@home
    expect 0 "$PTQ" get "${far[@]}" tasks@home --count 100 --timeout 20000
    expect 0 "$PTQ" put "${far[@]}" --create more@home x
    kill -TERM "$bridge"
    finish "$home" 0
    sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$work/calls" | sort -u >"$work/made"
    [ "$(wc -l <"$work/made")" -gt 30 ] || fail "few calls were seen"
    comm -23 "$work/made" "$work/allowed" >"$work/out"
    out_is_empty
}

run_cases
