/* Note who waits for a request, and who waits no longer; twin of note(), began() and forget() in gevent_runtime/idle_limit.py.

   The notes are the twin's, which looks at them; here they are only put in and taken out. */

#include "native.h"

#include <time.h>

static PyObject *waiting_name, *seconds_name, *timer_name, *start_name, *began_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&waiting_name, "_waiting"}, {&seconds_name, "_seconds"}, {&timer_name, "_timer"},
        {&start_name, "_start"},     {&began_name, "_began"},
    };
    return began_name != NULL ? 0 : make_names(names, COUNT_OF(names));
}

/* Return when a wait that begins now is over. */
static PyObject *
deadline(PyObject *seconds)
{
    struct timespec now;
    double added = PyFloat_AsDouble(seconds);
    if (added == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyFloat_FromDouble((double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9 + added);
}

/* Start the timer that looks at the notes, if it does not run. */
static int
let_sweep(PyObject *waits)
{
    PyObject *timer = PyObject_GetAttr(waits, timer_name);
    PyObject *started = timer == Py_None ? PyObject_CallMethodNoArgs(waits, start_name) : Py_XNewRef(timer);
    Py_XDECREF(timer);
    Py_XDECREF(started);
    return started == NULL ? -1 : 0;
}

/* The client of a greenlet that waits is expected to ask for something: it is not idle. */
static int
note_began(PyObject *waits, PyObject *greenlet)
{
    PyObject *began = PyObject_GetAttr(waits, began_name);
    int result = began == NULL ? -1 : PySet_Add(began, greenlet);
    Py_XDECREF(began);
    return result;
}

/* A greenlet, the current one, waits from now on; it is idle, or waits for a first request. */
int
note_wait(PyObject *waits, PyObject *greenlet, int is_idle)
{
    if (prepare() < 0) {
        return -1;
    }
    PyObject *waiting = PyObject_GetAttr(waits, waiting_name), *seconds = PyObject_GetAttr(waits, seconds_name);
    PyObject *at = waiting == NULL || seconds == NULL ? NULL : deadline(seconds);
    int result = at == NULL ? -1 : PyObject_SetItem(waiting, greenlet, at);
    Py_XDECREF(waiting);
    Py_XDECREF(seconds);
    Py_XDECREF(at);
    if (result < 0 || let_sweep(waits) < 0) {
        return -1;
    }
    return is_idle ? 0 : note_began(waits, greenlet);
}

/* A greenlet, the current one, waits no longer. */
int
forget_wait(PyObject *waits, PyObject *greenlet)
{
    PyObject *waiting = prepare() < 0 ? NULL : PyObject_GetAttr(waits, waiting_name);
    PyObject *began = waiting == NULL ? NULL : PyObject_GetAttr(waits, began_name);
    int is_noted = began == NULL ? -1 : PySequence_Contains(waiting, greenlet);
    int result = is_noted <= 0 ? is_noted : PyObject_DelItem(waiting, greenlet);
    Py_ssize_t count = result < 0 ? -1 : PySet_Size(began);
    result = count <= 0 ? (int)count : PySet_Discard(began, greenlet);
    Py_XDECREF(waiting);
    Py_XDECREF(began);
    return result < 0 ? -1 : 0;
}
