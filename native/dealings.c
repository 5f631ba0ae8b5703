/* Keep what the listeners of one engine have in common, and read what a dispatcher has; see connections/dealt_in_c.py.

   What is here belongs to Python, which made it.  Where the slots of its objects are is found out once. */

#include "dealing.h"

PyTypeObject *dealings_type;

/* --- calls that several files make --------------------------------------------------------------- */

/* Whether a method of a worker's end is still the one that has its twin here. */
int
is_same(Dealings *self, PyObject *name, int method)
{
    PyObject *found = PyObject_GetAttr(self->fields[OFFERING_END], name);
    int result = found == NULL ? -1 : found == self->fields[method];
    Py_XDECREF(found);
    return result;
}

/* Remove a key, if it is there. */
int
forget(PyObject *dictionary, PyObject *key)
{
    int has = PyDict_GET_SIZE(dictionary) == 0 ? 0 : PyDict_Contains(dictionary, key);
    return has <= 0 ? has : PyDict_DelItem(dictionary, key);
}

/* --- the table --------------------------------------------------------------------------------- */

PyObject *
of_dispatcher(Accepting *self, int which)
{
    return get_slot(self->fields[DISPATCHER_OF], dealings_of(self)->dispatcher[which]);
}

/* Find the slots of a policy's class, of which none was seen before: Python imports what is set. */
static int
learn_policy(Dealings *self, PyTypeObject *type, int kind)
{
    static const char *const of_any[] = {"_idle"}, *const of_random[] = {"_state"}, *const of_weighted[] = {"_weights", "_credits"},
                            *const of_address[] = {"_ipv4_prefix", "_ipv6_prefix"};
    static const struct {
        const char *const *names;
        int first, count;
    } own[POLICIES] = {
        [RANDOM_OF_TWO] = {of_random, STATE, 1},
        [WEIGHTED] = {of_weighted, WEIGHTS, 2},
        [CLIENT_ADDRESS] = {of_address, IPV4_PREFIX, 2},
    };
    if (find_slots((PyObject *)type, of_any, &self->policy[LINE_OF_IDLE], 1) < 0
        || find_slots((PyObject *)type, own[kind].names, &self->policy[own[kind].first], own[kind].count) < 0) {
        return -1;
    }
    self->classes[kind] = type; /* which lives as long as what told of it */
    return 0;
}

/* Return the twin of a policy of Python's; NULL: it has none, or there is an exception. */
static const Policy *
policy_behind(Dealings *self, PyObject *policy)
{
    for (int kind = 0; kind < POLICIES; kind++) {
        if (Py_TYPE(policy) == self->classes[kind]) {
            return &policies[kind];
        }
    }
    PyObject *number = PyDict_GetItemWithError(self->fields[BUILT_IN], (PyObject *)Py_TYPE(policy));
    long kind = number == NULL ? -1 : PyLong_AsLong(number);
    int is_known = kind >= 0 && kind < POLICIES;
    return is_known && learn_policy(self, Py_TYPE(policy), (int)kind) == 0 ? &policies[kind] : NULL;
}

/* Read what a dispatcher has; 1: what it deals is ordinary, 0: it is not. */
int
look_at(Accepting *self, Table *table)
{
    Dealings *common = dealings_of(self);
    PyObject *policy = of_dispatcher(self, POLICY);
    table->members = of_dispatcher(self, MEMBERS);
    table->full = of_dispatcher(self, FULL);
    table->idle = of_dispatcher(self, IDLE_WORKERS);
    table->line = of_dispatcher(self, LINE);
    table->named = of_dispatcher(self, NAMED);
    if (PyErr_Occurred()) {
        return -1;
    }
    table->policy = policy_behind(common, policy);
    if (table->policy == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!PyDict_CheckExact(table->named) || !PySet_CheckExact(table->members)
        || !PySet_CheckExact(table->full) || !PySet_CheckExact(table->idle)) {
        return 0;
    }
    if (table->policy != &policies[ROUND_ROBIN] && PySet_GET_SIZE(table->members) > MOST_CHOSEN_FROM) {
        return 0;
    }
    table->chooser = policy;
    table->round = get_slot(policy, common->policy[LINE_OF_IDLE]);
    return table->round == NULL ? -1 : PyDict_CheckExact(table->round);
}

