/* request.c -- the head of an HTTP request: read strictly, never beyond its bytes, and never decoded. */
#include "common/request.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *at;
    size_t size;
};

static bool is_token(const struct text *text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text->size; i++) {
        char c = text->at[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c != '\0' && strchr(marks, c) != NULL);
        if (!good)
            return false;
    }
    return text->size > 0;
}

static bool is(const struct text *text, const char *word)
{
    return text->size == strlen(word) && strncasecmp(text->at, word, text->size) == 0;
}

static void strip(struct text *text)
{
    while (text->size > 0 && (text->at[0] == ' ' || text->at[0] == '\t')) {
        text->at++;
        text->size--;
    }
    while (text->size > 0 && (text->at[text->size - 1] == ' ' || text->at[text->size - 1] == '\t'))
        text->size--;
}

/* What stands before the next `mark`, which is taken away with it; all of the rest where there is none. */
static struct text cut(struct text *rest, char mark)
{
    const char *end = rest->size > 0 ? memchr(rest->at, mark, rest->size) : NULL;
    struct text part = {rest->at, end != NULL ? (size_t)(end - rest->at) : rest->size};
    size_t taken = end != NULL ? part.size + 1 : part.size;

    rest->at += taken;
    rest->size -= taken;
    return part;
}

/* ---- lines ---- */

/* The bytes of one line, without CRLF or LF.  False: it has not ended. */
static bool next_line(struct text *rest, struct text *ret_line)
{
    const char *end = rest->size > 0 ? memchr(rest->at, '\n', rest->size) : NULL;

    if (end == NULL)
        return false;
    *ret_line = cut(rest, '\n');
    if (ret_line->size > 0 && ret_line->at[ret_line->size - 1] == '\r')
        ret_line->size--;
    return true;
}

