/* Serve the connections that the primary deals, each from its descriptor to its close; twin of
   _gunicorn/worker/fed_source.py, and of what _gunicorn/requests/http_worker.py does with such a connection.

       take ──▶ a greenlet: client, its address ──▶ counted ──▶ next_unserved (clean_turn.c) ──▶ close, room
                    │ fails                                          │ something is left
                    ▼                                                ▼
                the twin, with the descriptor                 gunicorn's handle

   The twin serves a connection that needs more: TLS, routes, what another worker has read.

   This file takes connections and begins to serve them; fed_connections.c serves a connection, fed_requests.c its
   requests. */

#include "fed_source.h"

#include <limits.h>
#include <unistd.h>

static PyObject *take_name, *serve_name, *connections_name, *handle_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&take_name, "_take"},
        {&serve_name, "_serve"},
        {&connections_name, "worker_connections"},
        {&handle_name, "handle"},
    };
    return make_names(names, COUNT_OF(names)) < 0 || prepare_fed_connections() < 0 ? -1 : prepare_fed_requests();
}

/* --- in a greenlet ----------------------------------------------------------------------------- */

static PyObject *
serve(Feeding *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *given[4] = {self->fields[SOURCE]};
    if (count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "serve() takes a listener, a descriptor, and what another worker has read");
        return NULL;
    }
    for (Py_ssize_t number = 0; number < count; number++) {
        given[1 + number] = args[number];
    }
    if (count == 2 && PyTuple_CheckExact(args[0])) { /* as take() has it */
        long fd = PyLong_AsLong(args[1]);
        int is_ours = fd < 0 || fd > INT_MAX ? -1 : has_own(self->fields[WORKER], handle_name);
        int served = is_ours <= 0 ? is_ours : serve_connection(self, args[0], (int)fd);
        if (served != 0) {
            return served < 0 ? NULL : Py_NewRef(Py_None);
        }
        given[1] = PyTuple_GET_ITEM(args[0], 0);
    }
    return PyObject_VectorcallMethod(serve_name, given, 1 + (size_t)count, NULL);
}

/* --- what was taken ---------------------------------------------------------------------------- */

/* Close what nobody can begin to serve, while an exception is raised. */
static void
give_up(PyObject *number)
{
    int fd = PyLong_CheckExact(number) ? (int)PyLong_AsLong(number) : -1;
    if (fd >= 0) {
        close(fd);
    }
}

/* Begin to serve it, in a greenlet. */
static int
begin(Feeding *self, PyObject *entry, PyObject *fd)
{
    PyObject *job[] = {entry, fd};
    PyObject *waiting = start_job_at_once(self->fields[GREENLETS], job, 2);
    if (waiting == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        give_up(fd);
    }
    int result = waiting == NULL ? -1 : waiting == Py_None ? 0 : PyDict_SetItem(self->fields[SERVING], waiting, Py_None);
    Py_XDECREF(waiting);
    return result;
}

static PyObject *
take(Feeding *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "take() takes a listener, a descriptor, and what another worker has read");
        return NULL;
    }
    PyObject *entry = PyDict_GetItemWithError(self->fields[LISTENERS], args[0]);
    long memory = PyErr_Occurred() ? -1 : PyLong_AsLong(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (entry == NULL || memory >= 0 || self->fields[GREENLETS] == NULL) {
        PyObject *given[] = {self->fields[SOURCE], args[0], args[1], args[2]};
        return PyObject_VectorcallMethod(take_name, given, 4, NULL);
    }
    return begin(self, entry, args[1]) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
has_room(Feeding *self, PyObject *listener_id)
{
    PyObject *most = PyObject_GetAttr(self->fields[WORKER], connections_name);
    Py_ssize_t limit = most == NULL ? -1 : PyNumber_AsSsize_t(most, NULL);
    Py_XDECREF(most);
    int is_full = PyDict_GET_SIZE(self->fields[SERVING]) >= limit;
    self->was_full |= is_full;
    return PyErr_Occurred() ? NULL : PyBool_FromLong(!is_full);
}

/* --- its life ---------------------------------------------------------------------------------- */

static int
is_entry(PyObject *entry)
{
    return PyTuple_CheckExact(entry) && PyTuple_GET_SIZE(entry) == 3 && PyTuple_CheckExact(PyTuple_GET_ITEM(entry, 2));
}

static int
are_entries(PyObject *listeners)
{
    Py_ssize_t position = 0;
    PyObject *entry;
    while (PyDict_Next(listeners, &position, NULL, &entry)) {
        if (!is_entry(entry)) {
            PyErr_SetString(PyExc_TypeError, "expected a listener, its name, and what its clients' sockets are");
            return 0;
        }
    }
    return 1;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"source", "worker", "serving",  "listeners", "current", "loop",
                            "kind",   "turns",  "metering", "error_log", "has_limit", NULL};
    PyObject *given[FEEDING_FIELDS];
    int has_limit;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOO!O!OOO!O!OOp:Feeding", names, &given[SOURCE], &given[WORKER],
                                        &PyDict_Type, &given[SERVING], &PyDict_Type, &given[LISTENERS],
                                        &given[CURRENT], &given[LOOP], &PyType_Type, &given[KIND], turns_type,
                                        &given[TURNS_OF], &given[METERING], &given[ERROR_LOG], &has_limit)
        || !are_entries(given[LISTENERS]) || !is_turn_kind(given[KIND])) {
        return NULL;
    }
    Feeding *self = (Feeding *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < GREENLETS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->has_limit = has_limit;
    }
    return (PyObject *)self;
}

static int
traverse(Feeding *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, FEEDING_FIELDS, visit, arg);
}

/* Break the ring: greenlets hold serve() of this. */
static int
clear(Feeding *self)
{
    Py_CLEAR(self->fields[GREENLETS]);
    return 0;
}

static void
deallocate(Feeding *self)
{
    free_record((PyObject *)self, self->fields, FEEDING_FIELDS);
}

/* Set the greenlets, which call serve() of this. */
static int
set_greenlets(Feeding *self, PyObject *greenlets, void *unused)
{
    if (greenlets == NULL || Py_TYPE(greenlets) != greenlets_type) {
        PyErr_SetString(PyExc_TypeError, "expected Greenlets");
        return -1;
    }
    set_field(&self->fields[GREENLETS], Py_NewRef(greenlets));
    return 0;
}

static PyGetSetDef getters[] = {
    {"greenlets", NULL, (setter)set_greenlets, "in which connections are served", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"take", (PyCFunction)(void (*)(void))take, METH_FASTCALL, "take(listener_id, fd, memory)\n--\n\nHave a connection served."},
    {"has_room", (PyCFunction)has_room, METH_O, "has_room(listener_id)\n--\n\nWhether one more can be served."},
    {"serve", (PyCFunction)(void (*)(void))serve, METH_FASTCALL,
     "serve(listener, fd, handed=None)\n--\n\nIn a greenlet of its own: serve one connection to its end."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "Serves the connections that the primary deals."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {0, NULL},
};

PyType_Spec feeding_spec = {
    .name = "nodecluster_compat._native.Feeding",
    .basicsize = sizeof(Feeding),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
