/* pipeline.c -- a pipeline: lines of text are split into words, words are measured by two workers, and come out in order.
 *
 *     printf 'to be or not to be\n\nthat is the question\n' | ./pipeline
 *     to 2
 *     be 2
 *     ...
 *
 * With a file's name it also draws which worker did what when (SVG), and says what each stage cost.
 *
 * The workers are this program again: main begins with ptq_worker_main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "pipeline: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

/* Any number of outputs: each word is an input of the next stage, by itself.  An empty line gives none. */
static enum ptq_err split(ptq_task *task, const void *data, size_t size)
{
    const char *next = data, *end = next + size;
    while (next < end) {
        size_t length = 0;
        while (next + length < end && next[length] != ' ')
            length++;
        if (length > 0)
            ptq_task_output(task, next, length);
        next += length + 1;
    }
    return PTQ_OK;
}

/* One output: what was given to ptq_task_result, or piece by piece to ptq_task_emit. */
static enum ptq_err measure(ptq_task *task, const void *data, size_t size)
{
    char length[32];
    if (size > 40)
        return ptq_task_fail(task, PTQ_EMSGSIZE, "a word of %zu letters", size);
    ptq_task_emit(task, data, size);
    return ptq_task_emit(task, length, (size_t)snprintf(length, sizeof length, " %zu", size));
}

/* Called when there is room for one more input. */
static enum ptq_err next_line(void *user, struct ptq_bytes *ret_input)
{
    static char line[4096];
    (void)user;
    if (fgets(line, sizeof line, stdin) == NULL)
        return PTQ_END;
    *ret_input = (struct ptq_bytes){line, strcspn(line, "\n")};
    return PTQ_OK;
}

/* Called with each output, in the order of the inputs.  An error stands in the place of what would have been there. */
static enum ptq_err print(void *user, const struct ptq_output *output)
{
    (void)user;
    if (output->kind == PTQ_RESULT_ERROR)
        printf("stage %s: %s\n", output->stage, output->text);
    else
        printf("%.*s\n", (int)output->size, (const char *)output->data);
    return PTQ_OK;
}

static void tell(ptq_pipeline *words, const char *file)
{
    FILE *picture = fopen(file, "w");
    if (picture == NULL) {
        perror(file);
        exit(1);
    }
    must(ptq_pipeline_record(words, PTQ_RECORD_SVG, picture), "draw");
    fclose(picture);
    must(ptq_pipeline_report(words, PTQ_REPORT_TEXT, stderr), "report");
}

int main(int argc, char **argv)
{
    static const struct ptq_stage stages[] = {
        {.name = "split"},
        {.name = "measure", .workers = 2},
    };
    struct ptq_flow flow = {.source = next_line, .sink = print};
    ptq_bus *bus;
    ptq_pipeline *words;
    struct ptq_pipeline_options options = {.record = argc > 1 ? 10000 : 0};

    must(ptq_task_register("split", split, NULL), "register");
    must(ptq_task_register("measure", measure, NULL), "register");
    ptq_worker_main(argc, argv); /* does not return in a worker */

    must(ptq_bus_open("words", NULL, &bus), "open bus");
    must(ptq_pipeline_unlink(bus, "words", stages, 2, true), "remove what an earlier run left");
    must(ptq_pipeline_open(bus, "words", stages, 2, &options, &words), "open pipeline");
    must(ptq_pipeline_run(words, &flow), "run");
    if (argc > 1)
        tell(words, argv[1]);
    ptq_pipeline_close(words);
    must(ptq_pipeline_unlink(bus, "words", stages, 2, true), "remove");
    ptq_bus_close(bus);
    return 0;
}
