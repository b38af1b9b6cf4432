#!/bin/sh
# installed.sh SOURCE BUILD CC -- the installed tree builds a program by find_package and by pkg-config, each with the shared and
# with the static library, also after it was moved, to a path with a space; and its tools run.
. "$(dirname "$0")/lib.sh"
source=$1
build=$2
cc=$3
need cmake pkg-config nm
expected="100 squares, sum 328350, 1 redelivered"
mkdir "$work/bus"
chmod 700 "$work/bus"
export PTQ_DIR="$work/bus"

expect() {
    output=$("$@") || fail "$* exited with $?"
    [ "$output" = "$expected" ] || fail "$* printed '$output', not '$expected'"
}

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; fail "cmake --install"; }
prefix="$work/moved to here"
mv "$work/prefix" "$prefix"
libraries=$(dirname "$(find "$prefix" -name libptq.so.0)")
pb=
[ -f "$prefix/include/ptq/pb.h" ] && command -v protoc-c >/dev/null && pb=pb

# The static library shows what is public, and nothing else.
nm --defined-only --extern-only "$libraries/libptq.a" | awk 'NF == 3 { print $3 }' >"$work/shown"
[ "$(grep -c '^ptq_' "$work/shown")" -ge 40 ] || fail "libptq.a has only $(grep -c '^ptq_' "$work/shown") calls: is this test blind?"
grep -v '^ptq_\|^_GLOBAL_OFFSET_TABLE_$' "$work/shown" && fail "libptq.a shows these beside ptq_*"

examples=$source/docs/examples
mkdir "$work/by find_package"
cat >"$work/by find_package/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(user LANGUAGES C)
find_package(ptq REQUIRED COMPONENTS static OPTIONAL_COMPONENTS pb)
add_executable(shared "$examples/workers.c")
target_link_libraries(shared PRIVATE ptq::ptq)
add_executable(static "$examples/workers.c")
target_link_libraries(static PRIVATE ptq::ptq_static)
if(ptq_pb_FOUND)
    add_custom_command(OUTPUT reading.pb-c.c reading.pb-c.h VERBATIM
        COMMAND protoc-c "--c_out=\${CMAKE_CURRENT_BINARY_DIR}" "--proto_path=$examples/typed" "$examples/typed/reading.proto")
    foreach(how ptq ptq_static)
        add_executable(readings_\${how} "$examples/typed/readings.c" "\${CMAKE_CURRENT_BINARY_DIR}/reading.pb-c.c")
        target_include_directories(readings_\${how} PRIVATE "\${CMAKE_CURRENT_BINARY_DIR}")
        target_link_libraries(readings_\${how} PRIVATE ptq::\${how} ptq::pb)
    endforeach()
endif()
END
built="$work/by find_package/build"
cmake -S "$work/by find_package" -B "$built" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" >"$work/log" 2>&1 &&
    cmake --build "$built" >>"$work/log" 2>&1 || { cat "$work/log"; fail "an example does not build by find_package"; }
expect "$built/shared"
expect "$built/static"
ldd "$built/shared" | grep -q "libptq.so.0 => $libraries/" || fail "find_package's ptq::ptq is another library"
ldd "$built/static" | grep 'libptq' && fail "find_package's ptq::ptq_static is not static"
for how in ${pb:+ptq ptq_static}; do
    output=$("$built/readings_$how") || fail "readings_$how exited with $?"
    [ "$output" = "1000 readings of boiler, mean 62.45" ] || fail "readings_$how printed '$output'"
done

PKG_CONFIG_PATH=$libraries/pkgconfig
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion ptq)" = "$(sed -n 's/.*PTQ_VERSION "\(.*\)"/\1/p' "$prefix/include/ptq/version.h")" ] ||
    fail "ptq.pc and version.h differ"
[ -z "$pb" ] || protoc-c --c_out="$work" --proto_path="$examples/typed" "$examples/typed/reading.proto" || fail "protoc-c"
# compile PACKAGE PROGRAM FILE...: by pkg-config, whose words are for a shell; with $how.
compile() {
    package=$1 program=$2
    shift 2
    eval '"$cc" ${how:+-static} -I"$work" "$@"' "$(pkg-config $how --cflags --libs "$package")" '-o "$program" 2>"$work/log"' ||
        { cat "$work/log"; fail "$program does not build by pkg-config $how"; }
}
for how in "" --static; do
    compile ptq "$work/by pkg_config$how" "$examples/workers.c"
    LD_LIBRARY_PATH=$libraries expect "$work/by pkg_config$how"
    [ -z "$pb" ] || compile ptq-pb "$work/readings$how" "$examples/typed/readings.c" "$work/reading.pb-c.c"
done

for program in "$prefix"/bin/*; do
    [ -x "$program" ] || continue
    "$program" --help >"$work/help" 2>&1 || fail "$program --help exited with $?"
    [ -s "$work/help" ] || fail "$program --help is silent"
done
unit=$prefix/lib/systemd/system/ptqbridge.service
if [ -f "$unit" ]; then
    grep -qxF "ExecStart=$work/prefix/bin/ptqbridge --config /etc/ptq/ptq-bridge.conf --log-format journal" "$unit" ||
        fail "the unit does not start the program of where it was installed"
fi
find "$work/bus" -name '*~*' | grep . && fail "these were left in the bus"
say "by find_package, by pkg-config, shared and static, and $(ls "$prefix/bin" 2>/dev/null | wc -l) programs"
