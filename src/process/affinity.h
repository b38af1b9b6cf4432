/* affinity.h -- which processors a child may use: a list as text, made by the parent, kept to by the child. */
#ifndef PTQ_PROCESS_AFFINITY_H
#define PTQ_PROCESS_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>

/* How many processors the calling thread may use (its cgroup's cpuset and its mask), at least 1. */
unsigned pti_cpus_allowed(void);

/* The index-th of them, and around: its number. */
unsigned pti_cpus_nth(unsigned index);

/* Is "0,2-3" a list, and may any of these be used? */
bool pti_cpus_list_is_valid(const char *list);
bool pti_cpus_list_is_usable(const char *list);

/* Keeps the calling thread, and those that it will start, to those of the list that it may use; none of them: nothing changes,
 * false. */
bool pti_cpus_keep_to(const char *list);

#endif
