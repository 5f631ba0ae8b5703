/* Emit the event ``message``; twin of Emitter.emit in base/emitter.py.

   A program may replace an emitter's ``emit`` by its own, to see all events: then that is called. */

#include "emitting.h"

static PyObject *events_name, *message_name, *emit_name;

int
prepare_emitting(void)
{
    static const Name names[] = {
        {&events_name, "_events"}, {&message_name, "message"}, {&emit_name, "emit"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Return the handlers of ``message``, a new reference; NULL without an exception: there are none. */
static PyObject *
handlers_of(PyObject *emitter)
{
    PyObject *events = PyObject_GetAttr(emitter, events_name);
    if (events == NULL || !PyDict_Check(events)) {
        Py_XDECREF(events);
        return NULL;
    }
    PyObject *handlers = Py_XNewRef(PyDict_GetItemWithError(events, message_name));
    Py_DECREF(events);
    if (handlers != NULL && (!PyDict_Check(handlers) || PyDict_GET_SIZE(handlers) == 0)) {
        Py_CLEAR(handlers);
    }
    return handlers;
}

/* Whether an emitter has a handler of ``message``; -1 with an exception. */
int
has_listener(PyObject *emitter)
{
    PyObject *handlers = handlers_of(emitter);
    Py_XDECREF(handlers);
    return handlers != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Call each of several handlers: those that there are when it begins. */
static int
call_each(PyObject *handlers, PyObject *const *args, int count)
{
    PyObject *calls = PyObject_CallMethod(handlers, "values", NULL), *listed = NULL;
    if (calls != NULL) {
        listed = PySequence_Tuple(calls);
        Py_DECREF(calls);
    }
    int outcome = listed == NULL ? -1 : 0;
    for (Py_ssize_t place = 0; outcome == 0 && place < PyTuple_GET_SIZE(listed); place++) {
        PyObject *done = PyObject_Vectorcall(PyTuple_GET_ITEM(listed, place), args, (size_t)count, NULL);
        Py_XDECREF(done);
        outcome = done == NULL ? -1 : 0;
    }
    Py_XDECREF(listed);
    return outcome;
}

/* Call the only handler. */
static int
call_only(PyObject *handlers, PyObject *const *args, int count)
{
    PyObject *call = NULL;
    Py_ssize_t place = 0;
    PyDict_Next(handlers, &place, NULL, &call);
    Py_INCREF(call);
    PyObject *done = PyObject_Vectorcall(call, args, (size_t)count, NULL);
    Py_DECREF(call);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
emit_by_its_own(PyObject *emit, PyObject *const *args, int count)
{
    PyObject *all[4] = {message_name, args[0], args[1], count > 2 ? args[2] : NULL};
    PyObject *done = PyObject_Vectorcall(emit, all, (size_t)count + 1, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
call_handlers(PyObject *emitter, PyObject *const *args, int count)
{
    PyObject *handlers = handlers_of(emitter);
    if (handlers == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int outcome = PyDict_GET_SIZE(handlers) == 1 ? call_only(handlers, args, count) : call_each(handlers, args, count);
    Py_DECREF(handlers);
    return outcome;
}

/* Emit ``message`` with two or three arguments. */
int
emit_message(PyObject *emitter, PyObject *const *args, int count)
{
    PyObject *emit = PyObject_GetAttr(emitter, emit_name);
    if (emit == NULL) {
        return -1;
    }
    int outcome = is_own(emit) ? call_handlers(emitter, args, count) : emit_by_its_own(emit, args, count);
    Py_DECREF(emit);
    return outcome;
}

/* Whether a table of frames still has this handler for this kind. */
int
is_still_handled(PyObject *table, PyObject *kind, PyObject *handler)
{
    PyObject *now = PyDict_GetItemWithError(table, kind);
    return now == handler ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Return a message; NULL without an exception: Python is to decode it, and to say what is wrong with it. */
PyObject *
decode_quickly(PyObject *decode, PyObject *payload)
{
    PyObject *message = PyObject_CallOneArg(decode, payload);
    if (message == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    return message;
}
