# ptq_tests -- how a test is added.
#
#   ptq_add_test(NAME os_watch SOURCES test_watch.c LABELS quick TIMEOUT 20)
#       A program of cmocka cases, linked with the library's internals (ptq_test) and tests/support; one ctest entry.
#       SHARED: link the shared library instead.  LIBS, DEFINITIONS, ARGS (for its command line), SERIAL (runs alone).
#   ptq_add_script_test(NAME floors COMMAND ${PROJECT_SOURCE_DIR}/tools/dev/floors LABELS quick TIMEOUT 20)
#   ptq_add_test_program(NAME helper SOURCES ...): a program that tests run, no ctest entry.
#
# Labels.  The folder under tests/ (unit, contract, crash, ...) is one by itself.  quick: under five seconds, runs at each
# landing.  soak, long: not in the normal run.  A test that answers 77 was skipped and says why.
#
# ctest begins with what took longest the last time.  Those that take ten seconds or more tell it for the first time:
#   ptq_begin_early(crash_recover 50)
function(ptq_test_properties name timeout serial)
    file(RELATIVE_PATH place ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
    string(REGEX REPLACE "/.*" "" area "${place}")
    if(area STREQUAL "quickstart") # `ctest -L quick` would take it for quick
        set(area main_job)
    endif()
    if(NOT timeout)
        set(timeout 60)
    endif()
    if(PTQ_SANITIZE MATCHES "thread") # ten times slower where it counts blocks
        math(EXPR timeout "3 * ${timeout}")
    endif()
    if(PTQ_SANITIZE)
        list(APPEND ARGN sanitized)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} LABELS "${area};${ARGN}" SKIP_RETURN_CODE 77
        RUN_SERIAL ${serial}
        ENVIRONMENT "ASAN_OPTIONS=detect_leaks=1:abort_on_error=0;UBSAN_OPTIONS=print_stacktrace=1;TSAN_OPTIONS=halt_on_error=1:suppressions='${PROJECT_SOURCE_DIR}/tests/support/tsan.supp'")
endfunction()

function(ptq_begin_early name seconds)
    set_tests_properties(${name} PROPERTIES COST ${seconds})
endfunction()

function(ptq_add_test_program)
    cmake_parse_arguments(arg "SHARED" "NAME" "SOURCES;LIBS;DEFINITIONS" ${ARGN})
    add_executable(${arg_NAME} ${arg_SOURCES})
    if(arg_SHARED)
        target_link_libraries(${arg_NAME} PRIVATE ptq ptq_flags ${arg_LIBS})
    else()
        target_link_libraries(${arg_NAME} PRIVATE ptt_support ptq_test ptq_flags ${arg_LIBS})
    endif()
    target_compile_definitions(${arg_NAME} PRIVATE ${arg_DEFINITIONS})
    set_target_properties(${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

function(ptq_add_test)
    cmake_parse_arguments(arg "SHARED;SERIAL" "NAME;TIMEOUT" "SOURCES;LIBS;DEFINITIONS;LABELS;ARGS" ${ARGN})
    set(shared "")
    if(arg_SHARED)
        set(shared SHARED)
        list(APPEND arg_LIBS ptt_cmocka)
    endif()
    ptq_add_test_program(NAME ${arg_NAME} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS} DEFINITIONS ${arg_DEFINITIONS} ${shared})
    add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} ${arg_ARGS})
    ptq_test_properties(${arg_NAME} "${arg_TIMEOUT}" ${arg_SERIAL} ${arg_LABELS})
endfunction()

function(ptq_add_script_test)
    cmake_parse_arguments(arg "SERIAL" "NAME;TIMEOUT" "COMMAND;LABELS" ${ARGN})
    add_test(NAME ${arg_NAME} COMMAND ${arg_COMMAND})
    ptq_test_properties(${arg_NAME} "${arg_TIMEOUT}" ${arg_SERIAL} ${arg_LABELS})
endfunction()
