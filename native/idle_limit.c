/* Note who waits for a request, and who waits no longer; twin of note() and forget() in gevent_runtime/idle_limit.py.

   The notes are the twin's, which looks at them; here they are only put in and taken out. */

#include "native.h"

#include <time.h>

static PyObject *waiting_name, *seconds_name, *timer_name, *start_name, *began_name, *forget_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&waiting_name, "_waiting"}, {&seconds_name, "_seconds"}, {&timer_name, "_timer"},
        {&start_name, "_start"},     {&began_name, "_began"},     {&forget_name, "forget"},
    };
    return forget_name != NULL ? 0 : make_names(names, COUNT_OF(names));
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

/* A greenlet, the current one, waits from now on, and is idle. */
int
note_wait(PyObject *waits, PyObject *greenlet)
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
    return result < 0 ? -1 : let_sweep(waits);
}

/* Forget a greenlet in which nobody has to be told of anything else; 0: that is the twin's to do. */
static int
forget_idle(PyObject *waits, PyObject *greenlet)
{
    PyObject *began = PyObject_GetAttr(waits, began_name), *waiting = PyObject_GetAttr(waits, waiting_name);
    int is_idle = began != NULL && waiting != NULL && PyDict_CheckExact(waiting) && PyAnySet_CheckExact(began)
                  && PySet_GET_SIZE(began) == 0;
    int result = PyErr_Occurred() ? -1 : is_idle;
    if (result > 0) {
        int is_noted = PyDict_Contains(waiting, greenlet);
        result = is_noted < 0 || (is_noted && PyDict_DelItem(waiting, greenlet) < 0) ? -1 : 1;
    }
    Py_XDECREF(began);
    Py_XDECREF(waiting);
    return result;
}

/* A greenlet, the current one, waits no longer. */
int
forget_wait(PyObject *waits, PyObject *greenlet)
{
    int result = prepare() < 0 ? -1 : forget_idle(waits, greenlet);
    if (result != 0) {
        return result < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(waits, forget_name, greenlet);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}
