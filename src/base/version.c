/* version.c -- which library is loaded. */
#include <ptq/version.h>

#define TEXT(number) #number
#define JOIN(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

_Static_assert(sizeof PTQ_VERSION == sizeof JOIN(PTQ_VERSION_MAJOR, PTQ_VERSION_MINOR, PTQ_VERSION_PATCH),
               "PTQ_VERSION and its three numbers differ");

const char *ptq_version(void)
{
    return JOIN(PTQ_VERSION_MAJOR, PTQ_VERSION_MINOR, PTQ_VERSION_PATCH);
}
