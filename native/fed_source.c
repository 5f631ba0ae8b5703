/* Serve the connections that the primary deals, each from its descriptor to its close; twin of
   _gunicorn/worker/fed_source.py, and of what _gunicorn/requests/http_worker.py does with such a connection.

       take ──▶ a greenlet: client, its address ──▶ counted ──▶ next_unserved (clean_turn.c) ──▶ close, room
                    │ fails                                          │ something is left
                    ▼                                                ▼
                the twin, with the descriptor                 gunicorn's handle

   Where somebody else has to do with a connection (TLS, routes, what another worker has read), the twin serves it. */

#include "native.h"

#include <limits.h>
#include <unistd.h>

enum {
    SOURCE,
    WORKER,
    SERVING,   /* {greenlet: client} */
    LISTENERS, /* {number: (listener, its name, what its clients' sockets are)} */
    CURRENT,   /* returns the greenlet */
    LOOP,
    KIND, /* the class of the connections ... */
    TURNS_OF, /* ... and what they share */
    METERING,
    ERROR_LOG,
    GREENLETS, /* in which connections are served; not there before begin() of the twin */
    FEEDING_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[FEEDING_FIELDS];
    int has_limit; /* requests are limited, as far as they have a slot */
    int was_full;  /* somebody has asked for room since the twin was told that there is some */
} Feeding;

static PyObject *take_name, *serve_name, *open_name, *close_name, *application_name, *go_on, *caught_name, *hand_over,
    *failed_name, *ended_name, *room_name, *alive_name, *is_enabled, *connections_name, *meter_name, *slots_name,
    *debug_level, *handle_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&take_name, "_take"},
        {&serve_name, "_serve"},
        {&open_name, "open"},
        {&close_name, "close"},
        {&application_name, "application"},
        {&handle_name, "handle"},
        {&go_on, "go_on"},
        {&caught_name, "caught"},
        {&hand_over, "hand_over"},
        {&failed_name, "_failed"},
        {&ended_name, "_ended"},
        {&room_name, "_room_made"},
        {&alive_name, "alive"},
        {&is_enabled, "isEnabledFor"},
        {&connections_name, "worker_connections"},
        {&meter_name, "meter"},
        {&slots_name, "slots"},
    };
    if (debug_level == NULL && (debug_level = PyLong_FromLong(10)) == NULL) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

/* --- a connection -------------------------------------------------------------------------------- */

