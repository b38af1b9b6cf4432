#!/bin/sh
# packages.sh SOURCE BUILD CC -- the Debian packages: the same bytes twice, nothing for lintian to say; installed into a root of their
# own they serve, a program builds with them, and when they are purged nothing is left there.  No root is needed.
. "$(dirname "$0")/lib.sh"
source=$1
build=$2
cc=$3
PATH=$PATH:/usr/sbin:/sbin
need cpack dpkg dpkg-shlibdeps fakeroot lintian pkg-config systemd-sysusers deb-systemd-helper
umask 022 # CPack writes it into the packages
unset SOURCE_DATE_EPOCH PTQ_PEERS PTQ_NODE PTQ_KEYS

# make_packages FOLDER
make_packages() {
    cpack --config "$build/CPackConfig.cmake" -B "$work/$1" >"$work/$1.log" 2>&1 || { tail -20 "$work/$1.log"; fail "cpack"; }
}
make_packages packages
(TZ=Asia/Tokyo LC_ALL=C; export TZ LC_ALL; make_packages again) || exit 1
count=0
for package in "$work"/packages/*.deb; do
    cmp "$package" "$work/again/$(basename "$package")" || fail "not the same bytes when made again"
    count=$((count + 1))
done
[ $count -eq 4 ] || fail "$count packages: $(ls "$work/packages")"
rm -rf "$work/again" "$work/packages/_CPack_Packages"

lintian --allow-root --no-cfg --fail-on error,warning --tag-display-limit 0 "$work"/packages/*.deb >"$work/lintian" 2>&1 &
lintian=$!

# A root with dpkg's books: what is installed here of what the packages depend on, as a system of /usr alone has it.
root=$work/root
books=$root/var/lib/dpkg
mkdir -p "$books/info" "$books/updates" "$books/triggers" "$root/usr/lib" "$root/etc/systemd/system" "$root/var/lib/systemd" "$root/dev/shm"
ln -s usr/lib "$root/lib"
(cd "$root/etc" && touch passwd passwd- group group- shadow shadow- gshadow gshadow- .pwd.lock) && touch "$books/available"
for package in "$work"/packages/*.deb; do
    dpkg-deb -f "$package" Depends
done | tr ',|' '\n\n' | sed 's/^ *//; s/[ (:].*//' | LC_ALL=C sort -u | grep -v ptq | while read -r needed; do
    dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "$needed" 2>/dev/null | sed -n 's/^installed //p'
done | while read -r here; do
    dpkg-query -s "$here" && echo
    : >"$books/info/$here.list"
done >"$books/status"
as_root() { fakeroot -s "$work/owners" -i "$work/owners" "$@"; }
: >"$work/owners"
install_them() {
    as_root dpkg --root="$root" --force-not-root --force-script-chrootless --log=/dev/null "$@" >"$work/dpkg" 2>&1 ||
        { cat "$work/dpkg"; fail "dpkg $1"; }
}
left() { (cd "$root" && find . ! -path './var/lib/dpkg/*' | LC_ALL=C sort); }
left >"$work/before"

install_them -i "$work"/packages/*.deb
[ "$(dpkg-query --admindir="$books" -W -f '${Package} ${Status}\n' '*ptq*' | grep -c 'install ok installed')" -eq 4 ] ||
    fail "not all are installed"
dpkg --root="$root" --audit libptq0 libptq-dev ptq-tools ptq-bridge >"$work/out"
[ ! -s "$work/out" ] || { cat "$work/out"; fail "dpkg --audit complains"; }
grep -q '^ptq:' "$root/etc/passwd" || fail "there is no user ptq"
[ "$(as_root stat -c %a "$root/dev/shm/ptq")" = 2770 ] || fail "there is no folder for the buses"
enabled=$root/etc/systemd/system/multi-user.target.wants/ptqbridge.service
[ -L "$enabled" ] || fail "the unit is not enabled"
grep -q '^ExecStart=/usr/bin/ptqbridge ' "$root/usr/lib/systemd/system/ptqbridge.service" || fail "the unit starts something else"

# An upgrade leaves what the administrator has disabled.
rm "$enabled"
install_them -i "$work"/packages/ptq-bridge_*.deb
[ ! -e "$enabled" ] && [ ! -L "$enabled" ] || fail "an upgrade enables the unit again"

# It serves: a queue through the bridge, with the library of this root.
libraries=$(dirname "$(find "$root" -name 'libptq.so.0')")
export LD_LIBRARY_PATH="$libraries" PTQ_DIR="$work/bus"
bin=$root/usr/bin
mkdir -m 700 "$work/bus" "$work/far"
ldd "$bin/ptq" | grep -q "libptq.so.0 => $libraries/" || fail "ptq finds another library"
"$bin/ptqbridge" --config "$root/usr/share/doc/ptq-bridge/examples/ptq-bridge.conf.example" --check >"$work/out" 2>&1 ||
    { cat "$work/out"; fail "the example of a configuration is wrong"; }
"$bin/ptq" create tasks >/dev/null || fail "ptq create"
"$bin/ptqbridge" --listen "ipc://$work/home.sock" >"$work/bridge" 2>&1 &
bridge=$!
trap 'kill "$bridge" 2>/dev/null; rm -rf "$work"' EXIT
tries=0
until grep -qs 'listening' "$work/bridge"; do
    kill -0 "$bridge" && [ $tries -lt 600 ] || { cat "$work/bridge"; fail "the bridge does not listen"; }
    tries=$((tries + 1))
    sleep 0.05
done
PTQ_DIR=$work/far "$bin/ptq" put --peers "home=ipc://$work/home.sock" --timeout 30000 tasks@home hello ||
    { cat "$work/bridge"; fail "ptq put through the bridge"; }
[ "$("$bin/ptq" get -F raw tasks)" = hello ] || fail "ptq get"
kill -TERM "$bridge" && wait "$bridge" || fail "the bridge ended with $?"
"$bin/ptq" rm tasks >/dev/null || fail "ptq rm"
"$bin/ptqtop" --once >"$work/out" || fail "ptqtop"
for script in "$root"/usr/share/bash-completion/completions/*; do
    bash -n "$script" || fail "$script is no script"
done

# A program builds with it, shared and static.
pc=$libraries/pkgconfig
for how in "" --static; do
    # shellcheck disable=SC2046 # words are wanted
    "$cc" "$root/usr/share/doc/libptq-dev/examples/workers.c" ${how:+-static} \
        $(PKG_CONFIG_PATH=$pc pkg-config $how --cflags --libs ptq) -o "$work/workers" 2>"$work/log" ||
        { cat "$work/log"; fail "an example does not build with pkg-config $how"; }
    [ "$("$work/workers")" = "100 squares, sum 328350, 1 redelivered" ] || fail "the example does not run: pkg-config $how"
done
unset LD_LIBRARY_PATH

install_them --remove libptq-dev libptq0 ptq-tools ptq-bridge
[ ! -e "$bin" ] && [ ! -e "$libraries" ] || fail "files are left when the packages are removed"
install_them --purge libptq-dev libptq0 ptq-tools ptq-bridge
left | LC_ALL=C comm -13 "$work/before" - >"$work/remains"
[ ! -s "$work/remains" ] || { cat "$work/remains"; fail "these are left when the packages are purged"; }
find "$books/info" -name '*ptq*' | grep . && fail "dpkg's books still have these"

wait "$lintian" || { status=$?; cat "$work/lintian"; fail "lintian exited with $status"; }
say "4 packages, the same bytes twice, installed, used, and nothing left"
