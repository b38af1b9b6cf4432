/* remote.h -- the carrier over a link: how a queue of another host is opened. */
#ifndef PTQ_REMOTE_REMOTE_H
#define PTQ_REMOTE_REMOTE_H

#include "bus/bus.h"
#include "queue/port.h"
#include "wire/envelope.h"

/* open_remote and ask_remote of struct pti_carriers.  `run` NULL: the run that is served there. */
enum ptq_err pti_remote_open(ptq_bus *bus, const char *url, const char *run, const char *name,
                             const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port);
void pti_remote_ask(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count);

/* look_remote of it. */
void pti_remote_look(ptq_bus *bus, struct pti_looked *looked, size_t count);

/* Which queues does the home at `url` have?  In two steps, so that several homes are asked at once: begin all, then end each.  Each is waited for until 3 s after its
 * own beginning.  What is written to *ret_directory is there when end answers PTQ_OK: free(names).  end takes `asking`, whatever it answers. */
struct pti_asking;
enum ptq_err pti_remote_ask_begin(ptq_bus *bus, const char *url, const struct pti_directory_ask *ask,
                                  struct ptq_error *error, struct pti_directory *ret_directory,
                                  struct pti_asking **ret_asking);
enum ptq_err pti_remote_ask_end(struct pti_asking *asking, struct ptq_error *error);

#endif
