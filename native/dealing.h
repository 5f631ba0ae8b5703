/* Share what the files of dealing need: accepted.c, accepting.c, addresses.c, ahead.c, arming.c, choosing.c, dealing.c,
   dealings.c, worker_queues.c, offers.c, peeked_target.c, shared_number.c, standby_snapshot.c, taken.c.

   The ledger is Python's: its sets, dictionaries and objects, as the twins keep them.  C reads and changes the same ones,
   so whatever it leaves to Python, in the middle of anything, Python goes on with.  Everything runs with the lock of the
   dealer's loop held, as the twins do. */

#ifndef NODECLUSTER_DEALING_H
#define NODECLUSTER_DEALING_H

#include "native.h"
#include "policies.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

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
    EPOLL_OF_ALL, /* what that waits with */
    CONNECTION, /* the classes ... */
    OFFERING_END,
    OFFER_METHOD, /* of that class: whoever replaces them wants to be called */
    TAKEN_METHOD,
    BUILT_IN, /* {class: number}: the policies, as policies.h counts them */
    DISPATCHER,
    DEALINGS_FIELDS
};

enum { WORKER_ID, NEAR, IS_BUSY, HAS_LEFT, IS_OPEN, OFFERED, HANDED, AGE, LOOKS, SLOT, ENDED, END_SLOTS };
enum { MEMBERS, FULL, IDLE_WORKERS, LINE, NAMED, AGED, POLICY, LAST, PLACES, MOST_NAMED, DISPATCHER_SLOTS };
enum { COUNTS, MOST, TURNS_SLOTS };
enum { LINE_OF_IDLE, STATE, WEIGHTS, CREDITS, IPV4_PREFIX, IPV6_PREFIX, POLICY_SLOTS };
enum { LEFT, THEN, SINCE, ALLOWANCE_SLOTS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[DEALINGS_FIELDS];
    Py_ssize_t end[END_SLOTS], dispatcher[DISPATCHER_SLOTS], turns[TURNS_SLOTS], allowance[ALLOWANCE_SLOTS],
        policy[POLICY_SLOTS];
    PyTypeObject *classes[POLICIES]; /* of those that were seen */
    long lead, most_behind, patience;
    double most_left, share, each; /* of the allowance */
} Dealings;

extern PyTypeObject *dealings_type;

/* --- one listener: accepting.c ---------------------------------------------------------------- */

enum { LISTENER, SOCK, DISPATCHER_OF, DEALINGS, PACKET, LISTENER_ID, ACCEPTING_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[ACCEPTING_FIELDS];
    long most, limit, enough, few;
} Accepting;

extern PyTypeObject *accepting_type;

/* --- addresses of clients: addresses.c --------------------------------------------------------- */

typedef union {
    struct sockaddr any;
    struct sockaddr_in ip;
    struct sockaddr_in6 ip6;
    struct sockaddr_un local;
    struct sockaddr_storage room;
} SocketAddress;

PyObject *address_of(const SocketAddress *address, socklen_t size);

/* --- between them ------------------------------------------------------------------------------ */

/* What a dispatcher has, while Python does not run: borrowed. */
typedef struct {
    PyObject *members, *full, *idle, *line, *named, *round, *chooser; /* the last is the policy */
    const Policy *policy;
} Table;

#define MOST_CHOSEN_FROM 64 /* with more workers Python chooses, unless it is round robin */

/* A choice, and the ids of those among whom it is made: borrowed. */
typedef struct {
    Choice choice;
    int place; /* of who was chosen, or NOBODY */
    Member members[MOST_CHOSEN_FROM];
    PyObject *ids[MOST_CHOSEN_FROM];
} Chosen;

/* A connection that is to be dealt: borrowed. */
typedef struct {
    int fd;
    PyObject *peer, *target, *number; /* whose it is, 0 for anybody's, and its place among those that wait */
    PyObject *worker_id;              /* to whom it goes by now; NULL: that is to be found out */
} Place;

/* choosing.c */
int read_member(Dealings *self, Table *table, PyObject *worker_id, Member *member);
int read_prefixes(Dealings *self, Table *table, int *ipv4_prefix, int *ipv6_prefix);
int read_rest(Dealings *self, Table *table, PyObject *peer, Choice *choice);
PyObject *choose_by_policy(Dealings *self, Table *table, PyObject *peer, Chosen *chosen);
int write_choice(Dealings *self, Table *table, const Choice *choice);
int note_choice(Dealings *self, Table *table, Chosen *chosen);

/* shared_number.c */
extern PyTypeObject *shared_number_type;

const uint64_t *number_behind(PyObject *object);

/* dealings.c */
int forget(PyObject *dictionary, PyObject *key);
int is_same(Dealings *self, PyObject *name, int method);
PyObject *of_dispatcher(Accepting *self, int which);
int look_at(Accepting *self, Table *table);

/* Whether an object is an end of a worker's channel, whose slots are known. */
static inline int
is_end(Dealings *self, PyObject *object)
{
    return (PyObject *)Py_TYPE(object) == self->fields[OFFERING_END];
}

static inline Dealings *
dealings_of(Accepting *self)
{
    return (Dealings *)self->fields[DEALINGS];
}

/* accepting.c */
int fetch(Accepting *self);
int is_ordinary(Accepting *self);

/* accepted.c */
int prepare_accepted(void);
int deal_accepted(Accepting *self, int fd, PyObject *peer, PyObject *target);

/* peeked_target.c */
int prepare_peeked_target(void);
PyObject *peek_target(Accepting *self, int fd);

/* dealing.c */
int prepare_dealing(void);
int deal_one(Accepting *self, const Place *place);
int note_given(Accepting *self, PyObject *worker_id, const Place *place);
int deal_first(Accepting *self, PyObject *queue, PyObject *worker_id);
int deal_line(Accepting *self);

/* worker_queues.c */
int prepare_worker_queues(void);
int waits_for(Accepting *self, Table *table, PyObject *target);
PyObject *whom_to_wait_for(Accepting *self, Table *table, const Place *place);
int wait_for(Table *table, PyObject *target, PyObject *number, PyObject *connection);
int deal_to(Accepting *self, PyObject *worker_id);

/* offers.c */
int prepare_offers(void);
int channel_of(Dealings *self, PyObject *end);
int send_descriptor(int channel, const char *packet, size_t size, int fd);
int offer(Dealings *self, PyObject *end, Accepting *accepting, const Place *place);
int note_offered(Dealings *self, PyObject *end, Accepting *accepting, const Place *place);

/* ahead.c */
int prepare_ahead(void);
int is_ahead(Dealings *self, Accepting *accepting, Table *table, PyObject *worker_id);
int let_wait(Dealings *self, Accepting *accepting, PyObject *worker_id);
int stop_waiting(Dealings *self, PyObject *worker_id);

/* taken.c */
int prepare_taken(void);
Accepting *only_one(Dealings *self);
int find_taken(Dealings *self);
PyObject *find_idle(Dealings *self, PyObject *none);
PyObject *edges(Dealings *self, PyObject *events);

/* arming.c */
int prepare_arming(void);
PyObject *arm(Dealings *self, PyObject *none);

#endif
