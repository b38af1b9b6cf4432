# ptq_programs -- ptq_add_program: a program over the shared library that sees <ptq/...> and its own folder only.
#
#   ptq_add_program(NAME ptqtop SOURCES main.c screen.c LIBS ncursesw INCLUDES ${PROJECT_SOURCE_DIR}/tools)
#   OUTPUT: what the program is called, where that differs from the target (ptq is the library: ptq_cli OUTPUT ptq).
function(ptq_add_program)
    cmake_parse_arguments(arg "" "NAME;OUTPUT" "SOURCES;LIBS;INCLUDES" ${ARGN})
    add_executable(${arg_NAME} ${arg_SOURCES})
    target_link_libraries(${arg_NAME} PRIVATE ptq ptq_flags ${arg_LIBS})
    target_include_directories(${arg_NAME} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${arg_INCLUDES})
    if(arg_OUTPUT)
        set_target_properties(${arg_NAME} PROPERTIES OUTPUT_NAME ${arg_OUTPUT})
    endif()
    set_target_properties(${arg_NAME} PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    if(PTQ_INSTALL)
        install(TARGETS ${arg_NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
    endif()
endfunction()
