/* version.h -- three versions that move apart: the library's, the shared-memory layout's, the wire's. */
#ifndef PTQ_VERSION_H
#define PTQ_VERSION_H

#define PTQ_VERSION_MAJOR 0
#define PTQ_VERSION_MINOR 1
#define PTQ_VERSION_PATCH 0
#define PTQ_VERSION "0.1.0"

/** The layout of a queue's segment.  It stands in the segment's file name, so that two layouts never meet in one file. */
#define PTQ_LAYOUT_VERSION 2

/** The newest protocol that this library speaks to other hosts; both ends agree on the lower one. */
#define PTQ_WIRE_VERSION 3

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The version of the library that is loaded, as "major.minor.patch"; static. */
const char *ptq_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
