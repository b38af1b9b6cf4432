# ptq_depends -- what ptq stands on, as one interface target: threads; nng and protobuf-c with PTQ_WITH_REMOTE; protobuf-c with
#   PTQ_WITH_PB.  ptq_pb: what a program needs beside ptq for <ptq/pb.h>.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
add_library(ptq_depends INTERFACE)
target_link_libraries(ptq_depends INTERFACE Threads::Threads m)

if(PTQ_WITH_REMOTE)
    find_path(PTQ_NNG_INCLUDE nng/nng.h)
    find_library(PTQ_NNG_LIBRARY nng)
    find_path(PTQ_PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.h)
    find_library(PTQ_PROTOBUF_C_LIBRARY protobuf-c)
    find_program(PTQ_PROTOC_C NAMES protoc-c)
    find_path(PTQ_UTHASH_INCLUDE uthash.h)
    find_path(PTQ_MBEDTLS_INCLUDE mbedtls/constant_time.h) # 2.28 or newer
    find_library(PTQ_MBEDCRYPTO_LIBRARY mbedcrypto)
    find_library(PTQ_MBEDX509_LIBRARY mbedx509)
    foreach(need PTQ_NNG_INCLUDE PTQ_NNG_LIBRARY PTQ_PROTOBUF_C_INCLUDE PTQ_PROTOBUF_C_LIBRARY PTQ_PROTOC_C
            PTQ_UTHASH_INCLUDE PTQ_MBEDTLS_INCLUDE PTQ_MBEDCRYPTO_LIBRARY PTQ_MBEDX509_LIBRARY)
        if(NOT ${need})
            message(FATAL_ERROR "${need} was not found: install libnng-dev, libprotobuf-c-dev, "
                                "protobuf-c-compiler, uthash-dev and libmbedtls-dev, or configure with -DPTQ_WITH_REMOTE=OFF")
        endif()
    endforeach()
    mark_as_advanced(PTQ_NNG_INCLUDE PTQ_NNG_LIBRARY PTQ_PROTOBUF_C_INCLUDE PTQ_PROTOBUF_C_LIBRARY PTQ_PROTOC_C
        PTQ_UTHASH_INCLUDE PTQ_MBEDTLS_INCLUDE PTQ_MBEDCRYPTO_LIBRARY PTQ_MBEDX509_LIBRARY)
    target_include_directories(ptq_depends SYSTEM INTERFACE ${PTQ_NNG_INCLUDE} ${PTQ_PROTOBUF_C_INCLUDE}
        ${PTQ_UTHASH_INCLUDE} ${PTQ_MBEDTLS_INCLUDE})
    target_link_libraries(ptq_depends INTERFACE ${PTQ_NNG_LIBRARY} ${PTQ_PROTOBUF_C_LIBRARY} ${PTQ_MBEDX509_LIBRARY}
        ${PTQ_MBEDCRYPTO_LIBRARY})
    target_compile_definitions(ptq_depends INTERFACE PTQ_WITH_REMOTE=1)
    # nng 1.6 and newer tell whose certificate the other side has; versions are not asked, for their macros lie
    include(CheckSymbolExists)
    set(CMAKE_REQUIRED_INCLUDES ${PTQ_NNG_INCLUDE})
    check_symbol_exists(NNG_OPT_TLS_PEER_CN nng/nng.h PTQ_NNG_TELLS_NAMES)
    unset(CMAKE_REQUIRED_INCLUDES)
    if(PTQ_NNG_TELLS_NAMES)
        target_compile_definitions(ptq_depends INTERFACE PTQ_NNG_TELLS_NAMES=1)
    endif()
else()
    target_compile_definitions(ptq_depends INTERFACE PTQ_WITH_REMOTE=0)
endif()

if(PTQ_WITH_PB)
    find_path(PTQ_PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.h)
    find_library(PTQ_PROTOBUF_C_LIBRARY protobuf-c)
    if(NOT PTQ_PROTOBUF_C_INCLUDE OR NOT PTQ_PROTOBUF_C_LIBRARY)
        message(FATAL_ERROR "protobuf-c was not found: install libprotobuf-c-dev, or configure with -DPTQ_WITH_PB=OFF")
    endif()
    find_program(PTQ_PROTOC_C NAMES protoc-c)
    add_library(ptq_pb INTERFACE)
    add_library(ptq::pb ALIAS ptq_pb)
    target_include_directories(ptq_pb SYSTEM INTERFACE ${PTQ_PROTOBUF_C_INCLUDE})
    target_link_libraries(ptq_pb INTERFACE ${PTQ_PROTOBUF_C_LIBRARY})
    target_link_libraries(ptq_depends INTERFACE ptq_pb)
endif()
