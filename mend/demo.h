/* `mend up --demo`: a new user's first minute. */
#ifndef MEND_DEMO_H
#define MEND_DEMO_H

/* Starts `mend up` in a temporary folder with a web server as its service, kills that with SIGKILL, prints what happened step by
 * step. Exit status: 0 only if the service came back and answers. */
int demo_run(void);

#endif
