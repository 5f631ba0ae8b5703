/* Reuse greenlets: one does a job after another; twin of gevent_runtime/greenlet_pool.py, which has the theory.

   Those that wait are in the twin's list. */

#include "native.h"

enum {
    POOL, /* has `parks` */
    WORK,
    PARKED, /* those that wait */
    HUB,
    RUN_LATER, /* of its loop */
    SPAWN,
    CURRENT,   /* returns the greenlet */
    SWITCH_TO, /* greenlet.switch */
    REFERENCES, /* returns how many weak ones there are */
    RUN, /* calls run() of its argument: a function of Python's, since a greenlet without one has no context to set */
    GREENLETS_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[GREENLETS_FIELDS];
    Py_ssize_t most; /* that wait */
} Greenlets;

static PyObject *parks_name, *switch_name, *context_name, *handle_error, *tree_locals_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&parks_name, "parks"},          {&switch_name, "switch"}, {&context_name, "gr_context"},
        {&handle_error, "handle_error"}, {&tree_locals_name, "spawn_tree_locals"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Whether somebody refers to a greenlet weakly; -1: an exception. */
static int
is_referred_to(Greenlets *self, PyObject *greenlet)
{
    PyObject *count = PyObject_CallOneArg(self->fields[REFERENCES], greenlet);
    int result = count == NULL ? -1 : PyObject_IsTrue(count);
    Py_XDECREF(count);
    return result;
}

/* How many attributes a greenlet has; -1: an exception. */
static Py_ssize_t
count_attributes(PyObject *greenlet)
{
    PyObject *attributes = PyObject_GenericGetDict(greenlet, NULL);
    Py_ssize_t count = attributes == NULL ? -1 : PyDict_GET_SIZE(attributes);
    Py_XDECREF(attributes);
    return count;
}

/* Whether there is something in the locals of its spawn tree, which a program may have told gevent not to keep; -1: an
   exception. */
static int
has_tree_locals(PyObject *greenlet)
{
    PyObject *locals = PyObject_GetAttr(greenlet, tree_locals_name);
    if (locals == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    int result = locals == NULL ? -1 : PyObject_IsTrue(locals);
    Py_XDECREF(locals);
    return result;
}

/* Whether somebody refers to a greenlet weakly, or has set something on it; -1: an exception. */
static int
is_marked(Greenlets *self, PyObject *greenlet, Py_ssize_t born_with)
{
    int result = is_referred_to(self, greenlet);
    if (result == 0) {
        result = has_tree_locals(greenlet);
    }
    if (result == 0) {
        Py_ssize_t count = count_attributes(greenlet);
        result = count < 0 ? -1 : count != born_with;
    }
    return result;
}

/* Let a greenlet run on the next turn of the loop. */
static int
run_later(Greenlets *self, PyObject *greenlet, PyObject *job)
{
    PyObject *resume = PyObject_GetAttr(greenlet, switch_name);
    PyObject *given[] = {resume, job};
    PyObject *done = resume == NULL ? NULL : PyObject_Vectorcall(self->fields[RUN_LATER], given, 2, NULL);
    Py_XDECREF(resume);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* --- in a greenlet ------------------------------------------------------------------------------- */

static int
work(Greenlets *self, PyObject *job)
{
    PyObject *done = PyObject_CallObject(self->fields[WORK], job);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Let the greenlet wait for a next job, if nobody can tell the difference; 0: it is to end, -1: an exception. */
static int
park(Greenlets *self, Py_ssize_t born_with)
{
    PyObject *parks = PyObject_GetAttr(self->fields[POOL], parks_name);
    int result = parks == NULL ? -1 : PyObject_IsTrue(parks);
    Py_XDECREF(parks);
    if (result <= 0 || PyList_GET_SIZE(self->fields[PARKED]) >= self->most) {
        return result < 0 ? -1 : 0;
    }
    PyObject *greenlet = PyObject_CallNoArgs(self->fields[CURRENT]);
    int marked = greenlet == NULL ? -1 : is_marked(self, greenlet, born_with);
    result = marked != 0 ? marked : PyList_Append(self->fields[PARKED], greenlet);
    Py_XDECREF(greenlet);
    return marked > 0 ? 0 : result < 0 ? -1 : 1;
}

/* Do one job after another; in a greenlet of its own. */
static PyObject *
run(Greenlets *self, PyObject *first)
{
    PyObject *greenlet = PyObject_CallNoArgs(self->fields[CURRENT]);
    Py_ssize_t born_with = greenlet == NULL ? -1 : count_attributes(greenlet);
    Py_XDECREF(greenlet);
    PyObject *job = born_with < 0 ? NULL : Py_NewRef(first);
    while (job != NULL && job != Py_None) {
        int result = PyTuple_CheckExact(job) ? work(self, job) : -1;
        if (!PyTuple_CheckExact(job)) {
            PyErr_SetString(PyExc_TypeError, "expected a job in a tuple");
        }
        Py_CLEAR(job);
        int parked = result < 0 ? -1 : park(self, born_with);
        if (parked <= 0) {
            return parked < 0 ? NULL : Py_NewRef(Py_None);
        }
        job = PyObject_CallOneArg(self->fields[SWITCH_TO], self->fields[HUB]);
    }
    return job;
}

/* --- beginning a job ----------------------------------------------------------------------------- */

/* Take the last of those that wait; it is there. */
static PyObject *
last_parked(Greenlets *self)
{
    Py_ssize_t last = PyList_GET_SIZE(self->fields[PARKED]) - 1;
    PyObject *greenlet = Py_NewRef(PyList_GET_ITEM(self->fields[PARKED], last));
    if (PyList_SetSlice(self->fields[PARKED], last, last + 1, NULL) < 0) {
        Py_CLEAR(greenlet);
    }
    return greenlet;
}

static int
is_dead(PyObject *greenlet)
{
    return PyObject_IsTrue(greenlet) == 0; /* as it says of itself */
}

/* Return one that can do a job, None where there is none. */
static PyObject *
reusable(Greenlets *self)
{
    while (PyList_GET_SIZE(self->fields[PARKED])) {
        PyObject *greenlet = last_parked(self);
        if (greenlet != NULL && is_dead(greenlet)) { /* somebody who had kept it has ended it */
            Py_DECREF(greenlet);
            continue;
        }
        int referred = greenlet == NULL ? -1 : Py_REFCNT(greenlet) > 1 ? 1 : is_referred_to(self, greenlet);
        if (referred == 0 && PyObject_SetAttr(greenlet, context_name, Py_None) == 0) {
            return greenlet;
        }
        int result = referred <= 0 ? -1 : run_later(self, greenlet, Py_None); /* ends it */
        Py_XDECREF(greenlet);
        if (result < 0) {
            return NULL;
        }
    }
    return Py_NewRef(Py_None);
}

/* Let a job begin on the next turn of the loop, by a greenlet or, for None, by a new one; takes the reference to it. */
static PyObject *
begin_later(Greenlets *self, PyObject *greenlet, PyObject *job)
{
    if (greenlet == Py_None) { /* of gevent's own kind: killall and others want more than a greenlet */
        PyObject *given[] = {self->fields[RUN], (PyObject *)self, job};
        Py_DECREF(greenlet);
        return PyObject_Vectorcall(self->fields[SPAWN], given, 3, NULL);
    }
    if (run_later(self, greenlet, job) < 0) {
        Py_CLEAR(greenlet);
    }
    return greenlet;
}

static PyObject *
job_of(PyObject *const *args, Py_ssize_t count)
{
    PyObject *job = PyTuple_New(count);
    for (Py_ssize_t number = 0; job != NULL && number < count; number++) {
        PyTuple_SET_ITEM(job, number, Py_NewRef(args[number]));
    }
    return job;
}

static PyObject *
start(Greenlets *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *job = job_of(args, count);
    PyObject *greenlet = job == NULL ? NULL : reusable(self);
    PyObject *begun = greenlet == NULL ? NULL : begin_later(self, greenlet, job);
    Py_XDECREF(job);
    return begun;
}

/* What ends a greenlet that the hub has begun is the hub's to tell, as if it had come by its loop.  Without memory for that
   it is not told: whoever began the job would take it for one that has not begun. */
static int
tell_hub(Greenlets *self, PyObject *greenlet)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *given[] = {self->fields[HUB], greenlet, type, value, trace == NULL ? Py_None : trace};
    PyObject *done = PyObject_VectorcallMethod(handle_error, given, 5, NULL);
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    if (done == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return 0;
    }
    return done == NULL ? -1 : 0;
}

/* Whether the hub calls, and a greenlet waits; -1: an exception. */
static int
can_begin_at_once(Greenlets *self)
{
    PyObject *current = PyList_GET_SIZE(self->fields[PARKED]) ? PyObject_CallNoArgs(self->fields[CURRENT]) : NULL;
    int is_hub = current == self->fields[HUB];
    Py_XDECREF(current);
    return PyErr_Occurred() ? -1 : is_hub;
}

PyObject *
start_job_at_once(PyObject *greenlets, PyObject *const *args, Py_ssize_t count)
{
    Greenlets *self = (Greenlets *)greenlets;
    int can = can_begin_at_once(self);
    PyObject *job = can < 0 ? NULL : job_of(args, count);
    PyObject *greenlet = job == NULL ? NULL : can ? reusable(self) : Py_NewRef(Py_None);
    PyObject *begun;
    if (greenlet == NULL || greenlet == Py_None) {
        begun = greenlet == NULL ? NULL : begin_later(self, greenlet, job);
        Py_XDECREF(job);
        return begun;
    }
    PyObject *done = PyObject_CallMethodOneArg(greenlet, switch_name, job);
    Py_DECREF(job);
    Py_XDECREF(done);
    int result = done == NULL ? tell_hub(self, greenlet) : 0;
    Py_DECREF(greenlet);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
start_at_once(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return start_job_at_once(self, args, count);
}

/* --- its life ------------------------------------------------------------------------------------ */

PyTypeObject *greenlets_type;

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"pool",    "work",      "parked",     "hub",  "run_later", "spawn",
                            "current", "switch_to", "references", "run", "most", NULL};
    PyObject *given[GREENLETS_FIELDS];
    Py_ssize_t most;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOO!OOOOOOOn:Greenlets", names, &given[POOL], &given[WORK], &PyList_Type,
                                        &given[PARKED], &given[HUB], &given[RUN_LATER], &given[SPAWN], &given[CURRENT],
                                        &given[SWITCH_TO], &given[REFERENCES], &given[RUN],
                                        &most)) {
        return NULL;
    }
    Greenlets *self = (Greenlets *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < GREENLETS_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->most = most;
    }
    return (PyObject *)self;
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Greenlets *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, GREENLETS_FIELDS, visit, arg);
}

static void
deallocate(Greenlets *self)
{
    free_record((PyObject *)self, self->fields, GREENLETS_FIELDS);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)run, METH_O, "run(job)\n--\n\nDo one job after another, in a greenlet."},
    {"start", (PyCFunction)(void (*)(void))start, METH_FASTCALL, "start(*job)\n--\n\nDo a job on the next turn of the loop."},
    {"start_at_once", (PyCFunction)(void (*)(void))start_at_once, METH_FASTCALL,
     "start_at_once(*job)\n--\n\nDo a job before this returns, if the hub calls and a greenlet is parked."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "Runs jobs in greenlets."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec greenlets_spec = {
    .name = "nodecluster_compat._native.Greenlets",
    .basicsize = sizeof(Greenlets),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
