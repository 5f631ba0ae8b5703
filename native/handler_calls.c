/* Call a handler of an event; twin of run_guarded in base/handler_calls.py.

   Whatever it registers has its origin, whatever it raises is Python's to log.  What it returns is looked at by Python,
   unless it is None: it may be something to await.

   To set a context variable and to reset it costs more than most handlers.  So it is set only if its value is another one,
   and who delivers many messages may keep what the first one's handler has needed until the last one's has returned.  In
   between nobody registers anything; where a program emits by a function of its own, nothing is kept.  One delivery keeps
   an origin at a time.  Another greenlet has a context of its own, and sets the variable there for each call. */

#include "native.h"

enum { WHAT, ORIGIN, CALL, RUNNING, RETURNED, RAISED, GUARDED_FIELDS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fields[GUARDED_FIELDS];
} Guarded;

/* --- the origin of what is registered ---------------------------------------------------------- */

static struct {
    PyObject *running, *origin; /* the last ones that were set for a call */
    int is_set;                 /* since the last message */
    int is_seen;                /* by code of a program that is no handler */
    const void *keeper;         /* whose delivery keeps one ... */
    PyObject *variable, *token; /* ... in this variable, until it is reset by that */
} kept;

/* Set the origin for a call, unless it is set; -1: an exception, and otherwise a token, or NULL, with which to end that. */
static int
begin_call(Guarded *self, PyObject **token)
{
    PyObject *origin = NULL;
    *token = NULL;
    if (PyContextVar_Get(self->fields[RUNNING], NULL, &origin) < 0) {
        return -1;
    }
    Py_XDECREF(origin); /* the variable, or the registration, has it */
    if (origin == self->fields[ORIGIN]) {
        return 0;
    }
    *token = PyContextVar_Set(self->fields[RUNNING], self->fields[ORIGIN]);
    if (*token == NULL) {
        return -1;
    }
    set_field(&kept.running, Py_NewRef(self->fields[RUNNING]));
    set_field(&kept.origin, Py_NewRef(self->fields[ORIGIN]));
    kept.is_set = 1;
    return 0;
}

/* Reset the variable; takes the token.  An exception that is set stays set. */
static void
reset(PyObject *running, PyObject *token)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (PyContextVar_Reset(running, token) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, error, trace);
    Py_DECREF(token);
}

/* Messages are about to be delivered. */
void
look_for_origins(void)
{
    kept.is_set = 0;
    kept.is_seen = 0;
}

/* Code that is no handler runs between two of them. */
void
keep_no_origin(void)
{
    kept.is_seen = 1;
}

/* A message was delivered, and others follow: keep the origin of its handler until release_origin(). */
void
keep_origin(const void *keeper)
{
    if (kept.is_set && !kept.is_seen && kept.keeper == NULL) {
        kept.token = PyContextVar_Set(kept.running, kept.origin);
        kept.keeper = kept.token == NULL ? NULL : keeper;
        set_field(&kept.variable, Py_NewRef(kept.running));
        PyErr_Clear();
    }
    kept.is_set = 0;
}

/* Keep it no longer, if this keeper does: somebody else is about to run. */
void
release_origin(const void *keeper)
{
    if (keeper != NULL && kept.keeper == keeper) {
        PyObject *token = kept.token;
        kept.keeper = NULL;
        kept.token = NULL;
        reset(kept.variable, token);
    }
}

/* --- one call ---------------------------------------------------------------------------------- */

/* Let Python look at what the handler has returned; takes the reference. */
static int
look_at(Guarded *self, PyObject *result)
{
    if (result == Py_None) {
        Py_DECREF(result);
        return 0;
    }
    PyObject *args[] = {self->fields[WHAT], self->fields[ORIGIN], self->fields[CALL], result};
    PyObject *done = PyObject_Vectorcall(self->fields[RETURNED], args, COUNT_OF(args), NULL);
    Py_DECREF(result);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Let Python deal with the exception that is set, as in an ``except`` clause; it raises again what ends more than that. */
static int
deal_with_exception(Guarded *self)
{
    PyObject *type, *error, *trace, *outer_type, *outer, *outer_trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    PyErr_GetExcInfo(&outer_type, &outer, &outer_trace);
    PyErr_SetExcInfo(type, Py_NewRef(error), trace);
    PyObject *args[] = {self->fields[WHAT], self->fields[CALL], error};
    PyObject *done = PyObject_Vectorcall(self->fields[RAISED], args, COUNT_OF(args), NULL);
    PyErr_SetExcInfo(outer_type, outer, outer_trace);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *
call_guarded(PyObject *object, PyObject *const *args, size_t nargs, PyObject *names)
{
    if (names != NULL && PyTuple_GET_SIZE(names) != 0) {
        PyErr_SetString(PyExc_TypeError, "a handler is called without keyword arguments");
        return NULL;
    }
    Guarded *self = (Guarded *)Py_NewRef(object);
    PyObject *token;
    if (begin_call(self, &token) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(self->fields[CALL], args, nargs, NULL);
    int outcome = result == NULL ? -1 : look_at(self, result);
    if (outcome < 0) {
        outcome = deal_with_exception(self);
    }
    if (token != NULL) {
        reset(self->fields[RUNNING], token);
    }
    Py_DECREF(self);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Guarded *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, GUARDED_FIELDS, visit, arg);
}

static void
deallocate(Guarded *self)
{
    free_record((PyObject *)self, self->fields, GUARDED_FIELDS);
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"what", "origin", "call", "running", "returned", "raised", NULL};
    PyObject *given[GUARDED_FIELDS];
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOOOOO:Guarded", names, &given[WHAT], &given[ORIGIN], &given[CALL],
                                     &given[RUNNING], &given[RETURNED], &given[RAISED])) {
        return NULL;
    }
    if (!PyContextVar_CheckExact(given[RUNNING])) {
        return PyErr_Format(PyExc_TypeError, "expected a context variable, got %R", given[RUNNING]);
    }
    Guarded *self = (Guarded *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < GUARDED_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->vectorcall = call_guarded;
    }
    return (PyObject *)self;
}

static PyMemberDef members[] = {
    READ_ONLY(Guarded, "what", WHAT),
    READ_ONLY(Guarded, "origin", ORIGIN),
    READ_ONLY(Guarded, "call", CALL),
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Guarded, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Calls a handler; what it raises harms nothing else."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec guarded_spec = {
    .name = "nodecluster_compat._native.Guarded",
    .basicsize = sizeof(Guarded),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};
