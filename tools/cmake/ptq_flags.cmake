# ptq_flags -- warnings, language and sanitizers, carried by one interface target; nothing touches global flags.
add_library(ptq_flags INTERFACE)
target_compile_definitions(ptq_flags INTERFACE _GNU_SOURCE)
target_compile_options(ptq_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef
    -Wpointer-arith -Wwrite-strings $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
    -fno-strict-aliasing -fstack-protector
    $<$<BOOL:${PTQ_WERROR}>:-Werror>
    $<$<CONFIG:Debug>:-g3>)
if(PTQ_SANITIZE)
    target_compile_options(ptq_flags INTERFACE
        -fsanitize=${PTQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
    target_link_options(ptq_flags INTERFACE -fsanitize=${PTQ_SANITIZE})
endif()
# As distributions want their packages, where it is optimised.  PIE is the compiler's own doing on Debian.
option(PTQ_HARDEN "Fortified calls, strong stack protector, symbols bound when a program begins" ON)
if(PTQ_HARDEN AND NOT PTQ_SANITIZE)
    set(ptq_optimised $<NOT:$<CONFIG:Debug>>)
    target_compile_options(ptq_flags INTERFACE
        $<${ptq_optimised}:-fstack-protector-strong> $<${ptq_optimised}:-U_FORTIFY_SOURCE> $<${ptq_optimised}:-D_FORTIFY_SOURCE=2>)
    target_link_options(ptq_flags INTERFACE $<${ptq_optimised}:-Wl,-z,relro> $<${ptq_optimised}:-Wl,-z,now>)
endif()
