# ptq_install -- what `cmake --install` puts where: library, headers, and how others find them.
#   Nothing in it names the prefix, so an installed tree may be moved.
include(CMakePackageConfigHelpers)
set(ptq_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ptq)

install(TARGETS ptq EXPORT ptq-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT devel)
if(TARGET ptq_static) # apart, for what it stands on is asked for only by who wants it
    install(TARGETS ptq_static EXPORT ptq-static-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT devel)
    install(EXPORT ptq-static-targets NAMESPACE ptq:: DESTINATION ${ptq_config_dir} COMPONENT devel)
endif()
set(ptq_left_out)
if(NOT PTQ_WITH_PB)
    set(ptq_left_out PATTERN "pb.h" EXCLUDE)
endif()
install(DIRECTORY src/include/ptq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT devel FILES_MATCHING PATTERN "*.h"
    ${ptq_left_out})
install(EXPORT ptq-targets NAMESPACE ptq:: DESTINATION ${ptq_config_dir} COMPONENT devel)

configure_package_config_file(tools/cmake/ptq-config.cmake.in ${PROJECT_BINARY_DIR}/ptq-config.cmake
    INSTALL_DESTINATION ${ptq_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ptq-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ptq-config.cmake ${PROJECT_BINARY_DIR}/ptq-config-version.cmake
    DESTINATION ${ptq_config_dir} COMPONENT devel)
file(RELATIVE_PATH ptq_pc_to_prefix ${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(ptq_pc_private "-pthread -lm")
if(PTQ_WITH_PB)
    string(PREPEND ptq_pc_private "-lprotobuf-c ")
endif()
if(PTQ_WITH_REMOTE)
    string(PREPEND ptq_pc_private "-lnng -lmbedtls -lmbedx509 -lmbedcrypto ")
endif()
configure_file(tools/cmake/ptq.pc.in ${PROJECT_BINARY_DIR}/ptq.pc @ONLY)
if(PTQ_WITH_PB)
    configure_file(tools/cmake/ptq-pb.pc.in ${PROJECT_BINARY_DIR}/ptq-pb.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/ptq-pb.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT devel)
endif()
install(FILES ${PROJECT_BINARY_DIR}/ptq.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT devel)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT devel
    FILES_MATCHING PATTERN "*.md" PATTERN "*.c" PATTERN "*.h" PATTERN "*.py" PATTERN "*.proto" PATTERN "metrics/*.yml" PATTERN "metrics/*.json" PATTERN "examples/CMakeLists.txt"
    PATTERN "CHANGELOG.md" EXCLUDE PATTERN "man" EXCLUDE PATTERN "plots" EXCLUDE)
