/* plugin.c -- the tasks of a shared object.  It stays loaded. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "pool/pool.h"

static enum ptq_err register_all(const struct ptq_plugin_task *tasks, const char *file, struct ptq_error *error)
{
    for (size_t i = 0; tasks != NULL && tasks[i].fn != NULL; i++) {
        const char *name = tasks[i].name;
        if (name != NULL && name[0] == 0)
            name = NULL;
        enum ptq_err err = ptq_task_register(name, tasks[i].fn, tasks[i].user);
        if (err != PTQ_OK)
            return pti_error(error, err, "plugin '%.300s': its task %zu, '%.64s', has no legal name", file, i,
                             name != NULL ? name : "");
    }
    return PTQ_OK;
}

enum ptq_err ptq_task_load(const char *file, struct ptq_error *error)
{
    if (file == NULL)
        return PTQ_EINVAL;
    size_t before = pti_task_count();
    /* dlopen looks for a bare name along the library path, and not here. */
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s", strchr(file, '/') == NULL ? "./" : "", file);
    if (length < 0 || (size_t)length >= sizeof path)
        return pti_error(error, PTQ_EINVAL, "plugin '%.300s': the path is too long", file);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (plugin == NULL)
        return pti_error(error, PTQ_EINVAL, "cannot load the plugin '%.200s': %.250s", file, dlerror());
    enum ptq_err err = register_all(dlsym(plugin, "ptq_plugin_tasks"), file, error);
    if (err != PTQ_OK)
        return err;
    if (pti_task_count() == before && dlsym(plugin, "ptq_plugin_tasks") == NULL)
        return pti_error(error, PTQ_ENOTASK,
                         "plugin '%.300s' has no tasks: give it a table ptq_plugin_tasks, or PTQ_TASK(function)", file);
    return PTQ_OK;
}
