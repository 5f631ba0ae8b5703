/* Serve the clean requests of one connection that need nobody else; twin of _gunicorn/requests/clean_connection.py.

   A connection is an object of the twin's class, whose first base is CleanTurn: its attributes are the twin's, and so are
   all its methods but one.  next_unserved() is the twin's _receive(), which serves on its way what it can:

       receive ──▶ read_head ──▶ environ, response ──▶ application ──▶ send_all, or write_body ──▶ receive …
          │            │                                    │              │
          │ end        │ not clean, or not known yet        │ raised       │ raised
          ▼            ▼                                    ▼              ▼
         b""      the bytes, as they came           the request     the request, by the twin's _fail()

   So whatever is returned is for the twin to go on with: bytes that have come, nothing at the end of the connection, or a
   request that was begun and is gunicorn's to finish.  Nothing was done with such bytes here.

   This file has the connection and its turn; turns.c what connections share, turn_receiving.c the wait for a request,
   ready_turns.c who goes on next, turn_conditions.c what is clean enough, turn_bodies.c and turn_environs.c what the
   application gets, turn_answering.c what it returns, turn_watching.c who looks whether its client leaves. */

#include "clean_turn.h"

PyTypeObject *clean_turn_type;

static PyObject *receive_name;

int
prepare_clean_turn(void)
{
    static const Name names[] = {{&receive_name, "_receive"}};
    if (make_names(names, COUNT_OF(names)) < 0 || prepare_turns() < 0 || prepare_receiving() < 0
        || prepare_ready() < 0 || prepare_conditions() < 0) {
        return -1;
    }
    return prepare_bodies() < 0 || prepare_environs() < 0 || prepare_watching() < 0 || prepare_answering() < 0 ? -1 : 0;
}

/* --- a connection ------------------------------------------------------------------------------ */

static int
traverse(CleanTurn *self, visitproc visit, void *arg)
{
    Py_VISIT(self->behind);
    return visit_fields((PyObject *)self, self->fields, CONNECTION_FIELDS, visit, arg);
}

static int
clear(CleanTurn *self)
{
    clear_fields(self->fields, CONNECTION_FIELDS);
    return 0;
}

static void
deallocate(CleanTurn *self)
{
    free_record((PyObject *)self, self->fields, CONNECTION_FIELDS);
}

/* Make that of a new connection, as the twin's __init__ does; takes the reference to the application. */
PyObject *
new_turn(PyObject *kind, PyObject *turns, PyObject *application, PyObject *server, PyObject *client, PyObject *peer,
         PyObject *slot, int serves)
{
    CleanTurn *self = (CleanTurn *)((PyTypeObject *)kind)->tp_alloc((PyTypeObject *)kind, 0);
    if (self == NULL) {
        Py_DECREF(application);
        return NULL;
    }
    static const int nothing[] = {MESG, BASE, UNREADER, WAITING, PASSAGE, HINT, HUB, RESUME};
    for (int place = 0; place < COUNT_OF(nothing); place++) {
        self->fields[nothing[place]] = Py_NewRef(Py_None);
    }
    self->fields[TURNS] = Py_NewRef(turns);
    self->fields[WAITS] = Py_NewRef(((Turns *)turns)->fields[IDLE_LIMIT]);
    self->fields[IS_TIMED] = Py_NewRef(((Turns *)turns)->fields[TIMED]);
    self->fields[APPLICATION] = application;
    self->fields[SLOT] = Py_NewRef(slot);
    self->fields[SERVES] = PyBool_FromLong(serves);
    self->fields[COUNT] = Py_NewRef(number_zero);
    self->fields[REST] = Py_NewRef(no_bytes);
    self->fields[SOCKET] = Py_NewRef(client);
    self->fields[CLIENT] = Py_NewRef(client);
    self->fields[PEER] = Py_NewRef(peer);
    self->fields[SERVER] = Py_NewRef(server);
    return (PyObject *)self;
}

/* Whether a class is one whose first base is CleanTurn. */
int
is_turn_kind(PyObject *kind)
{
    if (PyType_Check(kind) && PyType_IsSubtype((PyTypeObject *)kind, clean_turn_type)) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "expected a class of CleanTurn");
    return 0;
}

