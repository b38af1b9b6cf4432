/* supervised.c -- a supervised process that works until its parent is ended: something for ptqtop to look at. */
#include <unistd.h>

#include <ptq/ptq.h>

static enum ptq_err work(ptq_self *self, void *user)
{
    (void)self, (void)user;
    pause();
    return PTQ_OK;
}

int main(int argc, char **argv)
{
    struct ptq_process_hooks hooks = {.run = work};
    struct ptq_process_options options = {.lives = 7};
    ptq_process *process;
    ptq_bus *bus;

    if (ptq_process_register("crawler", &hooks, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    if (ptq_bus_open(NULL, NULL, &bus) != PTQ_OK || ptq_process_new(bus, "crawler", &options, &process) != PTQ_OK ||
        ptq_process_start(process) != PTQ_OK)
        return 1;
    pause();
    return 0;
}
