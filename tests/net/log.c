/* log.c -- what a bridge of kit.h has said in its log. */
#include "net/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *net_log_read(const struct net *net)
{
    char path[120], *text = NULL;
    size_t size = 0, room = 0;

    snprintf(path, sizeof path, "%s/bridge.log", net->home.dir);
    FILE *from = fopen(path, "re"), *to = open_memstream(&text, &room);
    assert_non_null(to);
    for (int c; from != NULL && (c = getc_unlocked(from)) != EOF; size++)
        putc_unlocked(c, to);
    if (from != NULL)
        fclose(from);
    assert_int_equal(fclose(to), 0);
    return text;
}

unsigned net_log_count(const struct net *net, const char *text)
{
    char *log = net_log_read(net);
    unsigned count = 0;

    for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
        count++;
    free(log);
    return count;
}

struct wanted {
    const struct net *net;
    const char *text;
    unsigned times;
};

static bool is_said(void *context)
{
    const struct wanted *wanted = context;

    return net_log_count(wanted->net, wanted->text) >= wanted->times;
}

void net_log_wait_times(const struct net *net, const char *text, unsigned times)
{
    struct wanted wanted = {net, text, times};

    if (!ptt_wait_until(is_said, &wanted, PTT_LONG))
        fail_msg("the bridge logged '%s' %u times, not %u", text, net_log_count(net, text), times);
}

void net_log_wait(const struct net *net, const char *text)
{
    net_log_wait_times(net, text, 1);
}

uint64_t net_log_total(const struct net *net, const char *name)
{
    char word[64], *log = net_log_read(net), *last = NULL;

    for (char *at = log; (at = strstr(at, "component=bridge event=closed")) != NULL; at++)
        last = at;
    snprintf(word, sizeof word, " %s=", name);
    last = last != NULL ? strstr(last, word) : NULL;
    if (last == NULL)
        fail_msg("the last line of the log counts no%s", word);
    uint64_t total = strtoull(last + strlen(word), NULL, 10);
    free(log);
    return total;
}
