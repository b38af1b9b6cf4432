/* plugin.c -- a shared object with tasks. */
#include <ptq/pool.h>

static enum ptq_err twice(ptq_task *task, const void *data, size_t size)
{
    enum ptq_err err = ptq_task_emit(task, data, size);
    return err == PTQ_OK ? ptq_task_emit(task, data, size) : err;
}

static enum ptq_err refuse(ptq_task *task, const void *data, size_t size)
{
    (void)data;
    (void)size;
    return ptq_task_fail(task, PTQ_EPERM, "the plugin refuses");
}

extern const struct ptq_plugin_task ptq_plugin_tasks[];
__attribute__((visibility("default"))) const struct ptq_plugin_task ptq_plugin_tasks[] = {
    {.name = "twice", .fn = twice}, {.name = "refuse", .fn = refuse}, {.name = NULL, .fn = twice}, {.fn = NULL}};
