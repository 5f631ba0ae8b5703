/* Deal connections while the dealer's thread waits for the interpreter's lock: a thread of plain C beside it.

   The dealer needs that lock, since its ledger is Python's.  Who keeps it (a message of 100 MiB is decoded or freed, an
   application in the primary computes in C) keeps the dealer from dealing, though it has a thread of its own.  So before it
   waits, the dealer *briefs* its standby: it says in plain C what it would do with the next connections.  When it has the
   lock again it *relieves* the standby, and notes what that has dealt, before anything else.

       dealer    ──turn──brief──epoll_wait──┬─ waits for the lock ─────────┬─relieve──turn──brief── …
       standby                              └─ after a moment: deals … ────┘

   Invariants:

   - There is one ledger, and the dealer alone writes it.  The standby knows a copy of what it needs (standby.h), which is
     valid from brief() to relieve(), while `number` is odd; it reads and writes that with `gate` held, and never has that
     while it waits.
   - Whoever takes the lock of the dealer's loop relieves the standby first, and briefs it again at the end: the dealer's
     turn, and Dealer.held() on the arbiter's thread.  So a worker or a listener that goes is gone before its descriptors
     are closed, and the standby never uses one that is.
   - The standby needs nothing of Python.  So one may wait for `gate` with the interpreter's lock held; it is held for one
     connection.
   - The thread lives within the work of the dealer's (Dealer._deal), which ends for every fork: no child has it, and none
     finds `gate` held.
   - What it cannot deal it leaves alone: clients are in the backlog, workers' words in their channels.

   It must cost nothing where nobody keeps the lock.  The dealer makes no system call to be watched, but one in a millisecond:
   it sets a timer, if that is not set, when it returns from its wait.  At the end the standby looks whether the dealer is
   still at the same place, and is to deal then; at another, and is to be looked at again; or waits, and needs nobody.

   What it does not deal: anything while connections wait here for anybody, with several listening sockets, with a policy
   of a program's own, and where connections are looked at first.  Nor does it while the dealer has lost the
   lock in the middle of a turn, in a line of Python.  Then all wait, as they do in Python alone, which has no standby.

   Rejected: reading Python's sets without the lock, while nobody writes them, which no version of Python promises; a
   ledger of C's, which Python would have to ask for everything that is not ordinary; waking a thread for each turn. */

#define _GNU_SOURCE

#include "standby.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOMENT 1000000 /* nanoseconds */
#define STACK_BYTES (256 * 1024)
#define MOST_LOOKS 10000

typedef struct {
    PyObject_HEAD
    PyObject *dealings;
    Accepting *accepting; /* for which it was briefed */
    Channels channels;
    int is_running, timer;
    pid_t owner; /* the process that has the thread */
    pthread_t thread;
    pthread_mutex_t gate;
    atomic_uint number;   /* of briefings and reliefs: odd, while it is briefed */
    atomic_uint seen;     /* that at the last look */
    atomic_int is_away;   /* the dealer does not wait for connections */
    atomic_int is_set;    /* the timer is, or the thread looks */
    atomic_int is_wanted; /* somebody waits for the gate */
    atomic_int is_stopping;
    atomic_int native_id;
    Plan plan;
} Standby;

PyTypeObject *standby_type;

/* --- when it is time to deal ---------------------------------------------------------------------- */

static void
set_timer(Standby *self, long nanoseconds)
{
    const struct itimerspec time = {.it_value = {.tv_nsec = nanoseconds}};
    timerfd_settime(self->timer, 0, &time, NULL);
}

/* See to it that the thread looks, if the dealer does not come back. */
static void
alert(Standby *self)
{
    if (!atomic_load(&self->is_set) && !atomic_exchange(&self->is_set, 1)) {
        atomic_store(&self->seen, atomic_load(&self->number));
        pthread_mutex_lock(&self->gate); /* on which the timer is closed, whoever waits or deals then */
        set_timer(self, MOMENT);
        pthread_mutex_unlock(&self->gate);
    }
}

static int
is_briefed(unsigned number)
{
    return number & 1;
}

/* The dealer begins to wait for connections; return whether it may: not while something that was dealt is to be noted. */
int
dealer_waits(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    pthread_mutex_lock(&self->gate);
    atomic_store(&self->is_away, 0);
    int has_dealt = is_briefed(atomic_load(&self->number)) && self->plan.dealt_count > 0;
    pthread_mutex_unlock(&self->gate);
    return !has_dealt;
}

