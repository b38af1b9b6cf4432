# ptq_package -- Debian packages by CPack, a component each: `cmake --build build/release --target package`, or tools/dev/package.
#
# Any release build makes them: what a package wants otherwise than an installed tree is done to CPack's copy by
# tools/package/stage.cmake.  The same bytes come out of the same tree: time stamps are SOURCE_DATE_EPOCH, or the date of
# tools/package/changelog.
set(ptq_package_dir ${PROJECT_SOURCE_DIR}/tools/package)

# 0.1.0-0ptq1: the revision says that it is none of Debian's own.  The version is said once, in the changelog, and is that of the library.
file(STRINGS ${ptq_package_dir}/changelog ptq_entry LIMIT_COUNT 1)
if(NOT ptq_entry MATCHES "^ptq \\(([0-9.]+)-([0-9A-Za-z.+~]+)\\) ")
    message(FATAL_ERROR "tools/package/changelog begins with '${ptq_entry}', not with 'ptq (VERSION-REVISION) ...'")
endif()
set(ptq_revision ${CMAKE_MATCH_2})
if(NOT CMAKE_MATCH_1 VERSION_EQUAL PROJECT_VERSION)
    message(FATAL_ERROR "tools/package/changelog is of ${CMAKE_MATCH_1}, version.h of ${PROJECT_VERSION}: write its entry")
endif()
set(ptq_debian_version ${PROJECT_VERSION}-${ptq_revision})

set(ptq_runtime libptq${PROJECT_VERSION_MAJOR})
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL runtime devel)
if(PTQ_BUILD_TOOLS)
    list(APPEND CPACK_COMPONENTS_ALL tools)
endif()
if(TARGET ptqbridge)
    list(APPEND CPACK_COMPONENTS_ALL bridge)
endif()
set(CPACK_PACKAGE_NAME ptq)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each has its own
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${ptq_package_dir}/stage.cmake)
set(CPACK_VERBATIM_VARIABLES ON)
# For stage.cmake:
set(CPACK_PTQ_PACKAGE_DIR ${ptq_package_dir})
set(CPACK_PTQ_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_PTQ_LIBDIR ${CMAKE_INSTALL_LIBDIR})
set(CPACK_PTQ_STRIP ${CMAKE_STRIP})
set(CPACK_PTQ_SOVERSION ${PROJECT_VERSION_MAJOR})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${ptq_revision})
set(CPACK_DEBIAN_PACKAGE_SOURCE ptq)
set(PTQ_MAINTAINER "The ptq authors <ptq@packages.invalid>" CACHE STRING "Who answers for packages that are built here: Name <address>")
mark_as_advanced(PTQ_MAINTAINER)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${PTQ_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/lib)

set(about "ptq is a message bus that a C program links: queues in shared memory, links to
other hosts, and pools of workers whose results come in order.  What a process
had in its hands when it was killed is given to another one.
")
# ptq_package(COMPONENT NAME SECTION "one line" "more" DEPENDS...)
macro(ptq_package component name section line more)
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${line}\n${about}.\n${more}")
    set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS ${ARGN})
    string(REPLACE ";" ", " CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS}")
    set(CPACK_PTQ_${component}_NAME ${name})
endmacro()
set(same "${ptq_runtime} (= ${ptq_debian_version})")
set(private_libraries)
if(PTQ_WITH_PB)
    set(private_libraries "libprotobuf-c-dev")
endif()

ptq_package(runtime ${ptq_runtime} libs "message bus that a C program links" "This package is the library.")
# CPack would call ldconfig in scripts, where policy wants a trigger: stage.cmake says what the library depends on and gives.

ptq_package(devel libptq-dev libdevel "message bus that a C program links - development files"
    "This package is what a program is built with: headers, the static library,
files for CMake and pkg-config, the manual page of the calls, pages, examples."
    ${same} ${private_libraries})
if(PTQ_WITH_REMOTE)
    set(CPACK_DEBIAN_DEVEL_PACKAGE_SUGGESTS "libmbedtls-dev, libnng-dev, ptq-tools")
endif()

ptq_package(tools ptq-tools utils "message bus that a C program links - ptq and ptqtop"
    "This package is the bus on the command line, ptq, and ptqtop, which shows what
goes on." ${same})
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)

ptq_package(bridge ptq-bridge net "message bus that a C program links - queues for other hosts"
    "This package is ptqbridge, which serves the queues of this host to others, with
its unit for systemd.  It does nothing until /etc/ptq/ptq-bridge.conf is there."
    ${same} "systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_BRIDGE_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_BRIDGE_PACKAGE_SUGGESTS "openssl, ptq-tools")
set(CPACK_DEBIAN_BRIDGE_PACKAGE_CONTROL_EXTRA
    ${ptq_package_dir}/postinst ${ptq_package_dir}/prerm ${ptq_package_dir}/postrm)
include(CPack)
