/* self.c -- what hooks may ask and say. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "process/life.h"
#include "process/watchdog.h"

const char *ptq_self_name(const ptq_self *self)
{
    return self->hooks->name;
}

unsigned ptq_self_slot(const ptq_self *self)
{
    return self->record->slot;
}

uint64_t ptq_self_run(const ptq_self *self)
{
    return pti_load_relaxed(&self->record->runs_done) + 1;
}

unsigned ptq_self_lives(const ptq_self *self)
{
    return pti_load_relaxed(&self->record->lives);
}

unsigned ptq_self_restarts(const ptq_self *self)
{
    return pti_load_relaxed(&self->record->restarts);
}

bool ptq_self_cancelled(const ptq_self *self)
{
    (void)self;
    return pti_watchdog_is_cancelled();
}

bool ptq_self_stopping(const ptq_self *self)
{
    return pti_load_acquire(&self->record->stop) != 0;
}

void ptq_self_stop(ptq_self *self)
{
    pti_store_seq(&self->record->stop, 1);
    pti_mail_interrupt(&self->mail);
}

const void *ptq_self_input(const ptq_self *self, size_t *ret_size)
{
    *ret_size = self->record->input_size;
    return (const char *)self->record + self->record->places.input;
}

enum ptq_err ptq_self_fail(ptq_self *self, enum ptq_err code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(self->text, 401, format, arguments);
    va_end(arguments);
    return code != PTQ_OK ? code : PTQ_EFAILED;
}

enum ptq_err ptq_self_give(ptq_self *self, const void *data, size_t size)
{
    return pti_twin_write(self->record, &self->record->result, &self->record->places.result, data, size) ? PTQ_OK : PTQ_EMSGSIZE;
}

enum ptq_err ptq_self_checkpoint(ptq_self *self, const void *data, size_t size)
{
    return pti_twin_write(self->record, &self->record->checkpoint, &self->record->places.checkpoint, data, size) ? PTQ_OK : PTQ_EMSGSIZE;
}

const void *ptq_self_restored(const ptq_self *self, size_t *ret_size)
{
    size_t size;
    const void *bytes = pti_twin_read(self->record, &self->record->checkpoint, &self->record->places.checkpoint, &size);
    if (bytes != NULL)
        *ret_size = size;
    return bytes;
}

const struct ptq_process_error *ptq_self_error(const ptq_self *self)
{
    return &self->error;
}
