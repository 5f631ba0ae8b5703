/* Share what the files of the standby need: standby.c, which has the theory, standby_dealing.c, standby_reconcile.c,
   standby_snapshot.c, standby_thread.c. */

#ifndef NODECLUSTER_STANDBY_H
#define NODECLUSTER_STANDBY_H

#include "dealing.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define MOST_LISTENERS 8 /* where there are more, the dealer deals */
#define MOST_MEMBERS MOST_CHOSEN_FROM
#define MOST_IN_TURN 32 /* that are known to the standby where turns choose: those that come first */
#define MOST_DEALT 4096 /* some tenths of a second of a busy server; memory that is not used is not had */
#define PACKET_ROOM 256

/* A connection that the standby has accepted. */
typedef struct {
    int fd;         /* -1: it lies in the channel of its worker */
    int plan;       /* that by which it was dealt */
    long worker_id; /* 0: it waits for the dealer */
    socklen_t size;
    SocketAddress address;
} Dealt;

/* What the standby knows of one listener. */
typedef struct {
    int listening;
    char packet[PACKET_ROOM];
    size_t packet_size;
    const Policy *policy;
    Member members[MOST_MEMBERS]; /* in the order of their turns */
    Choice choice;                /* among them */
    int names;                    /* a client may be one worker's, which is named by its address */
    int ipv4_prefix, ipv6_prefix; /* so much of that counts */
    int most_kept;                /* for each worker */
    int is_over;                  /* nothing more is to be done before the dealer is back */
} Plan;

/* All that it knows, and what it has done, in that order: a worker may have been given connections of several. */
typedef struct {
    Plan of[MOST_LISTENERS];
    int count, next; /* the plan that is the first to be asked */
    Dealt *dealt;
    int dealt_count;
} Plans;

/* What would let the standby go on. */
typedef struct {
    struct pollfd seen[1 + MOST_LISTENERS * (1 + MOST_MEMBERS)]; /* room for the timer */
    nfds_t count;
    int milliseconds;
} Wait;

/* standby_dealing.c */
typedef enum { HAS_DEALT, IS_TO_WAIT, IS_OVER } Done;

Done deal_next(Plans *plans, Wait *wait);

/* standby_snapshot.c */
typedef struct {
    long worker_id;
    int channel;
} Known;

#define MOST_KNOWN 64

/* The channels that were looked up: a worker has one, and no other worker gets its id. */
typedef struct {
    Known of[MOST_KNOWN];
} Channels;

int prepare_snapshot(void);
int make_plans(Dealings *dealings, Channels *channels, Plans *plans, Accepting **accepting);

/* standby_reconcile.c */
int note_dealt(Plans *plans, Accepting **accepting);
void close_kept(Plans *plans);
void forget_plans(Plans *plans, Accepting **accepting);

typedef struct {
    PyObject_HEAD
    PyObject *dealings;
    Accepting *accepting[MOST_LISTENERS]; /* those of the plans */
    Channels channels;
    int is_running, timer;
    pid_t owner; /* the process that has the thread */
    pthread_t thread;
    pthread_mutex_t gate;
    atomic_uint number;   /* of snapshots taken and reconciled: odd, while it has one */
    atomic_uint seen;     /* that at the last look */
    atomic_int is_away;   /* the dealer does not wait for connections */
    atomic_int is_set;    /* the timer is, or the thread looks */
    atomic_int is_wanted; /* somebody waits for the gate */
    atomic_int is_stopping;
    atomic_int native_id;
    Plans plans;
} Standby;

/* Whether a number says that the standby has a snapshot. */
static inline int
has_snapshot(unsigned number)
{
    return number & 1;
}

/* standby_thread.c */
void alert_standby(Standby *self);
int begin_thread(Standby *self);
void end_thread(Standby *self);
int dealer_waits(PyObject *standby);
void dealer_returns(PyObject *standby);

/* standby.c */
extern PyTypeObject *standby_type;

int reconcile(PyObject *standby);
int take_snapshot(PyObject *standby);

#endif
