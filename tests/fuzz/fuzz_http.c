/* fuzz_http.c -- foreign bytes as an HTTP request: one answer of those that there are, the same however they were cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/request.h"
#include "fuzz/fuzz.h"

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_http: %s\n", what);
        abort();
    }
}

/* A copy of its own size, so that a read beyond it is seen. */
static int read_cut(const uint8_t *data, size_t size, struct request *request)
{
    char *copy = malloc(size > 0 ? size : 1);
    const char *why = NULL;

    check(copy != NULL, "no memory");
    memcpy(copy, data, size);
    int status = request_read(copy, size, request, &why);
    check(why != NULL && (why[0] != '\0') == (status >= 400), "a sentence for refusals, and for them alone");
    free(copy);
    return status;
}

static void check_request(const struct request *request)
{
    size_t length = strnlen(request->path, sizeof request->path);

    check(request->path[0] == '/' && length < sizeof request->path, "a path");
    for (size_t i = 0; i < length; i++)
        check(request->path[i] > 0x20 && request->path[i] < 0x7f && request->path[i] != '?', "text in the path");
    check(strnlen(request->accept, sizeof request->accept) < sizeof request->accept, "an end of accept");
    int open = request_wants(request->accept, "application/openmetrics-text"), plain = request_wants(request->accept, "text/plain");
    check(open >= 0 && open <= 1000 && plain >= 0 && plain <= 1000, "thousandths");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {0, 200, 400, 405, 414, 431, 505};
    struct request request = {0}, other;
    int status = read_cut(data, size, &request), known = 0;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        known |= status == statuses[i];
    check(known, "a status that is not known");
    check(status != 0 || size < REQUEST_HEAD_MOST, "4 KiB are enough for an answer");
    if (status == 200)
        check_request(&request);
    for (size_t i = 0; i < 8; i++) {
        size_t cut = size * (i + 1) / 9;
        memset(&other, 0, sizeof other);
        int early = read_cut(data, cut, &other);
        check(early == 0 || (early == status && memcmp(&request, &other, sizeof other) == 0), "a cut changes the answer");
    }
    return 0;
}
