/* Hand out wsgi.errors, made again when a stream behind it has changed; twin of ErrorsStream in _gunicorn/requests/caching.py.

   For each request this checks whether one has changed, nearly always by comparing a few pointers.  An attribute that it
   reads may be a property, in which other threads and greenlets run and make the stream again: so references are held to
   what is compared. */

#include "native.h"

enum { ORIGINAL, LOG, ERRORS, STDERR, HANDLERS, HELD, STREAM_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[STREAM_FIELDS];
} ErrorsStream;

static PyObject *handlers_name, *stream_name, *closed_name, *stderr_name, *of_sys;

static int
prepare(void)
{
    static const Name names[] = {
        {&handlers_name, "handlers"}, {&stream_name, "stream"}, {&closed_name, "closed"}, {&stderr_name, "stderr"}};
    PyObject *sys = of_sys != NULL ? NULL : PyImport_ImportModule("sys");
    if (sys != NULL) {
        of_sys = Py_XNewRef(PyModule_GetDict(sys)); /* NULL: it is no module */
        Py_DECREF(sys);
    }
    return of_sys == NULL ? -1 : make_names(names, COUNT_OF(names));
}

/* Return sys.stderr, borrowed; NULL: there is none.  PySys_GetObject() makes a text of the name for each call. */
static PyObject *
standard_error(void)
{
    return PyDict_GetItemWithError(of_sys, stderr_name);
}

/* Whether an attribute of an object is still this one; it is no error if it is not there any more. */
static int
is_still(PyObject *object, PyObject *name, PyObject *value)
{
    PyObject *now = PyObject_GetAttr(object, name);
    if (now == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(now);
    return now == value;
}

/* Whether the log has the same handlers. */
static int
has_same_handlers(PyObject *log, PyObject *known)
{
    PyObject *now = PyObject_GetAttr(log, handlers_name);
    int result = now != NULL && PyList_CheckExact(now) && PyList_GET_SIZE(now) == PyTuple_GET_SIZE(known);
    for (Py_ssize_t number = 0; result && number < PyTuple_GET_SIZE(known); number++) {
        result = PyList_GET_ITEM(now, number) == PyTuple_GET_ITEM(known, number);
    }
    if (now == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(now);
    return result;
}

/* Whether the handlers have the same streams: `held` is those that have one, each followed by its stream. */
static int
has_same_streams(PyObject *held)
{
    int result = 1;
    for (Py_ssize_t place = 0; result && place < PyTuple_GET_SIZE(held); place += 2) {
        result = is_still(PyTuple_GET_ITEM(held, place), stream_name, PyTuple_GET_ITEM(held, place + 1));
    }
    return result;
}

/* Return what was handed out last, if nothing behind it has changed; NULL, without an exception, otherwise. */
static PyObject *
as_before(ErrorsStream *self)
{
    if (self->fields[ERRORS] == NULL || standard_error() != self->fields[STDERR]) {
        return NULL;
    }
    PyObject *errors = Py_NewRef(self->fields[ERRORS]), *handlers = Py_NewRef(self->fields[HANDLERS]);
    PyObject *held = Py_NewRef(self->fields[HELD]);
    int result = has_same_handlers(self->fields[LOG], handlers) && is_still(errors, closed_name, Py_False)
                 && has_same_streams(held);
    Py_DECREF(handlers);
    Py_DECREF(held);
    if (!result) {
        Py_CLEAR(errors);
    }
    return errors;
}

/* Append a handler and its stream, if it has one. */
static int
hold(PyObject *held, PyObject *handler)
{
    PyObject *stream = PyObject_GetAttr(handler, stream_name);
    if (stream == NULL) {
        PyErr_Clear();
        return 0;
    }
    int result = PyList_Append(held, handler) < 0 ? -1 : PyList_Append(held, stream);
    Py_DECREF(stream);
    return result;
}

/* Return the handlers' streams, as has_same_streams() compares them. */
static PyObject *
streams_of(PyObject *handlers)
{
    PyObject *held = PyList_New(0);
    for (Py_ssize_t number = 0; held != NULL && number < PyTuple_GET_SIZE(handlers); number++) {
        if (hold(held, PyTuple_GET_ITEM(handlers, number)) < 0) {
            Py_CLEAR(held);
        }
    }
    PyObject *result = held == NULL ? NULL : PyList_AsTuple(held);
    Py_XDECREF(held);
    return result;
}

/* Make it again, and return it. */
static PyObject *
renew(ErrorsStream *self, PyObject *cfg)
{
    PyObject *now = PyObject_GetAttr(self->fields[LOG], handlers_name);
    PyObject *handlers = now == NULL ? NULL : PySequence_Tuple(now);
    PyObject *held = handlers == NULL ? NULL : streams_of(handlers);
    PyObject *standard = Py_XNewRef(standard_error());
    PyObject *errors = held == NULL ? NULL : PyObject_CallOneArg(self->fields[ORIGINAL], cfg);
    Py_XDECREF(now);
    if (errors == NULL) {
        Py_XDECREF(handlers);
        Py_XDECREF(held);
        Py_XDECREF(standard);
        return NULL;
    }
    set_field(&self->fields[HANDLERS], handlers);
    set_field(&self->fields[HELD], held);
    set_field(&self->fields[STDERR], standard);
    set_field(&self->fields[ERRORS], Py_NewRef(errors));
    return errors;
}

static PyObject *
get(ErrorsStream *self, PyObject *cfg)
{
    PyObject *errors = as_before(self);
    return errors != NULL ? errors : renew(self, cfg);
}

static int
traverse(ErrorsStream *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, STREAM_FIELDS, visit, arg);
}

/* It is as before its first get(), which ERRORS tells: the others go behind that. */
static int
clear(ErrorsStream *self)
{
    Py_CLEAR(self->fields[ERRORS]);
    Py_CLEAR(self->fields[STDERR]);
    Py_CLEAR(self->fields[HANDLERS]);
    Py_CLEAR(self->fields[HELD]);
    return 0;
}

static void
deallocate(ErrorsStream *self)
{
    free_record((PyObject *)self, self->fields, STREAM_FIELDS);
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"original", "log", NULL};
    PyObject *original, *log;
    if (prepare() < 0 || !PyArg_ParseTupleAndKeywords(args, named, "OO:ErrorsStream", names, &original, &log)) {
        return NULL;
    }
    ErrorsStream *self = (ErrorsStream *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->fields[ORIGINAL] = Py_NewRef(original);
        self->fields[LOG] = Py_NewRef(log);
    }
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)get, METH_O, "get(cfg)\n--\n\nReturn what wsgi.errors is now."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Hands out wsgi.errors."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec errors_stream_spec = {
    .name = "nodecluster_compat._native.ErrorsStream",
    .basicsize = sizeof(ErrorsStream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
