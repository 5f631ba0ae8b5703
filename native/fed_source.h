/* Share what the files of serving what is dealt need: fed_source.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_FED_SOURCE_H
#define NODECLUSTER_FED_SOURCE_H

#include "native.h"

enum {
    SOURCE,
    WORKER,
    SERVING,   /* {greenlet: client} */
    LISTENERS, /* {number: (listener, its name, what its clients' sockets are)} */
    CURRENT,   /* returns the greenlet */
    LOOP,
    KIND, /* the class of the connections ... */
    TURNS_OF, /* ... and what they share */
    METERING,
    ERROR_LOG,
    GREENLETS, /* in which connections are served; not there before begin() of the twin */
    FEEDING_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[FEEDING_FIELDS];
    int has_limit; /* requests are limited, as far as they have a slot */
    int was_full;  /* somebody has asked for room since the twin was told that there is some */
} Feeding;

/* --- requests of a connection: fed_requests.c -------------------------------------------------- */

int prepare_fed_requests(void);
int serve_requests(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *slot);

/* --- a connection: fed_connections.c ----------------------------------------------------------- */

int prepare_fed_connections(void);
int serve_connection(Feeding *self, PyObject *entry, int fd);

#endif
