/* out.h -- PTQ_ACK_LOCAL: puts of a program that are answered once they stand in an outbox of this host (bus/out.h). */
#ifndef PTQ_REMOTE_VIA_OUT_H
#define PTQ_REMOTE_VIA_OUT_H

#include "remote/via/via.h"

/* ---- out.c, the program's side */
/* The outbox of this handle's target, if it is there: via->opened is filled from it.  PTQ_ENOENT. */
enum ptq_err pti_via_out_find(struct pti_via *via, struct ptq_error *error);
/* ... made, from via->opened. */
enum ptq_err pti_via_out_make(struct pti_via *via, struct ptq_error *error);
void pti_via_out_close(struct pti_via *via);
void pti_via_out_explain(struct pti_via *via, enum ptq_err err, char *buffer, size_t size);
const struct pti_port_ops *pti_via_out_ops(void);

/* ---- carrier.c, the bridge's side: a mover for each outbox.  serve: from now on; stop: waits. */
struct pti_via_carrier;
enum ptq_err pti_carrier_start(ptq_bus *bus, pti_via_log *log, void *log_context, struct pti_via_carrier **ret_carrier);
void pti_carrier_serve(struct pti_via_carrier *carrier); /* the right to serve is this bridge's */
void pti_carrier_poke(struct pti_via_carrier *carrier);
void pti_carrier_stop(struct pti_via_carrier *carrier);

#endif