/* Call a method of the twin, of which nothing is wanted but that it is done. */
int
call_twin(CleanTurn *self, PyObject *name, PyObject *const *args, size_t count)
{
    PyObject *all[8] = {(PyObject *)self};
    for (size_t number = 0; number < count; number++) {
        all[number + 1] = args[number];
    }
    PyObject *done = PyObject_VectorcallMethod(name, all, count + 1, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Whether it has all that a connection begins with: Python can make one without, or delete something. */
int
is_whole_turn(CleanTurn *self)
{
    for (int place = 0; place < CONNECTION_FIELDS; place++) {
        if (self->fields[place] == NULL) {
            return 0;
        }
    }
    return Py_TYPE(self->fields[TURNS]) == turns_type && PyBytes_CheckExact(self->fields[REST]);
}

/* --- a turn ------------------------------------------------------------------------------------ */

static void
let_go(Served *served)
{
    Py_CLEAR(served->environ);
    Py_CLEAR(served->gone);
    Py_CLEAR(served->response);
    Py_CLEAR(served->started);
    Py_CLEAR(served->request);
}

/* Read and serve what has come; `left` becomes the request that is gunicorn's to finish.

   Not part of its caller: what that has on its stack is copied at each switch of greenlets. */
__attribute__((noinline)) static int
serve(CleanTurn *self, PyObject *data, PyObject **left)
{
    Head head;
    int outcome = is_served_here(self, data);
    if (outcome > 0) {
        outcome = read_head(common(self, HEADS), data, self->fields[BASE], &head);
    }
    if (outcome <= 0) {
        return outcome < 0 ? FAILED : NOT_CLEAN;
    }
    Served served = {.request = head.request, .environ = head.environ, .length = head.length};
    outcome = take_request(self, data, &head) < 0 ? FAILED : answer_request(self, &served);
    if (outcome == LEFT) {
        *left = Py_NewRef(served.request);
    }
    let_go(&served);
    return outcome;
}

/* Serve what has come, if it is served here; the outcome, and what is to be returned then: a new reference. */
static int
serve_or_return(CleanTurn *self, PyObject *data, PyObject **result)
{
    *result = NULL;
    if (PyBytes_GET_SIZE(data) == 0) {
        *result = Py_NewRef(data);
        return LAST;
    }
    int outcome = serve(self, data, result);
    if (outcome == NOT_CLEAN) {
        *result = Py_NewRef(data);
    }
    else if (outcome == LAST) {
        *result = Py_NewRef(no_bytes);
    }
    return outcome;
}

static const char next_doc[] =
    "next_unserved()\n--\n\n"
    "Serve the requests that come and are clean; return what is not served here: bytes, nothing at the end, or a request.";

PyObject *
serve_turn(PyObject *connection)
{
    CleanTurn *self = (CleanTurn *)connection;
    for (;;) {
        PyObject *result, *data = is_received_here(self) ? receive_here(self)
                                                         : PyObject_CallMethodNoArgs((PyObject *)self, receive_name);
        if (data == NULL || !PyBytes_CheckExact(data)) {
            return data;
        }
        int outcome = serve_or_return(self, data, &result);
        Py_DECREF(data);
        if (outcome != ANSWERED) {
            return result;
        }
    }
}

static PyObject *
next_unserved(PyObject *self, PyObject *unused)
{
    return serve_turn(self);
}

/* Its greenlet no longer waits for anything of it. */
int
forget_turn(PyObject *connection)
{
    return forget_waiting((CleanTurn *)connection);
}

/* --- the type ---------------------------------------------------------------------------------- */

static PyMemberDef members[] = {
    FIELD(CleanTurn, "turns", TURNS),
    FIELD(CleanTurn, "waits", WAITS),
    FIELD(CleanTurn, "_application", APPLICATION),
    FIELD(CleanTurn, "_slot", SLOT),
    FIELD(CleanTurn, "_serves", SERVES),
    FIELD(CleanTurn, "mesg", MESG),
    FIELD(CleanTurn, "req_count", COUNT),
    FIELD(CleanTurn, "_base", BASE),
    FIELD(CleanTurn, "_unreader", UNREADER),
    FIELD(CleanTurn, "_rest", REST),
    FIELD(CleanTurn, "_socket", SOCKET),
    FIELD(CleanTurn, "_client", CLIENT),
    FIELD(CleanTurn, "_is_timed", IS_TIMED),
    FIELD(CleanTurn, "_waiting", WAITING),
    FIELD(CleanTurn, "_passage", PASSAGE),
    FIELD(CleanTurn, "_hint", HINT),
    FIELD(CleanTurn, "_hub", HUB),
    FIELD(CleanTurn, "_resume", RESUME),
    FIELD(CleanTurn, "source_addr", PEER),
    FIELD(CleanTurn, "_server", SERVER),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef computed[] = {
    {"__self__", resumed_by, NULL, "The greenlet that waits for what comes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"next_unserved", next_unserved, METH_NOARGS, next_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The attributes of a connection, and what serves its clean requests."},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {Py_tp_getset, computed},
    {Py_tp_call, call_turn},
    {0, NULL},
};

PyType_Spec clean_turn_spec = {
    .name = "nodecluster_compat._native.CleanTurn",
    .basicsize = sizeof(CleanTurn),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
