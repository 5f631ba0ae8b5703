/* Deal connections while the dealer's thread waits for the interpreter's lock: a thread of plain C beside it.

   The dealer needs that lock, since its ledger is Python's.  Whatever keeps the lock (a message of 100 MiB is decoded or
   freed, an application in the primary computes in C) keeps the dealer from dealing, though it has a thread of its own.  So
   before it waits, the dealer takes a *snapshot* of its ledger for the standby: plans in plain C for the next connections
   (standby_snapshot.c).  The standby deals by them (standby_dealing.c).  When the dealer has the lock again, it
   *reconciles*: before anything else it notes in the ledger what the standby has dealt (standby_reconcile.c).

       dealer    ──turn──snapshot──epoll_wait──┬─ waits for the lock ─────────┬─reconcile──turn──snapshot── …
       standby                                 └─ after a moment: deals … ────┘

   Invariants:

   - There is one ledger, and the dealer alone writes it.  The standby reads and writes its copy (standby.h), which is valid
     from take_snapshot() to reconcile(), while `number` is odd; it does that with `gate` held, and never holds that while
     it waits.
   - Whoever takes the lock of the dealer's loop reconciles first, and takes a new snapshot at the end: the dealer's turn,
     and Dealer.held() on the arbiter's thread.  So a worker or a listener that goes is gone before its descriptors are
     closed, and the standby never uses one that is closed.
   - The standby needs nothing of Python.  So one may wait for `gate` with the interpreter's lock held; it is held for one
     connection.
   - The thread lives within the work of the dealer's (Dealer._deal), which ends for every fork: no child has it, and none
     finds `gate` held.
   - What it cannot deal it leaves alone: clients are in the backlog, workers' words in their channels.

   It must cost nothing where nobody keeps the lock.  The dealer makes no system call to be watched, but one in a millisecond:
   it sets a timer, if that is not set, when it returns from its wait.  At the end the standby looks whether the dealer is
   still at the same place, and is to deal then; at another, and is to be looked at again; or waits, and needs nobody.

   What it does not deal: anything while connections wait here for anybody, with more than eight listening sockets, with a
   policy of a program's own, and where connections are looked at first.  Nor does it while the dealer has lost the
   lock in the middle of a turn, in a line of Python.  Then all wait, as they do in Python alone, which has no standby.

   Rejected: reading Python's sets without the lock, while nobody writes them, which no version of Python promises; a
   ledger of C's, which Python would have to ask for everything that is not ordinary; waking a thread for each turn. */

#define _GNU_SOURCE

#include "standby.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

PyTypeObject *standby_type;

/* --- with the lock of the dealer's loop, and the interpreter's --------------------------------- */

/* Let the standby do nothing any more; 0: it had no snapshot. */
static int
drop_snapshot(Standby *self)
{
    if (!has_snapshot(atomic_load(&self->number))) {
        return 0;
    }
    atomic_store(&self->is_wanted, 1);
    pthread_mutex_lock(&self->gate);
    atomic_fetch_add(&self->number, 1);
    pthread_mutex_unlock(&self->gate);
    atomic_store(&self->is_wanted, 0);
    return 1;
}

/* The same, and note what it has done. */
int
reconcile(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    if (!drop_snapshot(self)) {
        return 0;
    }
    int result = self->plans.dealt_count == 0 ? 0 : note_dealt(&self->plans, self->accepting);
    forget_plans(&self->plans, self->accepting);
    return result;
}

/* Tell the standby what to do with the next connections, if that is simple: by plans that are valid until reconcile(). */
int
take_snapshot(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    if (!self->is_running || has_snapshot(atomic_load(&self->number))) {
        return 0;
    }
    int count = make_plans((Dealings *)self->dealings, &self->channels, &self->plans, self->accepting);
    if (count <= 0) {
        return count;
    }
    pthread_mutex_lock(&self->gate);
    atomic_fetch_add(&self->number, 1);
    pthread_mutex_unlock(&self->gate);
    if (atomic_load(&self->is_away)) {
        alert_standby(self);
    }
    return 0;
}

static PyObject *
take_snapshot_now(PyObject *self, PyObject *Py_UNUSED(none))
{
    return take_snapshot(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reconcile_now(PyObject *self, PyObject *Py_UNUSED(none))
{
    return reconcile(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static int
has_room(Standby *self)
{
    if (self->plans.dealt == NULL) {
        self->plans.dealt = calloc(MOST_DEALT, sizeof *self->plans.dealt);
    }
    return self->plans.dealt != NULL;
}

/* Deal what has come, here and now, as the thread does: for tests. */
static PyObject *
deal(Standby *self, PyObject *Py_UNUSED(none))
{
    Wait wait;
    if (!has_room(self)) {
        return PyErr_NoMemory();
    }
    if (reconcile((PyObject *)self) < 0) {
        return NULL;
    }
    if (make_plans((Dealings *)self->dealings, &self->channels, &self->plans, self->accepting) < 0) {
        return NULL;
    }
    while (deal_next(&self->plans, &wait) == HAS_DEALT) {
    }
    long count = self->plans.dealt_count;
    int result = note_dealt(&self->plans, self->accepting);
    forget_plans(&self->plans, self->accepting);
    return result < 0 ? NULL : PyLong_FromLong(count);
}

/* --- its life ---------------------------------------------------------------------------------- */

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

/* End; what it has dealt is noted by then. */
static PyObject *
stop(Standby *self, PyObject *Py_UNUSED(none))
{
    if (self->is_running) {
        self->is_running = 0;
        atomic_store(&self->is_stopping, 1);
        Py_BEGIN_ALLOW_THREADS
        end_thread(self);
        Py_END_ALLOW_THREADS
        close_timer(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    PyObject *dealings;
    if (prepare_snapshot() < 0 || !PyArg_ParseTuple(args, "O!:Standby", dealings_type, &dealings)) {
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
    for (int plan = 0; plan < MOST_LISTENERS; plan++) {
        Py_VISIT(self->accepting[plan]);
    }
    return 0;
}


/* It is told to do nothing more, as by reconcile(); with the engine gone there is nobody to note it for. */
static int
clear(Standby *self)
{
    drop_snapshot(self);
    close_kept(&self->plans);
    forget_plans(&self->plans, self->accepting);
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
    close_kept(&self->plans);
    forget_plans(&self->plans, self->accepting);
    free(self->plans.dealt);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
get_has_snapshot(Standby *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(has_snapshot(atomic_load(&self->number)));
}

static PyGetSetDef attributes[] = {
    {"has_snapshot", (getter)get_has_snapshot, NULL, "Whether it deals, if the dealer is away.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"start", (PyCFunction)(void (*)(void))start, METH_NOARGS, "start()\n--\n\nBegin; False: it cannot."},
    {"stop", (PyCFunction)(void (*)(void))stop, METH_NOARGS, "stop()\n--\n\nEnd."},
    {"take_snapshot", take_snapshot_now, METH_NOARGS, "take_snapshot()\n--\n\nTell it what to do while the dealer is away."},
    {"reconcile", reconcile_now, METH_NOARGS, "reconcile()\n--\n\nHave it do nothing more, and note what it has done."},
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
