/* Receive what comes on a connection, and wait for it; twin of _receive() in _gunicorn/requests/clean_connection.py.

   Between two requests the greenlet waits as the twin does, by the same watcher and hub; meanwhile its wait is noted for
   the idle limit.  The watcher calls the connection, which stands in line then (ready_turns.c). */

#include "clean_turn.h"

#include <errno.h>
#include <sys/socket.h>

static PyObject *start_name, *stop_name, *switch_name;

static PyTypeObject *watcher_type;
static PyObject *start_watcher, *stop_watcher;

int
prepare_receiving(void)
{
    static const Name names[] = {
        {&start_name, "start"},
        {&stop_name, "stop"},
        {&switch_name, "switch"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- the wait is noted ------------------------------------------------------------------------- */

/* The greenlet waits from now on, unless that is noted already; as the twin's note(). */
static int
note(CleanTurn *self)
{
    if (self->fields[WAITING] != Py_None || self->fields[IS_TIMED] != Py_True) {
        return 0;
    }
    PyObject *resume = self->fields[RESUME];
    PyObject *greenlet =
        PyCFunction_Check(resume) ? Py_NewRef(PyCFunction_GET_SELF(resume)) : PyObject_CallNoArgs(common(self, CURRENT));
    if (greenlet == NULL) {
        return -1;
    }
    set_field(&self->fields[WAITING], greenlet);
    return note_wait(self->fields[WAITS], greenlet, !is_new(self));
}

/* It waits no longer; as the twin's forget_waiting(). */
int
forget_waiting(CleanTurn *self)
{
    PyObject *waiting = self->fields[WAITING];
    if (waiting == NULL || waiting == Py_None) {
        return 0;
    }
    self->fields[WAITING] = Py_NewRef(Py_None);
    int result = forget_wait(self->fields[WAITS], waiting);
    Py_DECREF(waiting);
    return result;
}

/* --- what has come ----------------------------------------------------------------------------- */

/* Return what has come, None when nothing has; NULL is an exception. */
static PyObject *
receive_ready(CleanTurn *self)
{
    static char received[MOST_AT_ONCE]; /* nobody else runs until it is copied */
    int fd = descriptor_of(self->fields[CLIENT]);
    ssize_t size;
    do {
        size = recv(fd, received, (size_t)((Turns *)self->fields[TURNS])->most, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (size >= 0) {
        return PyBytes_FromStringAndSize(received, size);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    return errno == EAGAIN ? Py_NewRef(Py_None) : PyErr_SetFromErrno(PyExc_OSError);
}

/* --- what comes next --------------------------------------------------------------------------- */

/* Find out who waits, and what goes on meanwhile; twin of _find_greenlet(). */
static int
find_greenlet(CleanTurn *self)
{
    PyObject *hub = PyObject_CallNoArgs(common(self, HUB_OF));
    PyObject *greenlet = hub == NULL ? NULL : PyObject_CallNoArgs(common(self, CURRENT));
    PyObject *resume = greenlet == NULL ? NULL : PyObject_GetAttr(greenlet, switch_name);
    Py_XDECREF(greenlet);
    if (resume == NULL) {
        Py_XDECREF(hub);
        return -1;
    }
    set_field(&self->fields[HUB], hub);
    set_field(&self->fields[RESUME], resume);
    return 0;
}

/* Find the methods of the class of watchers, which is the same for nearly all. */
static int
learn_watcher(PyObject *watcher)
{
    if (Py_TYPE(watcher) == watcher_type) {
        return 0;
    }
    PyObject *type = (PyObject *)Py_TYPE(watcher), *start = PyObject_GetAttr(type, start_name);
    PyObject *stop = start == NULL ? NULL : PyObject_GetAttr(type, stop_name);
    if (stop == NULL) {
        Py_XDECREF(start);
        return -1;
    }
    Py_XDECREF(watcher_type);
    watcher_type = (PyTypeObject *)Py_NewRef(type);
    set_field(&start_watcher, start);
    set_field(&stop_watcher, stop);
    return 0;
}

/* Resume the one that is ready next, or the hub. */
static PyObject *
switch_away(CleanTurn *self)
{
    PyObject *next = next_ready((Turns *)self->fields[TURNS], self->fields[HUB]);
    return PyObject_CallOneArg(common(self, SWITCH), next == NULL ? self->fields[HUB] : next);
}

/* Let other greenlets run until the watcher wakes this one; the watcher is stopped whatever happens. */
static int
switch_to_hub(CleanTurn *self, PyObject *watcher)
{
    PyObject *args[] = {watcher, (PyObject *)self};
    PyObject *started = learn_watcher(watcher) < 0 ? NULL : PyObject_Vectorcall(start_watcher, args, 2, NULL);
    if (started == NULL) {
        return -1;
    }
    Py_DECREF(started);
    self->is_waiting = 1;
    PyObject *type, *value, *trace, *woken = switch_away(self);
    self->is_waiting = self->is_ready = 0;
    Py_XDECREF(woken);
    PyErr_Fetch(&type, &value, &trace);
    PyObject *stopped = learn_watcher(watcher) < 0 ? NULL : PyObject_CallOneArg(stop_watcher, watcher);
    Py_XDECREF(stopped);
    if (type != NULL) {
        PyErr_Clear();
        PyErr_Restore(type, value, trace);
    }
    return woken == NULL || stopped == NULL ? -1 : 0;
}

/* Wait for the next request, and return what has come of it. */
static PyObject *
receive_next(CleanTurn *self)
{
    if (note(self) < 0) {
        return NULL;
    }
    for (;;) {
        PyObject *watcher = reader_of(self->fields[CLIENT], self->fields[HUB]);
        int outcome = watcher == NULL ? -1 : switch_to_hub(self, watcher);
        Py_XDECREF(watcher);
        PyObject *data = outcome < 0 ? NULL : receive_ready(self);
        if (data != Py_None) { /* else something else has woken it */
            return data;
        }
        Py_DECREF(data);
    }
}

/* Return what has come, or comes first; nothing at the end of the connection.  NULL is an exception. */
PyObject *
receive_here(CleanTurn *self)
{
    if (PyBytes_GET_SIZE(self->fields[REST])) {
        PyObject *data = self->fields[REST];
        self->fields[REST] = Py_NewRef(no_bytes);
        return data;
    }
    if (is_new(self)) { /* its request is there as a rule */
        PyObject *data = receive_ready(self);
        if (data != Py_None) {
            return data;
        }
        Py_DECREF(data);
    }
    if (self->fields[RESUME] == Py_None && find_greenlet(self) < 0) {
        return NULL;
    }
    return receive_next(self);
}

/* Whether the next bytes can be received here. */
int
is_received_here(CleanTurn *self)
{
    return is_whole_turn(self) && self->fields[UNREADER] == Py_None
           && is_of_client(common(self, ANSWERS), self->fields[CLIENT]);
}
