/* Wait for sockets and timers of the dealer; twin of DealingLoop.turn in connections/dealing_loop.py.

   The interpreter's lock is given up while it waits, and at no other time: on a busy machine each time costs a wait for
   whoever else has it.  The descriptors, callbacks and timers are the twin's.  While it waits for that lock, the standby may
   deal (standby.c). */

#include "standby.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/epoll.h>

#define MOST_EVENTS 128

enum { LOOP, EPOLL, LOCK, CALLBACKS, TIMERS, DEALING_TURNS_ARGUMENTS, STANDBY = DEALING_TURNS_ARGUMENTS, DEALING_TURNS_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[DEALING_TURNS_FIELDS];
} DealingTurns;

static PyObject *acquire_name, *release_name, *is_in_turn, *at_turn_end, *run_timers, *clock_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&acquire_name, "acquire"},    {&release_name, "release"},    {&is_in_turn, "is_in_turn"},
        {&at_turn_end, "at_turn_end"}, {&run_timers, "_run_timers"}, {&clock_name, "clock"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- timers -------------------------------------------------------------------------------------- */

/* Return how many seconds are left before the next timer is due, 0 for none; there is one. */
static double
seconds_to_timer(DealingTurns *self)
{
    PyObject *timer = PySequence_GetItem(PyList_GET_ITEM(self->fields[TIMERS], 0), 0);
    PyObject *now = timer == NULL ? NULL : PyObject_CallMethodNoArgs(self->fields[LOOP], clock_name);
    double seconds = now == NULL ? 0.0 : PyFloat_AsDouble(timer) - PyFloat_AsDouble(now);
    Py_XDECREF(timer);
    Py_XDECREF(now);
    return seconds > 0.0 ? seconds : 0.0;
}

static int
has_timers(DealingTurns *self)
{
    return PyList_GET_SIZE(self->fields[TIMERS]) > 0;
}

/* Return for how many milliseconds to wait; -1: for ever. */
static int
patience(DealingTurns *self)
{
    double milliseconds = has_timers(self) ? ceil(seconds_to_timer(self) * 1e3) : -1.0;
    return milliseconds < (double)INT_MAX ? (int)milliseconds : INT_MAX;
}

/* --- one turn ------------------------------------------------------------------------------------ */

/* Wait without the interpreter's lock; the standby is to know when. */
static int
wait_watched(int epoll, struct epoll_event *events, int milliseconds, PyObject *standby)
{
    if (standby == NULL) {
        return epoll_wait(epoll, events, MOST_EVENTS, milliseconds);
    }
    int may_wait = dealer_waits(standby);
    int count = epoll_wait(epoll, events, MOST_EVENTS, may_wait ? milliseconds : 0), error = errno;
    dealer_returns(standby);
    errno = error;
    return count;
}

static int
wait_for_events(int epoll, struct epoll_event *events, int milliseconds, PyObject *standby)
{
    int count;
    if (milliseconds == 0) {
        count = epoll_wait(epoll, events, MOST_EVENTS, 0);
    }
    else {
        Py_BEGIN_ALLOW_THREADS
        count = wait_watched(epoll, events, milliseconds, standby);
        Py_END_ALLOW_THREADS
    }
    if (count < 0 && errno == EINTR) {
        return 0;
    }
    if (count < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return count;
}

static int
call_back(DealingTurns *self, const struct epoll_event *event)
{
    PyObject *fd = PyLong_FromLong(event->data.fd);
    PyObject *callback = fd == NULL ? NULL : PyDict_GetItemWithError(self->fields[CALLBACKS], fd);
    Py_XDECREF(fd);
    if (callback == NULL) { /* an earlier one may have removed it */
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *events = PyLong_FromUnsignedLong(event->events);
    Py_INCREF(callback);
    PyObject *done = events == NULL ? NULL : PyObject_CallOneArg(callback, events);
    Py_DECREF(callback);
    Py_XDECREF(events);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
run_due(DealingTurns *self)
{
    if (!has_timers(self) || seconds_to_timer(self) > 0.0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *done = PyErr_Occurred() ? NULL : PyObject_CallMethodNoArgs(self->fields[LOOP], run_timers);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
run(DealingTurns *self, const struct epoll_event *events, int count)
{
    for (int number = 0; number < count; number++) {
        if (call_back(self, &events[number]) < 0) {
            return -1;
        }
    }
    if (run_due(self) < 0) {
        return -1;
    }
    PyObject *done = PyObject_CallMethodNoArgs(self->fields[LOOP], at_turn_end);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Take over from the standby, act on events, and hand over to it again. */
static int
run_reconciled(DealingTurns *self, const struct epoll_event *events, int count, PyObject *standby)
{
    if (standby == NULL) {
        return run(self, events, count);
    }
    return reconcile(standby) < 0 || run(self, events, count) < 0 ? -1 : take_snapshot(standby);
}

/* Act on events, with the lock. */
static int
run_locked(DealingTurns *self, const struct epoll_event *events, int count, PyObject *standby)
{
    PyObject *acquired = PyObject_CallMethodNoArgs(self->fields[LOCK], acquire_name);
    if (acquired == NULL) {
        return -1;
    }
    Py_DECREF(acquired);
    int result = PyObject_SetAttr(self->fields[LOOP], is_in_turn, Py_True);
    if (result == 0) {
        result = run_reconciled(self, events, count, standby);
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyObject_SetAttr(self->fields[LOOP], is_in_turn, Py_False) < 0) {
        PyErr_Clear();
    }
    PyObject *released = PyObject_CallMethodNoArgs(self->fields[LOCK], release_name);
    Py_XDECREF(released);
    if (type != NULL) {
        PyErr_Restore(type, value, traceback);
    }
    return released == NULL ? -1 : result;
}

static PyObject *
turn(DealingTurns *self, PyObject *waits)
{
    struct epoll_event events[MOST_EVENTS];
    int does_wait = PyObject_IsTrue(waits);
    int milliseconds = does_wait > 0 ? patience(self) : 0;
    int epoll = does_wait < 0 || PyErr_Occurred() ? -1 : descriptor_in(self->fields[EPOLL]);
    PyObject *standby = Py_XNewRef(self->fields[STANDBY]); /* others run while it waits, and may set another */
    int count = epoll < 0 ? -1 : wait_for_events(epoll, events, milliseconds, standby);
    int result = count < 0 ? -1 : run_locked(self, events, count, standby);
    Py_XDECREF(standby);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- its life ------------------------------------------------------------------------------------ */

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"loop", "epoll", "lock", "callbacks", "timers", NULL};
    PyObject *given[DEALING_TURNS_ARGUMENTS];
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOO!O!:DealingTurns", names, &given[LOOP], &given[EPOLL], &given[LOCK],
                                        &PyDict_Type, &given[CALLBACKS], &PyList_Type, &given[TIMERS])) {
        return NULL;
    }
    DealingTurns *self = (DealingTurns *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int place = 0; place < DEALING_TURNS_ARGUMENTS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    return (PyObject *)self;
}

static int
traverse(DealingTurns *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, DEALING_TURNS_FIELDS, visit, arg);
}

/* It goes on without a standby. */
static int
clear(DealingTurns *self)
{
    Py_CLEAR(self->fields[STANDBY]);
    return 0;
}

static void
deallocate(DealingTurns *self)
{
    free_record((PyObject *)self, self->fields, DEALING_TURNS_FIELDS);
}

static PyObject *
stand_by(DealingTurns *self, PyObject *standby)
{
    if (!Py_IS_TYPE(standby, standby_type)) {
        PyErr_Format(PyExc_TypeError, "expected a standby, got %R", standby);
        return NULL;
    }
    set_field(&self->fields[STANDBY], Py_NewRef(standby));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"turn", (PyCFunction)(void (*)(void))turn, METH_O, "turn(waits)\n--\n\nRun one turn."},
    {"stand_by", (PyCFunction)(void (*)(void))stand_by, METH_O,
     "stand_by(standby)\n--\n\nLet it deal while the interpreter's lock is not to be had."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "The turns of one dealer's loop."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec dealing_turns_spec = {
    .name = "nodecluster_compat._native.DealingTurns",
    .basicsize = sizeof(DealingTurns),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
