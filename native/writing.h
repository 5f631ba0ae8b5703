/* Share what the files of writing a message need: writing.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_WRITING_H
#define NODECLUSTER_WRITING_H

#include "frames.h"

#define MOST_SMALL 4096

/* The places of attributes: of a writer, its queue, and the burst that it counts. */
enum { QUEUE, SOCK, SMALL_BYTES, BURST, REACTOR, IS_OPEN, IS_WATCHED, IS_RESTING, IS_AT_WORK, IS_COLLECTING, HAS_FAULTS,
       WRITE_BY, WRITER_SLOTS };
enum { QUEUED, BYTES_WAITING, QUEUE_SLOTS };
enum { LAST, COUNT, BURST_SLOTS };
enum { WRITER, ENCODE, ENTRY, SOCKET, CLOCK, ITEM, BUFFER, POST_FIELDS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fields[POST_FIELDS]; /* ITEM and BUFFER: the entry that was added last, and its bytes */
    long long limit;
    long burst_frames, most_collected, most_waiting, entry_cost, pressure;
    double burst_seconds;
    int kind;      /* of its frames */
    char is_held; /* messages wait behind a handle */
    Py_ssize_t writer[WRITER_SLOTS], queue[QUEUE_SLOTS], burst[BURST_SLOTS];
} Post;

/* --- writing.c --------------------------------------------------------------------------------- */

/* Return an attribute of the writer, borrowed; an exception while it is not set. */
static inline PyObject *
of_writer(Post *self, int which)
{
    return get_slot(self->fields[WRITER], self->writer[which]);
}

static inline int
is_set(Post *self, int which)
{
    return of_writer(self, which) != Py_False;
}

/* --- what waits: write_queue.c ----------------------------------------------------------------- */

int prepare_write_queue(void);
PyObject *of_queue(Post *self, int which);
Py_ssize_t look_at_queue(Post *self, int *is_ours);
int has_room(Post *self, Py_ssize_t count);
int collect(Post *self, PyObject *payload);
int forget_entry(Post *self, Py_ssize_t size);

/* --- what the kernel gets: write_calls.c ------------------------------------------------------- */

int prepare_write_calls(void);
int write_collected(Post *self);
int write_small(Post *self, PyObject *payload);

#endif
