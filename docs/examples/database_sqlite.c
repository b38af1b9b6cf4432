/* database_sqlite.c -- SQL statements, a line each, done by two workers with a connection each; answers come in the order of the lines.
 *
 *     DATABASE=FILE ./database_sqlite < statements > answers
 *
 * A worker that dies is replaced, its successor opens a connection of its own, and its statement is done again: what it changes should
 * have a key, so that twice is once ("INSERT OR IGNORE").
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"

static enum ptq_err open_database(void **ret_database, void *user, struct ptq_error *error)
{
    sqlite3 *database = NULL;
    (void)user;
    int code = sqlite3_open_v2(getenv("DATABASE"), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    snprintf(error->text, sizeof error->text, "%s", sqlite3_errmsg(database));
    if (code != SQLITE_OK)
        return sqlite3_close(database), PTQ_EUNREACHABLE;
    sqlite3_busy_timeout(database, 10000);
    *ret_database = database;
    return PTQ_OK;
}

static void close_database(void *database, void *user)
{
    (void)user;
    sqlite3_close(database);
}

static int give_row(void *task, int columns, char **values, char **names)
{
    enum ptq_err err = PTQ_OK;
    (void)names;
    for (int i = 0; i < columns && err == PTQ_OK; i++) {
        err = ptq_task_emit(task, values[i] != NULL ? values[i] : "", values[i] != NULL ? strlen(values[i]) : 0);
        if (err == PTQ_OK)
            err = ptq_task_emit(task, i + 1 < columns ? "|" : "\n", 1);
    }
    return err != PTQ_OK;
}

static enum ptq_err run_statement(ptq_task *task, const void *statement, size_t size)
{
    struct ptq_error error = {0};
    void *database;
    (void)size;
    if (ptq_resource_get("database", &database, &error) != PTQ_OK)
        return ptq_task_fail(task, PTQ_EUNREACHABLE, "%s", error.text);
    int code = sqlite3_exec(database, statement, give_row, task, NULL);
    if (code == SQLITE_OK)
        return PTQ_OK;
    return ptq_task_fail(task, code == SQLITE_BUSY ? PTQ_EUNREACHABLE : PTQ_EINVAL, "%s", sqlite3_errmsg(database));
}

int main(int argc, char **argv)
{
    return answer_statements(argc, argv, &(struct ptq_resource_hooks){.open = open_database, .close = close_database}, run_statement);
}