/* Nothing that a terminal or a log would obey: text and tabs. */
static bool is_clean(const struct text *line)
{
    for (size_t i = 0; i < line->size; i++) {
        unsigned char c = (unsigned char)line->at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* ---- the first line: METHOD TARGET HTTP/1.x ---- */

/* "http://host/path" is as good as "/path". */
static int read_target(struct text target, struct request *request, const char **ret_why)
{
    static const char scheme[] = "http://";

    if (target.size >= sizeof scheme - 1 && strncasecmp(target.at, scheme, sizeof scheme - 1) == 0) {
        const char *path = memchr(target.at + sizeof scheme - 1, '/', target.size - (sizeof scheme - 1));
        target = path != NULL ? (struct text){path, target.size - (size_t)(path - target.at)} : (struct text){"/", 1};
    }
    struct text path = cut(&target, '?');
    if (path.size == 0 || path.at[0] != '/') {
        *ret_why = "the path does not begin with /";
        return 400;
    }
    for (size_t i = 0; i < path.size; i++) {
        if ((unsigned char)path.at[i] <= 0x20 || (unsigned char)path.at[i] >= 0x7f) {
            *ret_why = "the path has bytes that no path has";
            return 400;
        }
    }
    if (path.size > REQUEST_PATH_MOST) {
        *ret_why = "the path is longer than any that there is";
        return 414;
    }
    memcpy(request->path, path.at, path.size);
    request->path[path.size] = '\0';
    return 200;
}

static int read_first_line(struct text line, struct request *request, unsigned *ret_minor, const char **ret_why)
{
    struct text method = cut(&line, ' '), target = cut(&line, ' '), version = line;

    *ret_why = "the first line is not METHOD PATH HTTP/1.1";
    if (!is_token(&method) || target.size == 0 || version.size != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
        version.at[5] < '0' || version.at[5] > '9' || version.at[7] < '0' || version.at[7] > '9')
        return 400;
    if (version.at[5] != '1') {
        *ret_why = "HTTP/1.0 and HTTP/1.1 are spoken here";
        return 505;
    }
    *ret_minor = (unsigned)(version.at[7] - '0');
    bool is_get = method.size == 3 && memcmp(method.at, "GET", 3) == 0;
    request->head_only = method.size == 4 && memcmp(method.at, "HEAD", 4) == 0;
    if (!is_get && !request->head_only) {
        *ret_why = "GET and HEAD are all that is done here";
        return 405;
    }
    return read_target(target, request, ret_why);
}

/* ---- the lines behind it ---- */

struct fields {
    unsigned hosts;
    bool has_body;
};

/* Several lines of one name are one list. */
static void add_accept(struct request *request, const struct text *value)
{
    size_t used = strlen(request->accept), comma = used > 0;

    if (used + comma + value->size > REQUEST_ACCEPT_MOST)
        return;
    if (comma)
        request->accept[used++] = ',';
    memcpy(request->accept + used, value->at, value->size);
    request->accept[used + value->size] = '\0';
}

static bool read_field(struct text line, struct request *request, struct fields *fields)
{
    struct text value = line, name = cut(&value, ':');

    if (name.size == line.size || !is_token(&name)) /* a folded line, a blank before the colon, no colon */
        return false;
    strip(&value);
    if (is(&name, "Host"))
        fields->hosts++;
    else if (is(&name, "Accept"))
        add_accept(request, &value);
    else if (is(&name, "Transfer-Encoding") || (is(&name, "Content-Length") && !is(&value, "0")))
        fields->has_body = true;
    return true;
}

static int read_fields(struct text rest, struct request *request, struct fields *fields, const char **ret_why)
{
    struct text line;

    while (next_line(&rest, &line) && line.size > 0) {
        *ret_why = "a header line makes no sense";
        if (!is_clean(&line) || !read_field(line, request, fields))
            return 400;
    }
    return 200;
}

/* Is the empty line there? */
static bool is_whole(struct text rest)
{
    struct text line;

    while (next_line(&rest, &line)) {
        if (line.size == 0)
            return true;
    }
    return false;
}

/* Law: what is decided of a line is decided when its last byte is there, so that cuts change nothing. */
int request_read(const char *bytes, size_t size, struct request *ret_request, const char **ret_why)
{
    struct text rest = {bytes, size < REQUEST_HEAD_MOST ? size : REQUEST_HEAD_MOST}, line;
    struct request request = {0};
    struct fields fields = {0};
    unsigned minor = 0;

    *ret_why = "";
    while (rest.size > 0 && (rest.at[0] == '\r' || rest.at[0] == '\n')) { /* some clients begin with an empty line */
        rest.at++;
        rest.size--;
    }
    struct text first = {rest.at, rest.size < REQUEST_LINE_MOST ? rest.size : REQUEST_LINE_MOST};
    if (!next_line(&first, &line)) {
        if (rest.size < REQUEST_LINE_MOST && size < REQUEST_HEAD_MOST)
            return 0;
        *ret_why = "the first line is longer than 2 KiB";
        return 414;
    }
    int status = is_clean(&line) ? read_first_line(line, &request, &minor, ret_why) : 400;
    if (status == 400 && **ret_why == '\0')
        *ret_why = "the first line has bytes that are no text";
    if (status != 200)
        return status;
    (void)next_line(&rest, &line);
    if (!is_whole(rest)) {
        *ret_why = size < REQUEST_HEAD_MOST ? "" : "the headers are longer than 4 KiB";
        return size < REQUEST_HEAD_MOST ? 0 : 431;
    }
    status = read_fields(rest, &request, &fields, ret_why);
    if (status != 200)
        return status;
    if (fields.has_body || fields.hosts > 1 || (minor > 0 && fields.hosts == 0)) {
        *ret_why = fields.has_body ? "a GET has no body here" : "HTTP/1.1 wants one Host header";
        return 400;
    }
    *ret_why = "";
    *ret_request = request;
    return 200;
}

/* ---- what is wanted ---- */

/* "0.25" in thousandths; what is no number is 0. */
static int read_weight(const struct text *text)
{
    int weight = 0, place = 1000;

    for (size_t i = 0; i < text->size && place > 0; i++) {
        if (i == 1 && text->at[i] == '.')
            continue;
        if (text->at[i] < '0' || text->at[i] > '9')
            return 0;
        weight += (text->at[i] - '0') * place;
        place /= 10;
    }
    return weight < 1000 ? weight : 1000;
}

/* How precisely a range names the type: 3 by its name, 2 by its kind, 1 by * / *; 0: not at all. */
static int fit(const struct text *range, const char *type)
{
    size_t kind = strcspn(type, "/") + 1;

    if (is(range, type))
        return 3;
    if (is(range, "*/*"))
        return 1;
    return range->size == kind + 1 && strncasecmp(range->at, type, kind) == 0 && range->at[kind] == '*' ? 2 : 0;
}

int request_wants(const char *accept, const char *type)
{
    struct text rest = {accept, strlen(accept)};
    int best = 0, wanted = 0;

    if (rest.size == 0)
        return 1000;
    while (rest.size > 0) {
        struct text entry = cut(&rest, ','), range = cut(&entry, ';');
        int weight = 1000;
        strip(&range);
        while (entry.size > 0) {
            struct text value = cut(&entry, ';'), name = cut(&value, '=');
            strip(&name);
            strip(&value);
            if (is(&name, "q"))
                weight = read_weight(&value);
        }
        int fits = fit(&range, type);
        if (fits > best || (fits > 0 && fits == best && weight > wanted)) {
            best = fits;
            wanted = weight;
        }
    }
    return wanted;
}
