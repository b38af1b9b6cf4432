/* restore.h -- the terminal is given back whatever happens. */
#ifndef PTQTOP_RESTORE_H
#define PTQTOP_RESTORE_H

#include <stdbool.h>

void restore_prepare(void); /* before the screen is begun: keeps what the terminal was */
void restore_arm(void);     /* after: from now on a crash restores it, and a wish to end is kept */
void restore_guard(void);   /* when its modes are set: from now on even SIGKILL does */
void restore_disarm(void);  /* after it was ended; ends the process by the signal that came, if one did */
bool restore_wanted(void);  /* did somebody ask us to end? */

#endif
