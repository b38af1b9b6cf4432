# make_page.cmake -- a manual page from its .scd: @WORD@ lines become what a program prints about its tables, scdoc does the rest.
#   cmake -DIN=x.1.scd -DOUT=x.1 -DFILLS="COMMANDS=--print commands;GLOBALS=..." -DPROGRAM=path -DSCDOC=path -DAWK=path
#       -DVERSION=0.1.0 -DDAY=2026-11-22 -P make_page.cmake
cmake_minimum_required(VERSION 3.22)
file(READ ${IN} page)
foreach(fill IN LISTS FILLS)
    string(REGEX MATCH "^([A-Z]+)=(.*)$" matched "${fill}")
    set(word ${CMAKE_MATCH_1})
    separate_arguments(arguments UNIX_COMMAND "${CMAKE_MATCH_2}")
    execute_process(COMMAND ${PROGRAM} ${arguments} OUTPUT_VARIABLE text RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "${PROGRAM} ${CMAKE_MATCH_2}: ${failed}")
    endif()
    string(STRIP "${text}" text)
    string(REPLACE "@${word}@" "${text}" page "${page}")
endforeach()
string(REPLACE "@VERSION@" "${VERSION}" page "${page}")
get_filename_component(name ${OUT} NAME)
set(filled ${OUT}.scd) # beside the page: a script has no binary directory of its own
file(WRITE ${filled} "${page}")
execute_process(COMMAND ${SCDOC} COMMAND ${AWK} -v day=${DAY} -f ${CMAKE_CURRENT_LIST_DIR}/tidy.awk
    INPUT_FILE ${filled} OUTPUT_FILE ${OUT} RESULTS_VARIABLE failed)
if(NOT failed STREQUAL "0;0")
    file(REMOVE ${OUT})
    message(FATAL_ERROR "${filled} cannot be made a page: ${failed}")
endif()
