/* affinity.c -- sched_setaffinity by list. */
#include "process/affinity.h"

#include <ctype.h>
#include <sched.h>
#include <stdlib.h>

static void get_allowed(cpu_set_t *set)
{
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof *set, set) != 0 || CPU_COUNT(set) == 0)
        CPU_SET(0, set); /* more than CPU_SETSIZE processors: a limit of the list, not of the program */
}

unsigned pti_cpus_allowed(void)
{
    cpu_set_t set;
    get_allowed(&set);
    return (unsigned)CPU_COUNT(&set);
}

unsigned pti_cpus_nth(unsigned index)
{
    cpu_set_t set;
    get_allowed(&set);
    index %= (unsigned)CPU_COUNT(&set);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && index-- == 0)
            return cpu;
    return 0;
}

/* A number below CPU_SETSIZE; -1: none.  Moves *text behind it. */
static long read_number(const char **text)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return -1;
    long number = strtol(*text, &end, 10);
    *text = end;
    return number < CPU_SETSIZE ? number : -1;
}

static bool parse(const char *list, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (;;) {
        long first = read_number(&list), last = first;
        if (*list == '-') {
            list++;
            last = read_number(&list);
        }
        if (first < 0 || last < first)
            return false;
        for (long cpu = first; cpu <= last; cpu++)
            CPU_SET((unsigned)cpu, set);
        if (*list == '\0')
            return true;
        if (*list++ != ',')
            return false;
    }
}

static bool find_usable(const char *list, cpu_set_t *ret_set)
{
    cpu_set_t wanted, allowed;
    if (!parse(list, &wanted))
        return false;
    get_allowed(&allowed);
    CPU_AND(ret_set, &wanted, &allowed);
    return CPU_COUNT(ret_set) != 0;
}

bool pti_cpus_list_is_valid(const char *list)
{
    cpu_set_t set;
    return parse(list, &set);
}

bool pti_cpus_list_is_usable(const char *list)
{
    cpu_set_t set;
    return find_usable(list, &set);
}

bool pti_cpus_keep_to(const char *list)
{
    cpu_set_t set;
    return find_usable(list, &set) && sched_setaffinity(0, sizeof set, &set) == 0;
}