/* It has something to do, and is to get the interpreter's lock. */
void
dealer_returns(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    atomic_store(&self->is_away, 1);
    if (is_briefed(atomic_load(&self->number))) {
        alert(self);
    }
}

/* --- the thread ----------------------------------------------------------------------------------- */

/* Deal one connection, or find out what to wait for. */
static Done
deal_at_gate(Standby *self, unsigned number, Wait *wait)
{
    pthread_mutex_lock(&self->gate);
    int is_its_turn = atomic_load(&self->number) == number && atomic_load(&self->is_away);
    Done done = is_its_turn ? deal_next(&self->plan, wait) : IS_OVER;
    pthread_mutex_unlock(&self->gate);
    return done;
}

/* Deal until the dealer is back. */
static void
stand_in(Standby *self, unsigned number)
{
    Wait wait;
    while (!atomic_load(&self->is_stopping) && !atomic_load(&self->is_wanted)) {
        Done done = deal_at_gate(self, number, &wait);
        if (done == IS_OVER) {
            return;
        }
        if (done == IS_TO_WAIT) {
            wait.seen[wait.count++] = (struct pollfd){.fd = self->timer, .events = POLLIN}; /* stop() sets it */
            poll(wait.seen, wait.count, wait.milliseconds);
        }
    }
}

/* The dealer waits for connections: sleep until it returns. */
static void
rest(Standby *self)
{
    atomic_store(&self->is_set, 0);
    if (atomic_load(&self->is_away)) {
        alert(self);
    }
}

/* Look where the dealer is. */
static void
look(Standby *self)
{
    unsigned number = atomic_load(&self->number);
    if (!atomic_load(&self->is_away)) {
        rest(self);
        return;
    }
    if (is_briefed(number) && atomic_exchange(&self->seen, number) == number) {
        stand_in(self, number);
    }
    atomic_store(&self->seen, atomic_load(&self->number));
    set_timer(self, MOMENT);
}

static void *
run(void *argument)
{
    Standby *self = argument;
    atomic_store(&self->native_id, (int)syscall(SYS_gettid));
    pthread_setname_np(pthread_self(), "dealer-standby");
    while (!atomic_load(&self->is_stopping)) {
        uint64_t times;
        if (read(self->timer, &times, sizeof times) == sizeof times && !atomic_load(&self->is_stopping)) {
            look(self);
        }
    }
    return NULL;
}

/* Begin it, with all signals blocked: they are the main thread's. */
static int
begin_thread(Standby *self)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) {
        return -1;
    }
    sigfillset(&all);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&self->thread, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : -1;
}

/* Wait until the kernel has seen the thread gone: a fork that counts threads is to find none. */
static void
wait_for_the_end(Standby *self)
{
    pthread_join(self->thread, NULL);
    for (int look = 0; look < MOST_LOOKS; look++) {
        if (syscall(SYS_tgkill, getpid(), atomic_load(&self->native_id), 0) < 0) {
            return;
        }
        sched_yield();
    }
}

/* --- with the lock of the dealer's loop, and the interpreter's ------------------------------------- */

/* Let the standby do nothing any more, and note what it has done; a no-op when it was not briefed. */
int
relieve(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    if (!is_briefed(atomic_load(&self->number))) {
        return 0;
    }
    atomic_store(&self->is_wanted, 1);
    pthread_mutex_lock(&self->gate);
    atomic_fetch_add(&self->number, 1);
    pthread_mutex_unlock(&self->gate);
    atomic_store(&self->is_wanted, 0);
    Accepting *accepting = self->accepting;
    self->accepting = NULL;
    int result = self->plan.dealt_count == 0 ? 0 : note_dealt(accepting, &self->plan);
    Py_XDECREF(accepting);
    return result;
}

