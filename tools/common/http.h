/* http.h -- a few pages for those who watch a program: GET over HTTP/1.0 and 1.1, one thread, little of everything.
 *
 * A request has 4 KiB and 5 s; there are 32 connections, and where all are taken the one that has been silent for longest goes; each
 * has one answer and is closed.  Nothing is decoded and no file is read: a page is what its function makes.  Who listens beyond
 * the loopback says so.
 */
#ifndef PTQ_TOOLS_HTTP_H
#define PTQ_TOOLS_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <ptq/err.h>

#include "common/request.h"

/** What is sent; shared by those who are sent the same. */
struct http_page;

/** Takes `text` (from malloc; also on failure).  NULL: no memory.  `type` is constant.  It is held once, by the caller. */
struct http_page *http_page_new(int status, const char *type, char *text, size_t size);
struct http_page *http_page_hold(struct http_page *page);
void http_page_drop(struct http_page *page); /**< NULL is fine */

#define HTTP_TEXT "text/plain; charset=utf-8"
#define HTTP_JSON "application/json"

struct http_route {
    const char *path, *what; /**< what: for those who asked for a path that is not there */
    /** On the thread of http.  A page that is held for the caller; NULL: no memory.  While it makes one, nobody else is answered. */
    struct http_page *(*make)(void *context, const struct request *request);
};

struct http_options {
    const char *address; /**< "127.0.0.1:9417" (port 0: any), "[::1]:9417", "unix:/run/ptqbridge.http"; only they who may write to the
                              socket's file get in: it is the user's alone */
    bool insecure;       /**< also beyond the loopback */
    const char *program; /**< for sentences */
    const struct http_route *routes; /**< borrowed until stop; the last has no path */
    void *context;
};

struct http;

/** Listens, and answers from a thread of its own.  PTQ_EPERM: beyond the loopback; of all but PTQ_OK a sentence stands in `why`. */
enum ptq_err http_start(const struct http_options *options, char *why, size_t why_size, struct http **ret_http);
/** "http://127.0.0.1:9417", with the real port; "unix:..." */
const char *http_url(const struct http *http);
void http_stop(struct http *http); /**< waits; NULL is fine */

#endif
