/* Share what the files of dealing need: accepting.c, ahead.c, dealing.c, dealings.c, offers.c, taken.c.

   The ledger is Python's: its sets, dictionaries and objects, as the twins keep them.  C reads and changes the same ones,
   so whatever it leaves to Python, in the middle of anything, Python goes on with.  Everything runs with the lock of the
   dealer's loop held, as the twins do. */

#ifndef NODECLUSTER_DEALING_H
#define NODECLUSTER_DEALING_H

#include "native.h"

/* --- what the listeners of an engine have in common: dealings.c ------------------------------- */

enum {
    ENGINE,
    TAKEN,     /* the epoll that tells of edges */
    OFFERS,    /* {worker: end}: not known to be taken */
    ENDS,      /* {worker: end} */
    BY_FD,     /* {descriptor: end} */
    AHEAD,     /* {worker: listener}: who waits for others */
    LISTENERS, /* {number: listener} */
    TURNS,
    ALLOWANCE,
    UNTAKEN,    /* who looks at what lies */
    LOOP_OF_ALL,
    CONNECTION, /* the classes ... */
    OFFERING_END,
    OFFER_METHOD, /* of that class: whoever replaces them wants to be called */
    TAKEN_METHOD,
    ROUND_ROBIN,
    DISPATCHER,
    DEALINGS_FIELDS
};

enum { WORKER_ID, NEAR, IS_BUSY, HAS_LEFT, IS_OPEN, OFFERED, HANDED, AGE, LOOKS, END_SLOTS };
enum { MEMBERS, FULL, IDLE_WORKERS, LINE, NAMED, AGED, POLICY, LAST, PLACES, DISPATCHER_SLOTS };
enum { COUNTS, MOST, TURNS_SLOTS };
enum { LEFT, THEN, ALLOWANCE_SLOTS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[DEALINGS_FIELDS];
    Py_ssize_t end[END_SLOTS], dispatcher[DISPATCHER_SLOTS], turns[TURNS_SLOTS], allowance[ALLOWANCE_SLOTS],
        line_of_idle;
    long lead, most_behind, patience;
    double most_left, share; /* of the allowance */
} Dealings;

extern PyTypeObject *dealings_type;

/* --- one listener: accepting.c ---------------------------------------------------------------- */

enum { LISTENER, SOCK, DISPATCHER_OF, DEALINGS, PACKET, LISTENER_ID, ACCEPTING_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[ACCEPTING_FIELDS];
    long most, limit;
} Accepting;

extern PyTypeObject *accepting_type;

/* --- between them ------------------------------------------------------------------------------ */

/* What a dispatcher has, while Python does not run: borrowed. */
typedef struct {
    PyObject *members, *full, *idle, *line, *round;
} Table;

/* dealings.c */
int tell(PyObject *object, PyObject *name, PyObject *argument);
int is_true(PyObject *object, PyObject *name);
int forget(PyObject *dictionary, PyObject *key);
int is_same(Dealings *self, PyObject *name, int method);
PyObject *of_dispatcher(Accepting *self, int which);
int look_at(Accepting *self, Table *table);

static inline Dealings *
dealings_of(Accepting *self)
{
    return (Dealings *)self->fields[DEALINGS];
}

/* dealing.c */
int prepare_dealing(void);
int deal_one(Accepting *self, int fd, PyObject *peer, PyObject *number);
int deal_line(Accepting *self);

/* offers.c */
int prepare_offers(void);
int offer(Dealings *self, PyObject *end, Accepting *accepting, int fd, PyObject *peer);

/* ahead.c */
int prepare_ahead(void);
int is_ahead(Dealings *self, Accepting *accepting, Table *table, PyObject *worker_id);
int let_wait(Dealings *self, Accepting *accepting, PyObject *worker_id);
int stop_waiting(Dealings *self, PyObject *worker_id);

/* taken.c */
int prepare_taken(void);
int find_taken(Dealings *self);
PyObject *find_idle(Dealings *self, PyObject *none);
PyObject *edges(Dealings *self, PyObject *events);
PyObject *arm(Dealings *self, PyObject *none);

#endif