/* Tell the standby what to do with the next connections, if that is simple. */
int
brief(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    if (!self->is_running || is_briefed(atomic_load(&self->number))) {
        return 0;
    }
    self->accepting = make_plan((Dealings *)self->dealings, &self->channels, &self->plan);
    if (self->accepting == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    pthread_mutex_lock(&self->gate);
    atomic_fetch_add(&self->number, 1);
    pthread_mutex_unlock(&self->gate);
    if (atomic_load(&self->is_away)) {
        alert(self);
    }
    return 0;
}

static PyObject *
brief_it(PyObject *self, PyObject *Py_UNUSED(none))
{
    return brief(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
relieve_it(PyObject *self, PyObject *Py_UNUSED(none))
{
    return relieve(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static int
has_room(Standby *self)
{
    if (self->plan.dealt == NULL) {
        self->plan.dealt = calloc(MOST_DEALT, sizeof *self->plan.dealt);
    }
    return self->plan.dealt != NULL;
}

/* Deal what has come, here and now, as the thread does: for tests. */
static PyObject *
deal(Standby *self, PyObject *Py_UNUSED(none))
{
    Wait wait;
    if (!has_room(self)) {
        return PyErr_NoMemory();
    }
    if (relieve((PyObject *)self) < 0) {
        return NULL;
    }
    Accepting *accepting = make_plan((Dealings *)self->dealings, &self->channels, &self->plan);
    if (accepting == NULL) {
        return PyErr_Occurred() ? NULL : PyLong_FromLong(0);
    }
    while (deal_next(&self->plan, &wait) == HAS_DEALT) {
    }
    long count = self->plan.dealt_count;
    int result = note_dealt(accepting, &self->plan);
    Py_DECREF(accepting);
    return result < 0 ? NULL : PyLong_FromLong(count);
}

/* --- its life ------------------------------------------------------------------------------------- */

static void
close_timer(Standby *self)
{
    pthread_mutex_lock(&self->gate);
    if (self->timer >= 0) {
        close(self->timer);
        self->timer = -1;
    }
    pthread_mutex_unlock(&self->gate);
}

/* Begin; where the kernel has no thread or descriptor left, the dealer is without. */
static PyObject *
start(Standby *self, PyObject *Py_UNUSED(none))
{
    if (self->is_running) {
        Py_RETURN_TRUE;
    }
    atomic_store(&self->is_stopping, 0);
    atomic_store(&self->is_set, 0);
    atomic_store(&self->is_away, 1);
    self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    self->owner = getpid();
    self->is_running = self->timer >= 0 && has_room(self) && begin_thread(self) == 0;
    if (!self->is_running) {
        close_timer(self);
    }
    return PyBool_FromLong(self->is_running);
}

/* End; it was relieved before. */
static PyObject *
stop(Standby *self, PyObject *Py_UNUSED(none))
{
    if (self->is_running) {
        self->is_running = 0;
        atomic_store(&self->is_stopping, 1);
        Py_BEGIN_ALLOW_THREADS
        set_timer(self, 1);
        wait_for_the_end(self);
        Py_END_ALLOW_THREADS
        close_timer(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    PyObject *dealings;
    if (prepare_briefing() < 0 || !PyArg_ParseTuple(args, "O!:Standby", dealings_type, &dealings)) {
        return NULL;
    }
    Standby *self = (Standby *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->dealings = Py_NewRef(dealings);
    self->timer = -1;
    pthread_mutex_init(&self->gate, NULL);
    return (PyObject *)self;
}

static int
traverse(Standby *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dealings);
    Py_VISIT(self->accepting);
    return 0;
}

static int
clear(Standby *self)
{
    Py_CLEAR(self->dealings);
    return 0;
}

/* Whoever deals stops it before; where a dealer has failed its thread ends here.  A forked process has no such thread. */
static void
deallocate(Standby *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->is_running && self->owner == getpid()) {
        Py_XDECREF(stop(self, NULL));
    }
    pthread_mutex_destroy(&self->gate);
    Py_CLEAR(self->dealings);
    Py_CLEAR(self->accepting);
    free(self->plan.dealt);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
get_is_briefed(Standby *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_briefed(atomic_load(&self->number)));
}

static PyGetSetDef attributes[] = {
    {"is_briefed", (getter)get_is_briefed, NULL, "Whether it deals, if the dealer is away.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"start", (PyCFunction)(void (*)(void))start, METH_NOARGS, "start()\n--\n\nBegin; False: it cannot."},
    {"stop", (PyCFunction)(void (*)(void))stop, METH_NOARGS, "stop()\n--\n\nEnd."},
    {"brief", brief_it, METH_NOARGS, "brief()\n--\n\nTell it what to do while the dealer is away."},
    {"relieve", relieve_it, METH_NOARGS, "relieve()\n--\n\nHave it do nothing more, and note what it has done."},
    {"deal", (PyCFunction)(void (*)(void))deal, METH_NOARGS, "deal()\n--\n\nDeal what has come, for tests; return how many."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "Deals while the dealer waits for the interpreter's lock."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

PyType_Spec standby_spec = {
    .name = "nodecluster_compat._native.Standby",
    .basicsize = sizeof(Standby),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