/* --- its life ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    PyTypeObject *type; /* NULL: any */
} parts[DEALINGS_FIELDS] = {
    [ENGINE] = {"engine", NULL},
    [TAKEN] = {"taken", NULL},
    [OFFERS] = {"offers", &PyDict_Type},
    [ENDS] = {"ends", &PyDict_Type},
    [BY_FD] = {"by_fd", &PyDict_Type},
    [AHEAD] = {"ahead", &PyDict_Type},
    [LISTENERS] = {"listeners", &PyDict_Type},
    [TURNS] = {"turns", NULL},
    [ALLOWANCE] = {"allowance", NULL},
    [UNTAKEN] = {"untaken", NULL},
    [LOOP_OF_ALL] = {"loop", NULL},
    [EPOLL_OF_ALL] = {"epoll", NULL},
    [CONNECTION] = {"connection", &PyType_Type},
    [OFFERING_END] = {"offering_end", &PyType_Type},
    [OFFER_METHOD] = {"offer_method", NULL},
    [TAKEN_METHOD] = {"taken_method", NULL},
    [BUILT_IN] = {"policies", &PyDict_Type},
    [DISPATCHER] = {"dispatcher", &PyType_Type},
};

/* Return a named argument, borrowed. */
static PyObject *
argument(PyObject *named, const char *name, PyTypeObject *type)
{
    PyObject *value = named == NULL ? NULL : PyDict_GetItemString(named, name);
    if (value == NULL || (type != NULL && !PyObject_TypeCheck(value, type))) {
        PyErr_Format(PyExc_TypeError, "Dealings() expected %s, as connections/dealt_in_c.py gives it", name);
        return NULL;
    }
    return value;
}

static int
take_parts(Dealings *self, PyObject *named)
{
    for (int place = 0; place < DEALINGS_FIELDS; place++) {
        self->fields[place] = Py_XNewRef(argument(named, parts[place].name, parts[place].type));
        if (self->fields[place] == NULL) {
            return -1;
        }
    }
    return 0;
}

static double
number(PyObject *named, const char *name)
{
    PyObject *value = PyErr_Occurred() ? NULL : argument(named, name, NULL);
    return value == NULL ? -1.0 : PyFloat_AsDouble(value);
}

static int
take_numbers(Dealings *self, PyObject *named)
{
    self->lead = (long)number(named, "lead");
    self->most_behind = (long)number(named, "most_behind");
    self->patience = (long)number(named, "patience");
    self->most_left = number(named, "most_left");
    self->share = number(named, "share");
    self->each = number(named, "each");
    return PyErr_Occurred() ? -1 : 0;
}

static int
find_places(Dealings *self)
{
    static const char *const of_end[] = {"worker_id", "_near", "is_busy", "has_left", "is_open", "offered",
                                         "handed",    "age",   "looks",   "slot",     "ended"};
    static const char *const of_dispatcher[] = {"_members", "_full",   "idle_workers", "_line",  "_named",
                                                "_aged",    "_policy", "_last",        "_places", "_most_named"};
    static const char *const of_turns[] = {"_counts", "_most"}, *const of_allowance[] = {"_left", "_then", "_since"};
    const struct {
        PyObject *type;
        const char *const *names;
        Py_ssize_t *places;
        int count;
    } classes[] = {
        {self->fields[OFFERING_END], of_end, self->end, END_SLOTS},
        {self->fields[DISPATCHER], of_dispatcher, self->dispatcher, DISPATCHER_SLOTS},
        {(PyObject *)Py_TYPE(self->fields[TURNS]), of_turns, self->turns, TURNS_SLOTS},
        {(PyObject *)Py_TYPE(self->fields[ALLOWANCE]), of_allowance, self->allowance, ALLOWANCE_SLOTS},
    };
    for (int which = 0; which < COUNT_OF(classes); which++) {
        if (find_slots(classes[which].type, classes[which].names, classes[which].places, classes[which].count) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (prepare_dealing() < 0 || prepare_worker_queues() < 0 || prepare_offers() < 0 || prepare_ahead() < 0 || prepare_taken() < 0
        || prepare_arming() < 0) {
        return NULL;
    }
    Dealings *self = (Dealings *)type->tp_alloc(type, 0);
    if (self != NULL
        && (take_parts(self, named) < 0 || take_numbers(self, named) < 0 || find_places(self) < 0)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Dealings *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, DEALINGS_FIELDS, visit, arg);
}

static void
deallocate(Dealings *self)
{
    free_record((PyObject *)self, self->fields, DEALINGS_FIELDS);
}

static PyMethodDef methods[] = {
    {"find_idle", (PyCFunction)(void (*)(void))find_idle, METH_NOARGS,
     "find_idle()\n--\n\nFind out what has been taken."},
    {"edges", (PyCFunction)(void (*)(void))edges, METH_O,
     "edges(events)\n--\n\nFind out what has been taken, as the loop calls back."},
    {"arm", (PyCFunction)(void (*)(void))arm, METH_NOARGS,
     "arm()\n--\n\nSee that the loop wakes up for whatever can change something."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "What the listeners of one engine have in common."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec dealings_spec = {
    .name = "nodecluster_compat._native.Dealings",
    .basicsize = sizeof(Dealings),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
