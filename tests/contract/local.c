/* local.c -- the local carrier: home and bus are one directory.  And the same without its fast way (local/fast.c): both are one. */
#include <stdio.h>

#include "contract/contract.h"
#include "local/verbs.h"

static void open_bus(struct contract *c)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = c->dir, .error = &error};

    if (ptq_bus_open("test", &options, &c->bus) != PTQ_OK)
        fail_msg("%s", error.text);
}

static void start_local(struct contract *c)
{
    snprintf(c->dir, sizeof c->dir, "%s", c->home.dir);
    open_bus(c);
}

static void stop_local(struct contract *c) { (void)c; }

const struct contract_carrier contract_local = {
    .name = "local", .suffix = "", .start = start_local, .attach = open_bus, .stop = stop_local};

static void open_general(struct contract *c)
{
    pti_fast_is_off = true;
    open_bus(c);
}

static void start_general(struct contract *c)
{
    pti_fast_is_off = true;
    start_local(c);
}

const struct contract_carrier contract_general = {
    .name = "general", .suffix = "", .start = start_general, .attach = open_general, .stop = stop_local};
