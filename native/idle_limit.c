/* Note who waits for a request, and who waits no longer; twin of note(), began() and forget() in gevent_runtime/idle_limit.py.

   The notes are the twin's, which looks at them; here they are only put in and taken out. */

#include "native.h"

#include <string.h>
#include <time.h>

enum { NOTED, BEGAN, SECONDS, TIMER, IS_OVER, LIMIT_SLOTS };

static PyTypeObject *limit_type;
static Py_ssize_t places[LIMIT_SLOTS];
static PyObject *start_name;

/* Find the attributes of the twin's class, which is the same for all waits of a process. */
static int
learn_limit(PyObject *waits)
{
    static const char *const slots[] = {"_waiting", "_began", "_seconds", "_timer", "is_over"};
    static const Name names[] = {{&start_name, "_start"}};
    Py_ssize_t found[LIMIT_SLOTS];
    if (Py_TYPE(waits) == limit_type) {
        return 0;
    }
    if (make_names(names, COUNT_OF(names)) < 0 || find_slots((PyObject *)Py_TYPE(waits), slots, found, LIMIT_SLOTS) < 0) {
        return -1;
    }
    memcpy(places, found, sizeof places);
    Py_XDECREF(limit_type);
    limit_type = (PyTypeObject *)Py_NewRef(Py_TYPE(waits));
    return 0;
}

/* Return the notes, borrowed: a dict of deadlines by greenlet. */
static PyObject *
notes_in(PyObject *waits)
{
    PyObject *noted = learn_limit(waits) < 0 ? NULL : get_slot(waits, places[NOTED]);
    if (noted != NULL && !PyDict_CheckExact(noted)) {
        PyErr_SetString(PyExc_TypeError, "expected a dict of those who wait");
        return NULL;
    }
    return noted;
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
    PyObject *timer = get_slot(waits, places[TIMER]);
    return timer == NULL ? -1 : timer == Py_None ? call_method(waits, start_name, NULL) : 0;
}

/* A greenlet, the current one, waits from now on; it is idle, or waits for a first request. */
int
note_wait(PyObject *waits, PyObject *greenlet, int is_idle)
{
    PyObject *noted = notes_in(waits), *began = noted == NULL ? NULL : get_slot(waits, places[BEGAN]);
    PyObject *seconds = began == NULL ? NULL : get_slot(waits, places[SECONDS]);
    PyObject *at = seconds == NULL ? NULL : deadline(seconds);
    int result = at == NULL ? -1 : PyDict_SetItem(noted, greenlet, at);
    Py_XDECREF(at);
    if (result < 0 || let_sweep(waits) < 0) {
        return -1;
    }
    return is_idle ? 0 : PySet_Add(began, greenlet);
}

/* A greenlet, the current one, waits no longer. */
int
forget_wait(PyObject *waits, PyObject *greenlet)
{
    PyObject *noted = notes_in(waits), *began = noted == NULL ? NULL : get_slot(waits, places[BEGAN]);
    int is_noted = began == NULL ? -1 : PyDict_Contains(noted, greenlet);
    int result = is_noted <= 0 ? is_noted : PyDict_DelItem(noted, greenlet);
    Py_ssize_t count = result < 0 ? -1 : PySet_Size(began);
    result = count <= 0 ? (int)count : PySet_Discard(began, greenlet);
    return result < 0 ? -1 : 0;
}

/* Whether no connection waits for a further request any more; -1: an exception. */
int
are_waits_over(PyObject *waits)
{
    PyObject *is_over = learn_limit(waits) < 0 ? NULL : get_slot(waits, places[IS_OVER]);
    return is_over == NULL ? -1 : is_over == Py_False ? 0 : PyObject_IsTrue(is_over);
}
