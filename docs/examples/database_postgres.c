/* database_postgres.c -- SQL statements, a line each, done by two workers with a connection each; answers come in the order of the lines.
 *
 *     PGHOST=... PGDATABASE=... ./database_postgres < statements > answers
 *
 * A server that is started again, or a worker that dies, costs time and nothing else: the connection is opened anew, and what had no answer
 * is done again.  So what it changes should have a key, so that twice is once ("ON CONFLICT DO NOTHING").
 */
#include <libpq-fe.h>
#include <string.h>

#include "database.h"

static enum ptq_err open_database(void **ret_database, void *user, struct ptq_error *error)
{
    PGconn *database = PQconnectdb("connect_timeout=5");
    (void)user;
    if (PQstatus(database) == CONNECTION_OK) {
        *ret_database = database;
        return PTQ_OK;
    }
    snprintf(error->text, sizeof error->text, "%s", PQerrorMessage(database));
    PQfinish(database);
    return PTQ_EUNREACHABLE;
}

static void close_database(void *database, void *user)
{
    (void)user;
    PQfinish(database);
}

/* No server had a say in it, or one that was ending. */
static bool lost_connection(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state == NULL || strncmp(state, "57P", 3) == 0;
}

static enum ptq_err give_rows(ptq_task *task, const PGresult *result)
{
    enum ptq_err err = PTQ_OK;
    for (int row = 0; row < PQntuples(result); row++)
        for (int column = 0; column < PQnfields(result) && err == PTQ_OK; column++) {
            err = ptq_task_emit(task, PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
            if (err == PTQ_OK)
                err = ptq_task_emit(task, column + 1 < PQnfields(result) ? "|" : "\n", 1);
        }
    return err;
}

static enum ptq_err run_statement(ptq_task *task, const void *statement, size_t size)
{
    struct ptq_error error = {0};
    void *database;
    (void)size;
    if (ptq_resource_get("database", &database, &error) != PTQ_OK)
        return ptq_task_fail(task, PTQ_EUNREACHABLE, "%s", error.text);
    PGresult *result = PQexec(database, statement);
    ExecStatusType status = PQresultStatus(result);
    enum ptq_err err = PTQ_OK;
    if (status == PGRES_TUPLES_OK) {
        err = give_rows(task, result);
    } else if (status != PGRES_COMMAND_OK) {
        bool lost = lost_connection(result);
        const char *why = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        err = ptq_task_fail(task, lost ? PTQ_EUNREACHABLE : PTQ_EINVAL, "%s", why != NULL ? why : PQresultErrorMessage(result));
        if (lost)
            ptq_resource_failed("database"); /* whoever asks next opens it anew */
    }
    PQclear(result);
    return err;
}

int main(int argc, char **argv)
{
    return answer_statements(argc, argv, &(struct ptq_resource_hooks){.open = open_database, .close = close_database}, run_statement);
}
