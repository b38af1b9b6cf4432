#!/bin/sh
# installed.sh SOURCE BUILD CC -- the installed tree builds a program by find_package and by pkg-config, and its tools run.
. "$(dirname "$0")/lib.sh"
source=$1
build=$2
cc=$3
need cmake pkg-config
expected="100 squares, sum 328350, 1 redelivered"
prefix=$work/prefix
mkdir "$work/bus"
chmod 700 "$work/bus"
export PTQ_DIR="$work/bus"

expect() {
    output=$("$@") || fail "$* exited with $?"
    [ "$output" = "$expected" ] || fail "$* printed '$output', not '$expected'"
}

cmake --install "$build" --prefix "$prefix" >"$work/log" 2>&1 || { cat "$work/log"; fail "cmake --install"; }
mv "$prefix" "$work/moved"
prefix=$work/moved

cmake -S "$source/docs/examples" -B "$work/by find_package" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    >"$work/log" 2>&1 && cmake --build "$work/by find_package" >>"$work/log" 2>&1 ||
    { cat "$work/log"; fail "an example does not build by find_package"; }
expect "$work/by find_package/workers"

if [ -f "$prefix/include/ptq/pb.h" ] && command -v protoc-c >/dev/null; then
    output=$("$work/by find_package/readings") || fail "readings exited with $?"
    [ "$output" = "1000 readings of boiler, mean 62.45" ] || fail "readings printed '$output'"
fi

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ptq.pc)")
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion ptq)" = "$(sed -n 's/.*PTQ_VERSION "\(.*\)"/\1/p' "$prefix/include/ptq/version.h")" ] ||
    fail "ptq.pc and version.h differ"
# shellcheck disable=SC2046 # words are wanted
"$cc" "$source/docs/examples/workers.c" $(pkg-config --cflags --libs ptq) -o "$work/by_pkg_config" ||
    fail "an example does not build by pkg-config"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir ptq) expect "$work/by_pkg_config"
if [ -f "$prefix/include/ptq/pb.h" ] && command -v protoc-c >/dev/null; then
    protoc-c --c_out="$work" --proto_path="$source/docs/examples/typed" "$source/docs/examples/typed/reading.proto" &&
        # shellcheck disable=SC2046 # words are wanted
        "$cc" -I"$work" "$source/docs/examples/typed/readings.c" "$work/reading.pb-c.c" $(pkg-config --cflags --libs ptq-pb) \
            -o "$work/readings" || fail "the example of typed messages does not build by pkg-config"
fi

for program in "$prefix"/bin/*; do
    [ -x "$program" ] || continue
    "$program" --help >"$work/help" 2>&1 || fail "$program --help exited with $?"
    [ -s "$work/help" ] || fail "$program --help is silent"
done
find "$work/bus" -name '*~*' | grep . && fail "these were left in the bus"
say "by find_package, by pkg-config, and $(ls "$prefix/bin" 2>/dev/null | wc -l) programs"
