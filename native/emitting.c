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

/* Return an attribute of an emitter, a new reference.  Its own dict is asked first: its class has none of that name. */
static PyObject *
own_attribute(PyObject *emitter, PyObject *name)
{
    PyObject *attributes = PyObject_GenericGetDict(emitter, NULL);
    PyObject *value = attributes == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(attributes, name));
    Py_XDECREF(attributes);
    if (value == NULL) {
        PyErr_Clear();
        value = PyObject_GetAttr(emitter, name);
    }
    return value;
}

/* Return the handlers of ``message``, a new reference; NULL without an exception: there are none. */
static PyObject *
handlers_of(PyObject *emitter)
{
    PyObject *events = own_attribute(emitter, events_name);
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
    keep_no_origin();
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

/* --- whether emit() is ours ---------------------------------------------------------------------- */

#define KNOWN_KINDS 4 /* the cluster, its workers, their processes, this worker */

typedef struct {
    PyTypeObject *type;
    unsigned int version;
    int is_ours;
} Kind;

/* Look whether the method of a class is of this package. */
static int
find_emit(PyTypeObject *type)
{
    PyObject *emit = PyObject_GetAttr((PyObject *)type, emit_name);
    int result = emit == NULL ? -1 : is_own_function(emit);
    Py_XDECREF(emit);
    return result;
}

/* Whether emit() of a class is ours.  It is looked up again when the class, or one of its bases, has changed. */
static int
is_emitting_kind(PyTypeObject *type)
{
    static Kind kinds[KNOWN_KINDS];
    static int next;
    unsigned int version = PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG) ? type->tp_version_tag : 0;
    for (int number = 0; version != 0 && number < KNOWN_KINDS; number++) {
        if (kinds[number].type == type && kinds[number].version == version) {
            return kinds[number].is_ours;
        }
    }
    int is_ours = find_emit(type);
    if (is_ours >= 0 && version != 0) {
        kinds[next] = (Kind){type, version, is_ours}; /* borrowed: no other class has this version */
        next = (next + 1) % KNOWN_KINDS;
    }
    return is_ours;
}

/* Whether an emitter has neither an emit() of its own nor a foreign one by its class; -1 with an exception. */
static int
emits_here(PyObject *emitter)
{
    PyObject *attributes = PyObject_GenericGetDict(emitter, NULL);
    if (attributes == NULL) {
        PyErr_Clear();
        return 0;
    }
    int is_replaced = PyDict_Contains(attributes, emit_name);
    Py_DECREF(attributes);
    return is_replaced ? (is_replaced < 0 ? -1 : 0) : is_emitting_kind(Py_TYPE(emitter));
}

static int
call_emit(PyObject *emitter, PyObject *const *args, int count)
{
    PyObject *emit = PyObject_GetAttr(emitter, emit_name);
    if (emit == NULL) {
        return -1;
    }
    int outcome = is_own(emit) ? call_handlers(emitter, args, count) : emit_by_its_own(emit, args, count);
    Py_DECREF(emit);
    return outcome;
}

/* Emit ``message`` with two or three arguments. */
int
emit_message(PyObject *emitter, PyObject *const *args, int count)
{
    int here = emits_here(emitter);
    if (here < 0) {
        return -1;
    }
    return here ? call_handlers(emitter, args, count) : call_emit(emitter, args, count);
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
