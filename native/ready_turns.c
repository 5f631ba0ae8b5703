/* Let greenlets whose connections are ready at the same time go on one after another; the twin's go on by way of the hub.

   The hub resumes a greenlet for which something has come; that serves, and switches back to the hub, which resumes the next
   one: two switches for each request.  Here those for which something has come stand in a line.  The hub resumes the first
   of them, once it knows of all, and each that waits for its next request resumes the one behind it.  The last one switches
   to the hub, and so does one that waits for anything else: the hub goes on with the line.  The hub alone puts connections
   in line, so nobody is put there while the others are resumed, and timers and other callbacks have their turn behind them.

   One that something else wakes meanwhile, a time-out for example, keeps its place, and is passed over.  A process that was
   forked has the line of its parent, whose connections are none of its business: it begins a new one. */

#include "clean_turn.h"

#include <pthread.h>

static PyObject *loop_name, *run_callback;
static unsigned long forks; /* that this process comes from */

static void
count_fork(void)
{
    forks++;
}

int
prepare_ready(void)
{
    static const Name names[] = {{&loop_name, "loop"}, {&run_callback, "run_callback"}};
    static int is_told;
    if (!is_told && pthread_atfork(NULL, NULL, count_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    is_told = 1;
    return make_names(names, COUNT_OF(names));
}

/* --- the line ---------------------------------------------------------------------------------- */

/* Take the first one off the line, a reference; NULL: there is none, and no exception. */
static CleanTurn *
take_first(Turns *turns)
{
    CleanTurn *first = turns->first;
    if (first != NULL) {
        turns->first = first->behind;
        turns->last = turns->first == NULL ? NULL : turns->last;
        first->behind = NULL;
        first->is_in_line = 0;
    }
    return first;
}

/* Nobody stands in the line any more; whoever is still ready will be called again. */
void
forget_ready(Turns *turns)
{
    CleanTurn *first;
    while ((first = take_first(turns)) != NULL) {
        first->is_ready = 0;
        Py_DECREF(first);
    }
    turns->is_line_due = 0;
}

static void
leave_line_of_parent(Turns *turns)
{
    if (turns->forks != forks) {
        forget_ready(turns);
        turns->forks = forks;
    }
}

static void
put_last(Turns *turns, CleanTurn *self)
{
    self->is_ready = 1;
    if (self->is_in_line) { /* it was to be passed over */
        return;
    }
    self->is_in_line = 1;
    *(turns->first == NULL ? &turns->first : &turns->last->behind) = (CleanTurn *)Py_NewRef(self);
    turns->last = self;
}

/* The greenlet that a connection resumes, borrowed; NULL: it resumes something else, and no exception. */
static PyObject *
greenlet_of(CleanTurn *self)
{
    PyObject *resume = self->fields[RESUME];
    return resume != NULL && PyCFunction_Check(resume) ? PyCFunction_GET_SELF(resume) : NULL;
}

/* Return the greenlet that goes on next in the hub's thread, borrowed: who is ready waits, and so its stack has the greenlet.

   NULL: none does, and no exception.  A caller that had a reference would have it for as long as it waits, and a greenlet
   that somebody has serves no other connection. */
PyObject *
next_ready(Turns *turns, PyObject *hub)
{
    PyObject *greenlet = NULL;
    leave_line_of_parent(turns);
    while (greenlet == NULL && turns->first != NULL && turns->hub == hub) {
        CleanTurn *next = take_first(turns);
        greenlet = next->is_ready && next->fields[HUB] == hub ? greenlet_of(next) : NULL;
        next->is_ready = 0;
        Py_DECREF(next);
    }
    return greenlet;
}

/* --- the hub ----------------------------------------------------------------------------------- */

static PyObject *go_on(PyObject *turns, PyObject *hub);

static PyMethodDef go_on_method = {"go_on", go_on, METH_O, NULL};

/* Have the hub go on with the line on this turn of its loop. */
static int
call_later(Turns *turns, PyObject *hub)
{
    PyObject *loop = PyObject_GetAttr(hub, loop_name);
    PyObject *call = loop == NULL ? NULL : PyCFunction_New(&go_on_method, (PyObject *)turns);
    PyObject *given[] = {loop, call, hub};
    PyObject *callback = call == NULL ? NULL : PyObject_VectorcallMethod(run_callback, given, 3, NULL);
    turns->is_line_due = callback != NULL;
    Py_XDECREF(loop);
    Py_XDECREF(call);
    Py_XDECREF(callback);
    return callback == NULL ? -1 : 0;
}

/* In the hub: resume all that stand in the line.  After an exception, which the hub reports, their watchers call again. */
static PyObject *
go_on(PyObject *self, PyObject *hub)
{
    Turns *turns = (Turns *)self;
    PyObject *greenlet, *woken;
    leave_line_of_parent(turns);
    turns->is_line_due = 0;
    while ((greenlet = next_ready(turns, hub)) != NULL) {
        if ((woken = PyObject_CallOneArg(turns->fields[SWITCH], greenlet)) == NULL) {
            return NULL;
        }
        Py_DECREF(woken);
    }
    Py_RETURN_NONE;
}

/* Whether a connection can stand in the line; it is the only one of its thread's hub. */
static int
can_stand_in_line(Turns *turns, CleanTurn *self)
{
    leave_line_of_parent(turns);
    if (turns->first == NULL && turns->hub != self->fields[HUB]) {
        turns->is_line_due = 0;
        set_field(&turns->hub, Py_NewRef(self->fields[HUB]));
    }
    return turns->hub == self->fields[HUB] && greenlet_of(self) != NULL;
}

/* In the hub: something has come for a greenlet that waits, which its watcher says by calling the connection. */
PyObject *
call_turn(PyObject *connection, PyObject *args, PyObject *named)
{
    CleanTurn *self = (CleanTurn *)connection;
    if (!is_whole_turn(self)) {
        PyErr_SetString(PyExc_AttributeError, "the connection is not whole");
        return NULL;
    }
    if (!self->is_waiting) { /* somebody has kept what the watcher called */
        Py_RETURN_NONE;
    }
    Turns *turns = (Turns *)self->fields[TURNS];
    if (!can_stand_in_line(turns, self)) {
        return PyObject_CallNoArgs(self->fields[RESUME]);
    }
    if (!turns->is_line_due && call_later(turns, turns->hub) < 0) {
        return NULL;
    }
    put_last(turns, self);
    Py_RETURN_NONE;
}

/* The greenlet that is resumed, as a bound method has it: gevent's cancel_wait() looks for that, and throws into it. */
PyObject *
resumed_by(PyObject *connection, void *unused)
{
    PyObject *greenlet = greenlet_of((CleanTurn *)connection);
    if (greenlet == NULL) {
        PyErr_SetString(PyExc_AttributeError, "__self__");
    }
    return Py_XNewRef(greenlet);
}