/* Whether clean requests are served in the loop, now. */
static int
is_served_in_loop(Feeding *self, PyObject *slot)
{
    if (self->has_limit && PyLong_AsLong(slot) < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *debugs = PyObject_CallMethodOneArg(self->fields[ERROR_LOG], is_enabled, debug_level);
    int result = debugs == NULL ? -1 : PyObject_Not(debugs);
    Py_XDECREF(debugs);
    return result;
}

static PyObject *
connect(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *slot)
{
    int serves = is_served_in_loop(self, slot);
    PyObject *application = serves < 0 ? NULL : PyObject_GetAttr(self->fields[LOOP], application_name);
    if (application == NULL) {
        return NULL;
    }
    return new_turn(self->fields[KIND], self->fields[TURNS_OF], application, PyTuple_GET_ITEM(entry, 1), client, peer,
                    slot, serves);
}

/* Let the twin go on with what was left, or raised; whether gunicorn is to, -1: an exception. */
static int
let_go_on(PyObject *connection, PyObject *left)
{
    PyObject *type = NULL, *value = NULL, *trace = NULL, *name = go_on;
    if (left == NULL) {
        PyErr_Fetch(&type, &value, &trace);
        PyErr_NormalizeException(&type, &value, &trace);
        if (trace != NULL) {
            PyException_SetTraceback(value, trace);
        }
        left = value;
        name = caught_name;
    }
    PyObject *goes_on = PyObject_CallMethodOneArg(connection, name, left);
    int result = goes_on == NULL ? -1 : PyObject_IsTrue(goes_on);
    Py_XDECREF(goes_on);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return result;
}

/* Let gunicorn go on with the connection. */
static int
give_to_gunicorn(Feeding *self, PyObject *connection, PyObject *entry, PyObject *client, PyObject *peer)
{
    PyObject *given[] = {self->fields[WORKER], connection, PyTuple_GET_ITEM(entry, 0), client, peer};
    PyObject *done = PyObject_VectorcallMethod(hand_over, given, 5, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Serve the requests of a connection that is counted. */
static int
serve_requests(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *slot)
{
    PyObject *connection = connect(self, entry, client, peer, slot);
    if (connection == NULL) {
        return -1;
    }
    PyObject *left = serve_turn(connection);
    int result = 0;
    if (left == NULL || !PyBytes_CheckExact(left) || PyBytes_GET_SIZE(left)) {
        result = let_go_on(connection, left);
    }
    else {
        result = forget_turn(connection); /* its greenlet serves others, which nothing may end */
    }
    Py_XDECREF(left);
    if (result > 0) {
        result = give_to_gunicorn(self, connection, entry, client, peer);
    }
    Py_DECREF(connection);
    return result;
}

/* Return the text of a client's address; twin of address_text() in metering.py. */
static PyObject *
text_of(PyObject *peer)
{
    if (!PyTuple_CheckExact(peer) || PyTuple_GET_SIZE(peer) < 2 || !PyUnicode_Check(PyTuple_GET_ITEM(peer, 0))) {
        return PyUnicode_FromStringAndSize(NULL, 0);
    }
    PyObject *host = PyTuple_GET_ITEM(peer, 0);
    int is_bare = PyUnicode_FindChar(host, ':', 0, PyUnicode_GET_LENGTH(host), 1) < 0;
    return PyUnicode_FromFormat(is_bare ? "%U:%S" : "[%U]:%S", host, PyTuple_GET_ITEM(peer, 1));
}

/* Count a connection, and return its slot; twin of Metering.open(). */
static PyObject *
open_slot(PyObject *meter, PyObject *slots, PyObject *client, PyObject *peer, PyObject *greenlet)
{
    PyObject *text = text_of(peer), *ident = text == NULL ? NULL : PyLong_FromVoidPtr(greenlet);
    PyObject *given[] = {meter, text, ident};
    PyObject *slot = ident == NULL ? NULL : PyObject_VectorcallMethod(open_name, given, 3, NULL);
    if (slot != NULL && PyObject_SetItem(slots, client, slot) < 0) {
        Py_CLEAR(slot);
    }
    Py_XDECREF(text);
    Py_XDECREF(ident);
    return slot;
}

/* It has ended; twin of Metering.close(). */
static int
close_slot(PyObject *meter, PyObject *slots, PyObject *client, PyObject *slot)
{
    int is_there = PySequence_Contains(slots, client);
    if (is_there <= 0 || PyObject_DelItem(slots, client) < 0) {
        return is_there == 0 ? 0 : -1;
    }
    return call_method(meter, close_name, slot);
}

/* Count the connection, and serve it. */
static int
serve_counted(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *greenlet)
{
    PyObject *meter = PyObject_GetAttr(self->fields[METERING], meter_name);
    PyObject *slots = meter == NULL ? NULL : PyObject_GetAttr(self->fields[METERING], slots_name);
    PyObject *slot = slots == NULL ? NULL : open_slot(meter, slots, client, peer, greenlet);
    int result = slot == NULL ? -1 : serve_requests(self, entry, client, peer, slot);
    if (slot != NULL) {
        PyObject *type, *value, *trace;
        PyErr_Fetch(&type, &value, &trace);
        int closed = close_slot(meter, slots, client, slot);
        if (type != NULL) {
            PyErr_Clear();
            PyErr_Restore(type, value, trace);
        }
        result = closed < 0 ? -1 : result;
        Py_DECREF(slot);
    }
    Py_XDECREF(slots);
    Py_XDECREF(meter);
    return result;
}

/* --- its end ------------------------------------------------------------------------------------- */

/* The greenlet serves it no longer: whoever waits for that is told. */
static int
leave(Feeding *self, PyObject *greenlet)
{
    int is_there = PyDict_Contains(self->fields[SERVING], greenlet);
    if (is_there < 0 || (is_there && PyDict_DelItem(self->fields[SERVING], greenlet) < 0)) {
        return -1;
    }
    PyObject *alive = PyObject_GetAttr(self->fields[WORKER], alive_name);
    int result = alive == NULL ? -1 : alive == Py_True ? 0 : call_method(self->fields[SOURCE], ended_name, NULL);
    Py_XDECREF(alive);
    if (result < 0 || !self->was_full) {
        return result;
    }
    self->was_full = 0;
    return call_method(self->fields[SOURCE], room_name, NULL);
}

/* An error of its socket is nobody's; others are raised. */
static int
judge(Feeding *self)
{
    PyObject *type, *value, *trace;
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    int result = call_method(self->fields[SOURCE], failed_name, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return result;
}

/* Do what comes at the end however it has come, and keep the first exception. */
static int
finish(Feeding *self, PyObject *client, PyObject *greenlet)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    int closed = close_client(client);
    if (closed < 0 && type == NULL) {
        PyErr_Fetch(&type, &value, &trace);
    }
    PyErr_Clear();
    int left = leave(self, greenlet);
    if (type == NULL) {
        return left;
    }
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
    return -1;
}

/* --- from its descriptor ------------------------------------------------------------------------- */

/* Serve a connection to its end; 0: nothing was done, and the descriptor is as it was. */
static int
serve_here(Feeding *self, PyObject *entry, int fd)
{
    PyObject *client = new_client(PyTuple_GET_ITEM(entry, 2), fd), *greenlet = NULL;
    PyObject *peer = client == NULL ? NULL : peer_of(fd);
    if (peer == NULL || (greenlet = PyObject_CallNoArgs(self->fields[CURRENT])) == NULL
        || PyDict_SetItem(self->fields[SERVING], greenlet, client) < 0) {
        PyErr_Clear(); /* the twin meets the same, and says it */
        Py_XDECREF(client);
        Py_XDECREF(peer);
        Py_XDECREF(greenlet);
        return 0;
    }
    int result = serve_counted(self, entry, client, peer, greenlet);
    Py_DECREF(peer);
    if (result < 0) {
        judge(self);
    }
    result = finish(self, client, greenlet);
    Py_DECREF(greenlet);
    Py_DECREF(client);
    return result < 0 ? -1 : 1;
}

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
        int served = is_ours <= 0 ? is_ours : serve_here(self, args[0], (int)fd);
        if (served != 0) {
            return served < 0 ? NULL : Py_NewRef(Py_None);
        }
        given[1] = PyTuple_GET_ITEM(args[0], 0);
    }
    return PyObject_VectorcallMethod(serve_name, given, 1 + (size_t)count, NULL);
}

/* --- what was taken ------------------------------------------------------------------------------ */

/* Close what nobody can begin to serve, while an exception is raised. */
static void
give_up(PyObject *number)
{
    int fd = PyLong_CheckExact(number) ? (int)PyLong_AsLong(number) : -1;
    if (fd >= 0) {
        close(fd);
    }
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
    PyObject *job[] = {entry, args[1]};
    PyObject *waiting = start_job_at_once(self->fields[GREENLETS], job, 2);
    if (waiting == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        give_up(args[1]);
    }
    int result = waiting == NULL ? -1 : waiting == Py_None ? 0 : PyDict_SetItem(self->fields[SERVING], waiting, Py_None);
    Py_XDECREF(waiting);
    return result < 0 ? NULL : Py_NewRef(Py_None);
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

/* --- its life ------------------------------------------------------------------------------------ */

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
