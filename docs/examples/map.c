/* map.c -- one call for many jobs: words are counted in lines by two worker processes, as an array, as a stream, one by one.
 *
 *     ./map
 *     3 lines, 9 words; 1 line was refused: "no text at all"
 *     100000 lines streamed in order, never more than a few under way
 *     2 to the power of 10 is 1024
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "map: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

static enum ptq_err count_words(ptq_task *task, const void *data, size_t size)
{
    const char *text = data;
    int words = 0;
    if (size == 0)
        return ptq_task_fail(task, PTQ_EINVAL, "no text at all");
    for (size_t i = 0; i < size; i++)
        words += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
    return ptq_task_result(task, &words, sizeof words);
}

/* A task of several arguments. */
static enum ptq_err power(ptq_task *task, const void *data, size_t size)
{
    int64_t base, times, product = 1;
    enum ptq_err err = ptq_args_read(data, size, "ii", &base, &times);
    if (err != PTQ_OK)
        return ptq_task_fail(task, err, "a base and an exponent are wanted");
    while (times-- > 0)
        product *= base;
    return ptq_task_result(task, &product, sizeof product);
}

static int words_of(const struct ptq_map_item *item)
{
    int words;
    memcpy(&words, item->data, sizeof words);
    return words;
}

static void map_an_array(ptq_pool *pool)
{
    const struct ptq_bytes lines[] = {{"to be or not to be", 18}, {NULL, 0}, {"that is", 7}, {"it", 2}};
    struct ptq_map_options options = {.flags = PTQ_MAP_COLLECT}; /* without it the first failure would end the map */
    struct ptq_map_item *items;
    const char *why = "";
    int words = 0, good = 0;

    must(ptq_pool_map(pool, "count-words", lines, 4, &options, &items), "map");
    for (int i = 0; i < 4; i++) {
        if (items[i].code != PTQ_OK) {
            why = items[i].text;
            continue;
        }
        good++;
        words += words_of(&items[i]);
    }
    printf("%d lines, %d words; %d line was refused: \"%s\"\n", good, words, 4 - good, why);
    ptq_map_free(items);
}

/* Called when there is room for one more. */
static enum ptq_err next_line(void *user, struct ptq_bytes *ret_item)
{
    int *left = user;
    if (*left == 0)
        return PTQ_END;
    --*left;
    *ret_item = (struct ptq_bytes){"a b c d e f g h i j", (size_t)(*left % 10) * 2 + 1};
    return PTQ_OK;
}

static void map_a_stream(ptq_pool *pool)
{
    struct ptq_map_options options = {.chunk = 100}; /* for tiny jobs */
    struct ptq_map_item item;
    ptq_imap *imap;
    int left = 100000, lines = 0;
    enum ptq_err answer;

    must(ptq_imap_begin(pool, "count-words", next_line, &left, &options, &imap), "begin");
    while ((answer = ptq_imap_next(imap, PTQ_FOREVER, &item)) == PTQ_OK)
        lines += words_of(&item) == (99999 - lines) % 10 + 1;
    if (answer != PTQ_END)
        must(answer, "stream");
    ptq_imap_end(imap);
    printf("%d lines streamed in order, never more than a few under way\n", lines);
}

static void wait_for_one(ptq_pool *pool)
{
    struct ptq_args args = {0};
    struct ptq_bytes job;
    const ptq_result *result;
    ptq_future *future;
    int64_t product;

    ptq_args_i64(&args, 2);
    ptq_args_i64(&args, 10);
    must(ptq_args_done(&args, &job), "arguments");
    must(ptq_pool_submit_future(pool, "power", job.data, job.size, NULL, PTQ_FOREVER, &future), "submit");
    must(ptq_future_wait(future, PTQ_FOREVER, &result), "wait"); /* after whatever else there is to do */
    must(ptq_result_code(result), "power");
    memcpy(&product, ptq_result_data(result), sizeof product);
    printf("2 to the power of 10 is %lld\n", (long long)product);
    ptq_future_free(future);
    ptq_args_fini(&args);
}

int main(int argc, char **argv)
{
    ptq_bus *bus;
    ptq_pool *pool;

    must(ptq_task_register("count-words", count_words, NULL), "register");
    must(ptq_task_register("power", power, NULL), "register");
    ptq_worker_main(argc, argv); /* does not return in a worker */

    must(ptq_bus_open("words", NULL, &bus), "open bus");
    must(ptq_pool_unlink(bus, "words", true), "remove what an earlier run left");
    must(ptq_pool_open(bus, "words", NULL, &pool), "open pool");
    struct ptq_spawn_options workers = {.count = 2};
    must(ptq_pool_spawn(pool, &workers), "spawn");

    map_an_array(pool);
    map_a_stream(pool);
    wait_for_one(pool);

    ptq_pool_close(pool);
    must(ptq_pool_unlink(bus, "words", true), "remove");
    ptq_bus_close(bus);
    return 0;
}
