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

   Between two requests the greenlet waits as the twin does, by the same watcher and the same hub. */

#define _GNU_SOURCE /* memmem */

#include "native.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define MOST_AT_ONCE 16384
#define SHORTEST_LINE 2 /* an empty one may stand before a request */
#define MOST_HELD (64 * 1024) /* of a body that has come when its request is read */

/* --- what the connections of a worker have in common ------------------------------------------ */

enum {
    HEADS,
    ANSWERS,
    RESPONSE,
    WORKER,
    METER,
    ACCESS_LOG, /* None: there is none */
    VARIABLES,  /* of the process, as os.environ has them */
    HINTS,      /* a function with one free variable, the response; None: this gunicorn has no early hints */
    ERRORS,     /* returns wsgi.errors */
    NO_BODY,    /* the class of wsgi.input ... */
    KNOWN_BODY, /* ... and of one that has bytes */
    GONE,       /* the class of ... */
    GONE_KEY,   /* ... what environ has under this key */
    SWITCH,     /* greenlet.switch */
    WATCH,      /* looks at the client of a body that is iterated ... */
    UNWATCH,    /* ... until this is called with its socket */
    IDLE_LIMIT,
    BASES, /* {address: what the environs of those who are connected to it have in common} */
    TIMED, /* whether waits are limited */
    TURNS_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[TURNS_FIELDS];
    Py_ssize_t most; /* bytes that are received at once */
} Turns;

PyTypeObject *turns_type, *clean_turn_type;

static PyObject *alive, *nr, *max_requests, *script_name, *server_name, *request_method, *head_method, *file_wrapper,
    *wsgi_errors, *wsgi_input, *early_hints, *begin_name, *end_name, *response_name, *start_response, *read_event,
    *start_name, *stop_name, *is_over, *receive, *body_name, *send_name, *raised_name, *log_name, *linger_name,
    *fail_name, *already_handled, *should_close, *note_name, *find_base, *find_greenlet, *gunicorn_socket,
    *remote_address, *remote_port, *force_close, *zero, *one, *no_bytes;

static int
prepare(void)
{
    static const Name names[] = {
        {&alive, "alive"},
        {&nr, "nr"},
        {&max_requests, "max_requests"},
        {&server_name, "SERVER_NAME"},
        {&request_method, "REQUEST_METHOD"},
        {&head_method, "HEAD"},
        {&file_wrapper, "wsgi.file_wrapper"},
        {&wsgi_errors, "wsgi.errors"},
        {&wsgi_input, "wsgi.input"},
        {&early_hints, "wsgi.early_hints"},
        {&begin_name, "begin"},
        {&end_name, "end"},
        {&response_name, "response"},
        {&start_response, "start_response"},
        {&read_event, "_read_event"},
        {&start_name, "start"},
        {&stop_name, "stop"},
        {&is_over, "is_over"},
        {&receive, "_receive"},
        {&body_name, "_body"},
        {&send_name, "_send"},
        {&raised_name, "_raised"},
        {&log_name, "_log_answer"},
        {&linger_name, "_let_finish"},
        {&fail_name, "_fail"},
        {&already_handled, "is_already_handled"},
        {&should_close, "should_close"},
        {&note_name, "note"},
        {&find_base, "_find_base"},
        {&find_greenlet, "_find_greenlet"},
        {&gunicorn_socket, "gunicorn.socket"},
        {&remote_address, "REMOTE_ADDR"},
        {&remote_port, "REMOTE_PORT"},
        {&force_close, "force_close"},
    };
    if ((zero == NULL && (zero = PyLong_FromLong(0)) == NULL) || (one == NULL && (one = PyLong_FromLong(1)) == NULL)) {
        return -1;
    }
    if (no_bytes == NULL && (no_bytes = PyBytes_FromStringAndSize("", 0)) == NULL) {
        return -1;
    }
    if (script_name == NULL && (script_name = PyBytes_FromString("SCRIPT_NAME")) == NULL) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

static int
traverse_turns(Turns *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, TURNS_FIELDS, visit, arg);
}

static void
free_turns(Turns *self)
{
    free_record((PyObject *)self, self->fields, TURNS_FIELDS);
}

static PyObject *
create_turns(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"heads",  "answers", "response", "worker", "meter", "access_log", "variables", "hints",
                            "errors", "no_body", "known_body", "gone", "key",  "switch",     "watch",     "unwatch",
                            "waits",  "bases",   "is_timed",   "most", NULL};
    PyObject *given[TURNS_FIELDS];
    Py_ssize_t most;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "O!O!O!OOOO!OOO!O!O!UOOOOO!O!n:Turns", names, clean_heads_type, &given[HEADS],
                                        answers_type, &given[ANSWERS], &PyType_Type, &given[RESPONSE], &given[WORKER],
                                        &given[METER], &given[ACCESS_LOG], &PyDict_Type, &given[VARIABLES], &given[HINTS],
                                        &given[ERRORS], &PyType_Type, &given[NO_BODY], &PyType_Type,
                                        &given[KNOWN_BODY], &PyType_Type, &given[GONE],
                                        &given[GONE_KEY], &given[SWITCH], &given[WATCH], &given[UNWATCH],
                                        &given[IDLE_LIMIT], &PyDict_Type, &given[BASES], &PyBool_Type, &given[TIMED],
                                        &most)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)given[RESPONSE], plain_answer_type) || most < 1 || most > MOST_AT_ONCE
        || (given[HINTS] != Py_None && !PyFunction_Check(given[HINTS]))) {
        PyErr_SetString(PyExc_ValueError, "expected a class of PlainAnswer, a function or None, and some kibibytes");
        return NULL;
    }
    Turns *self = (Turns *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < TURNS_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->most = most;
    }
    return (PyObject *)self;
}

static PyType_Slot turns_slots[] = {
    {Py_tp_doc, "What the connections of a worker have in common."},
    {Py_tp_new, create_turns},
    {Py_tp_dealloc, free_turns},
    {Py_tp_traverse, traverse_turns},
    {0, NULL},
};

PyType_Spec turns_spec = {
    .name = "nodecluster_compat._native.Turns",
    .basicsize = sizeof(Turns),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = turns_slots,
};

/* --- a connection --------------------------------------------------------------------------- */

enum {
    TURNS,
    WAITS,
    APPLICATION,
    SLOT,
    SERVES,
    MESG,
    COUNT,
    BASE,
    UNREADER,
    REST,
    SOCKET,
    CLIENT,
    IS_TIMED,
    WAITING,
    PASSAGE,
    HINT,
    HUB,
    RESUME,
    PEER,
    SERVER,
    CONNECTION_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[CONNECTION_FIELDS];
} CleanTurn;

/* A request on its way: all of it new references, or NULL. */
typedef struct {
    PyObject *request, *environ, *response, *started, *gone;
    Py_ssize_t length;
    double began; /* for the access log */
} Served;

enum { FAILED = -1, NOT_CLEAN, ANSWERED, LAST, LEFT };

static int
traverse(CleanTurn *self, visitproc visit, void *arg)
{
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
    self->fields[COUNT] = Py_NewRef(zero);
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
static int
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
static int
is_whole(CleanTurn *self)
{
    for (int place = 0; place < CONNECTION_FIELDS; place++) {
        if (self->fields[place] == NULL) {
            return 0;
        }
    }
    return Py_TYPE(self->fields[TURNS]) == turns_type && PyBytes_CheckExact(self->fields[REST]);
}

static PyObject *
common(CleanTurn *self, int place)
{
    return ((Turns *)self->fields[TURNS])->fields[place];
}

/* Put a value into an environ; takes the reference to it, NULL is an exception that was raised. */
static int
put(PyObject *environ, PyObject *key, PyObject *value)
{
    int result = value == NULL ? -1 : PyDict_SetItem(environ, key, value);
    Py_XDECREF(value);
    return result;
}

/* Whether no request has come on this connection yet. */
static int
is_new(CleanTurn *self)
{
    return PyLong_CheckExact(self->fields[COUNT]) && PyLong_AsSsize_t(self->fields[COUNT]) == 0;
}

/* --- receiving ------------------------------------------------------------------------------ */

/* Return what has come, None when nothing has; NULL is an exception. */
static PyObject *
receive_ready(CleanTurn *self)
{
    static char received[MOST_AT_ONCE]; /* nobody else runs until it is copied */
    int fd = descriptor_of(self->fields[CLIENT]);
    ssize_t size;
    do {
        size = recv(fd, received, (size_t)((Turns *)self->fields[TURNS])->most, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (size >= 0) {
        return PyBytes_FromStringAndSize(received, size);
    }
    if (errno == EAGAIN) {
        return Py_NewRef(Py_None);
    }
    return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
}

/* The greenlet waits from now on, unless that is noted already; as the twin's note() behind the first request. */
static int
note(CleanTurn *self)
{
    if (self->fields[WAITING] != Py_None || self->fields[IS_TIMED] != Py_True) {
        return 0;
    }
    if (is_new(self) || !PyCFunction_Check(self->fields[RESUME])) {
        return call_twin(self, note_name, NULL, 0);
    }
    PyObject *greenlet = PyCFunction_GET_SELF(self->fields[RESUME]);
    set_field(&self->fields[WAITING], Py_NewRef(greenlet));
    return note_wait(self->fields[WAITS], greenlet);
}

/* It waits no longer; as the twin's forget(). */
static int
forget(CleanTurn *self)
{
    PyObject *waiting = self->fields[WAITING];
    if (waiting == Py_None) {
        return 0;
    }
    self->fields[WAITING] = Py_NewRef(Py_None);
    int result = forget_wait(self->fields[WAITS], waiting);
    Py_DECREF(waiting);
    return result;
}

/* Let other greenlets run until the watcher wakes this one; the watcher is stopped whatever happens. */
static int
switch_to_hub(CleanTurn *self, PyObject *watcher)
{
    PyObject *started = PyObject_CallMethodOneArg(watcher, start_name, self->fields[RESUME]);
    if (started == NULL) {
        return -1;
    }
    Py_DECREF(started);
    PyObject *type, *value, *trace, *woken = PyObject_CallOneArg(common(self, SWITCH), self->fields[HUB]);
    Py_XDECREF(woken);
    PyErr_Fetch(&type, &value, &trace);
    PyObject *stopped = PyObject_CallMethodNoArgs(watcher, stop_name);
    Py_XDECREF(stopped);
    if (type != NULL) {
        PyErr_Clear();
        PyErr_Restore(type, value, trace);
    }
    return woken == NULL || stopped == NULL ? -1 : 0;
}

/* Wait for the next request, and return what has come of it. */
static PyObject *
receive_next(CleanTurn *self)
{
    if (note(self) < 0) {
        return NULL;
    }
    for (;;) {
        PyObject *watcher = PyObject_GetAttr(self->fields[CLIENT], read_event);
        int outcome = watcher == NULL ? -1 : switch_to_hub(self, watcher);
        Py_XDECREF(watcher);
        PyObject *data = outcome < 0 ? NULL : receive_ready(self);
        if (data != Py_None) { /* else something else has woken it */
            return data;
        }
        Py_DECREF(data);
    }
}

/* Return what has come, or comes first; nothing at the end of the connection.  NULL is an exception. */
static PyObject *
receive_here(CleanTurn *self)
{
    if (PyBytes_GET_SIZE(self->fields[REST])) {
        PyObject *data = self->fields[REST];
        self->fields[REST] = Py_NewRef(no_bytes);
        return data;
    }
    if (is_new(self)) { /* its request is there as a rule */
        PyObject *data = receive_ready(self);
        if (data != Py_None) {
            return data;
        }
        Py_DECREF(data);
    }
    if (self->fields[RESUME] == Py_None && call_twin(self, find_greenlet, NULL, 0) < 0) {
        return NULL;
    }
    return receive_next(self);
}

/* Whether the next bytes can be received here. */
static int
is_received_here(CleanTurn *self)
{
    return is_whole(self) && self->fields[UNREADER] == Py_None
           && is_of_client(common(self, ANSWERS), self->fields[CLIENT]);
}

/* --- reading -------------------------------------------------------------------------------- */

/* Compare two numbers of the worker's: whether a further request is not the last one.  -1: an exception. */
static int
goes_on(CleanTurn *self)
{
    PyObject *worker = common(self, WORKER), *is_alive = PyObject_GetAttr(worker, alive);
    if (is_alive != Py_True) {
        Py_XDECREF(is_alive);
        return is_alive == NULL ? -1 : 0;
    }
    Py_DECREF(is_alive);
    PyObject *served = PyObject_GetAttr(worker, nr), *most = served == NULL ? NULL : PyObject_GetAttr(worker, max_requests);
    int result = -1;
    if (most != NULL) {
        Py_ssize_t count = PyNumber_AsSsize_t(served, NULL), limit = PyNumber_AsSsize_t(most, NULL);
        result = PyErr_Occurred() ? -1 : count < limit - 1;
    }
    Py_XDECREF(served);
    Py_XDECREF(most);
    return result;
}

/* Whether a request may be another worker's: not if its first line is whole, and has nothing that keys look for. */
static int
may_be_anothers(CleanTurn *self, PyObject *data)
{
    PyObject *hint = self->fields[HINT];
    const char *begin = PyBytes_AS_STRING(data), *end = memchr(begin, '\n', (size_t)PyBytes_GET_SIZE(data));
    if (self->fields[PASSAGE] == Py_None) {
        return 0;
    }
    return end == NULL || end - begin < SHORTEST_LINE || !PyBytes_CheckExact(hint)
           || memmem(begin, (size_t)(end - begin), PyBytes_AS_STRING(hint), (size_t)PyBytes_GET_SIZE(hint)) != NULL;
}

/* Put who is connected into what the environs of a connection have in common. */
static int
put_peer(PyObject *base, PyObject *client, PyObject *peer)
{
    if (PyDict_SetItem(base, gunicorn_socket, client) < 0
        || PyDict_SetItem(base, remote_address, PyTuple_GET_ITEM(peer, 0)) < 0) {
        return -1;
    }
    return put(base, remote_port, PyObject_Str(PyTuple_GET_ITEM(peer, 1)));
}

/* Find out what the environs of this connection have in common; as Environs.base() for a client with an address and a port. */
static int
find_base_here(CleanTurn *self)
{
    PyObject *server = self->fields[SERVER], *peer = self->fields[PEER];
    if (!PyTuple_CheckExact(server) || !PyTuple_CheckExact(peer) || PyTuple_GET_SIZE(peer) < 2) {
        return call_twin(self, find_base, NULL, 0);
    }
    PyObject *same = PyDict_GetItemWithError(common(self, BASES), server);
    if (same == NULL || !PyDict_CheckExact(same)) {
        return PyErr_Occurred() ? -1 : call_twin(self, find_base, NULL, 0);
    }
    PyObject *base = PyDict_Copy(same);
    if (base == NULL || put_peer(base, self->fields[SOCKET], peer) < 0) {
        Py_XDECREF(base);
        return -1;
    }
    set_field(&self->fields[BASE], base);
    return 0;
}

/* Whether a clean request would be served here, as things are; -1: an exception. */
static int
is_served_here(CleanTurn *self, PyObject *data)
{
    if (!is_whole(self) || self->fields[SERVES] != Py_True || may_be_anothers(self, data)) {
        return 0;
    }
    if (self->fields[BASE] == Py_None && find_base_here(self) < 0) {
        return -1;
    }
    PyObject *base = self->fields[BASE];
    if (!PyDict_CheckExact(base) || PyDict_GetItemWithError(base, server_name) == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int has_script_name = PyDict_Contains(common(self, VARIABLES), script_name);
    return has_script_name ? (has_script_name < 0 ? -1 : 0) : goes_on(self);
}

static PyObject *
rest_behind(PyObject *data, Py_ssize_t consumed)
{
    Py_ssize_t size = PyBytes_GET_SIZE(data) - consumed;
    return size == 0 ? Py_NewRef(no_bytes) : PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + consumed, size);
}

/* Whether so many bytes have come that are not received yet; an error of the socket stays where it is. */
static int
has_come(int fd, Py_ssize_t missing)
{
    int available = 0;
    return fd >= 0 && ioctl(fd, FIONREAD, &available) == 0 && available >= missing;
}

/* Receive the end of a body straight behind its beginning; `rest` becomes what has come, if that is not all of it. */
static PyObject *
received_body(int fd, PyObject *data, const Head *head, PyObject **rest)
{
    Py_ssize_t here = PyBytes_GET_SIZE(data) - head->consumed;
    PyObject *held = PyBytes_FromStringAndSize(NULL, head->length);
    if (held == NULL) {
        return NULL;
    }
    memcpy(PyBytes_AS_STRING(held), PyBytes_AS_STRING(data) + head->consumed, (size_t)here);
    ssize_t more = recv(fd, PyBytes_AS_STRING(held) + here, (size_t)(head->length - here), MSG_DONTWAIT);
    if (more == head->length - here) {
        *rest = Py_NewRef(no_bytes);
        return held;
    }
    *rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(held), here + (more > 0 ? more : 0));
    Py_DECREF(held);
    return *rest == NULL ? NULL : Py_NewRef(Py_None);
}

/* Return the body if all of it is here, None if it is not; `rest` becomes what has come behind it, or what it begins with. */
static PyObject *
whole_body(CleanTurn *self, PyObject *data, const Head *head, PyObject **rest)
{
    Py_ssize_t missing = head->length - (PyBytes_GET_SIZE(data) - head->consumed);
    if (missing <= 0) {
        *rest = rest_behind(data, head->consumed + head->length);
        return *rest == NULL ? NULL
                             : PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + head->consumed, head->length);
    }
    int is_here = head->length <= MOST_HELD && self->fields[UNREADER] == Py_None
                  && is_of_client(common(self, ANSWERS), self->fields[CLIENT]);
    int fd = is_here ? descriptor_of(self->fields[CLIENT]) : -1;
    if (has_come(fd, missing)) {
        return received_body(fd, data, head, rest);
    }
    *rest = rest_behind(data, head->consumed);
    return *rest == NULL ? NULL : Py_NewRef(Py_None);
}

/* Return wsgi.input of a body that is here; takes the reference to it. */
static PyObject *
input_of(CleanTurn *self, PyObject *held)
{
    PyObject *reader = new_reader(held);
    PyObject *body = reader == NULL ? NULL : PyObject_CallOneArg(common(self, KNOWN_BODY), reader);
    Py_XDECREF(reader);
    return body;
}

/* Return wsgi.input; what follows the body, or the head, is what is to be read next. */
static PyObject *
body_of(CleanTurn *self, PyObject *data, const Head *head)
{
    PyObject *rest = NULL, *held;
    if (head->length == 0) {
        if ((rest = rest_behind(data, head->consumed)) == NULL) {
            return NULL;
        }
        set_field(&self->fields[REST], rest);
        return PyObject_CallNoArgs(common(self, NO_BODY));
    }
    if ((held = whole_body(self, data, head, &rest)) == NULL) {
        Py_XDECREF(rest);
        return NULL;
    }
    set_field(&self->fields[REST], rest);
    if (held != Py_None) {
        return input_of(self, held);
    }
    Py_DECREF(held);
    return PyObject_CallMethodOneArg((PyObject *)self, body_name, head->request);
}

/* The request becomes that of the connection. */
static int
take_request(CleanTurn *self, PyObject *data, const Head *head)
{
    PyObject *count = PyNumber_Add(self->fields[COUNT], one);
    if (count == NULL) {
        return -1;
    }
    set_field(&self->fields[COUNT], count);
    set_field(&self->fields[MESG], Py_NewRef(head->request));
    PyObject *body = forget(self) < 0 ? NULL : body_of(self, data, head);
    if (body == NULL) {
        return -1;
    }
    set_body(head->request, Py_NewRef(body));
    return put(head->environ, wsgi_input, body);
}

/* --- environ -------------------------------------------------------------------------------- */

/* Make what sends early hints: a function, as gunicorn's, that knows its response. */
static PyObject *
hints_of(PyObject *template, PyObject *response)
{
    PyObject *cell = PyCell_New(response), *closure = cell == NULL ? NULL : PyTuple_Pack(1, cell);
    PyObject *function =
        closure == NULL ? NULL : PyFunction_New(PyFunction_GET_CODE(template), PyFunction_GET_GLOBALS(template));
    if (function != NULL && PyFunction_SetClosure(function, closure) < 0) {
        Py_CLEAR(function);
    }
    Py_XDECREF(cell);
    Py_XDECREF(closure);
    return function;
}

/* Make what tells whether the client has left: as its class does, which only keeps the response. */
static PyObject *
gone_of(CleanTurn *self, PyObject *response)
{
    PyTypeObject *type = (PyTypeObject *)common(self, GONE);
    PyObject *gone = type->tp_alloc(type, 0);
    if (gone != NULL && PyObject_SetAttr(gone, response_name, response) < 0) {
        Py_CLEAR(gone);
    }
    return gone;
}

static int
is_head_method(PyObject *environ)
{
    PyObject *method = PyDict_GetItemWithError(environ, request_method);
    return method != NULL && PyUnicode_Compare(method, head_method) == 0;
}

/* Complete the environ, and make the response. */
static int
complete(CleanTurn *self, Served *served)
{
    PyTypeObject *kind = (PyTypeObject *)common(self, RESPONSE);
    PyObject *environ = served->environ, *hints = common(self, HINTS);
    served->response = new_answer(kind, common(self, ANSWERS), served->request, self->fields[SOCKET],
                                  is_head_method(environ));
    if (served->response == NULL || put(environ, wsgi_errors, PyObject_CallNoArgs(common(self, ERRORS))) < 0) {
        return -1;
    }
    if (hints != Py_None && put(environ, early_hints, hints_of(hints, served->response)) < 0) {
        return -1;
    }
    served->gone = gone_of(self, served->response);
    return served->gone == NULL ? -1 : PyDict_SetItem(environ, common(self, GONE_KEY), served->gone);
}

/* --- answering ------------------------------------------------------------------------------ */

/* Count the request as begun. */
static int
begin(CleanTurn *self, Served *served)
{
    PyObject *args[] = {common(self, METER), self->fields[SLOT], line_of(served->request)};
    served->started = PyObject_VectorcallMethod(begin_name, args, 3, NULL);
    if (served->started == NULL) {
        return -1;
    }
    set_started(served->request, Py_NewRef(served->started));
    PyObject *worker = common(self, WORKER), *count = PyObject_GetAttr(worker, nr);
    PyObject *more = count == NULL ? NULL : PyNumber_Add(count, one);
    int result = more == NULL ? -1 : PyObject_SetAttr(worker, nr, more);
    Py_XDECREF(count);
    Py_XDECREF(more);
    return result;
}

/* Return the exception that was raised, with its traceback, and raise it no longer. */
static PyObject *
raised(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

static double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Return what answers a request; where requests have ids, this one has got its id. */
static PyObject *
application_for(CleanTurn *self, Served *served)
{
    PyObject *application = self->fields[APPLICATION], *ids = ids_behind(application);
    if (ids == NULL) {
        return Py_NewRef(application);
    }
    PyObject *ident = give_id(ids, served->environ, self->fields[SOCKET]);
    if (ident == NULL) {
        return NULL;
    }
    set_id(served->response, ids, ident);
    Py_DECREF(ident);
    return Py_NewRef(application_with(ids));
}

static PyObject *
call_application(CleanTurn *self, Served *served)
{
    PyObject *application = application_for(self, served);
    PyObject *start = application == NULL ? NULL : PyObject_GetAttr(served->response, start_response);
    PyObject *args[] = {NULL, served->environ, start};
    PyObject *body = start == NULL ? NULL : PyObject_Vectorcall(application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(application);
    Py_XDECREF(start);
    return body;
}

/* Let the twin go on with the answer: `name` is a method, `what` its first argument. */
static int
go_on_in_python(CleanTurn *self, Served *served, PyObject *name, PyObject *what, PyObject *body)
{
    PyObject *began = PyFloat_FromDouble(served->began);
    if (began == NULL) {
        return -1;
    }
    PyObject *args[] = {what, body, served->request, served->response, served->environ, began};
    int result = call_twin(self, name, args, 6);
    Py_DECREF(began);
    return result;
}

/* What was raised while a body was sent is raised again by the twin, which logs the answer and closes the body. */
static int
fail(CleanTurn *self, Served *served, PyObject *body)
{
    PyObject *error = raised();
    int result = error == NULL ? -1 : go_on_in_python(self, served, fail_name, error, body);
    Py_XDECREF(error);
    return result;
}

/* Write the line about the request into the access log, if there is one; an exception of before goes on behind it. */
static int
log_answer(CleanTurn *self, Served *served)
{
    if (common(self, ACCESS_LOG) == Py_None) {
        return 0;
    }
    PyObject *type, *value, *trace, *began;
    PyErr_Fetch(&type, &value, &trace);
    int result = -1;
    if ((began = PyFloat_FromDouble(served->began)) != NULL) {
        PyObject *args[] = {served->request, served->response, served->environ, began};
        result = call_twin(self, log_name, args, 4);
        Py_DECREF(began);
    }
    if (result == 0) {
        PyErr_Restore(type, value, trace);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return -1;
}

/* Whether the answer can be sent here, all of it. */
static int
is_sent_here(CleanTurn *self, Served *served, PyObject *body)
{
    PyObject *wrapper = PyDict_GetItemWithError(served->environ, file_wrapper);
    return PyList_CheckExact(body) && wrapper != NULL
           && wrapper == PyDict_GetItemWithError(self->fields[BASE], file_wrapper)
           && can_send_all(served->response, body);
}

/* Have the client looked at from now on; return whether the application has answered by itself; -1: an exception. */
static int
is_handled(CleanTurn *self, Served *served, PyObject *body)
{
    set_stream(served->response, served->gone);
    PyObject *done = PyObject_CallOneArg(common(self, WATCH), served->gone);
    PyObject *said = done == NULL ? NULL : PyObject_CallMethodOneArg(common(self, WORKER), already_handled, body);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(done);
    Py_XDECREF(said);
    return result;
}

/* Nothing is sent here, and nothing logged. */
static int
leave_to_application(Served *served)
{
    PyObject *is_last = PyObject_CallMethodNoArgs(served->request, should_close);
    if (is_last == NULL) {
        return -1;
    }
    set_last(served->response, is_last);
    return 0;
}

/* As the twin's _send. */
static int
send_pieces(CleanTurn *self, Served *served, PyObject *body, PyObject *wrapper)
{
    int handled = PyList_CheckExact(body) ? 0 : is_handled(self, served, body);
    if (handled) {
        return handled < 0 ? -1 : leave_to_application(served);
    }
    if (write_body(served->response, body, wrapper) < 0) {
        return fail(self, served, body);
    }
    return log_answer(self, served) < 0 ? -1 : close_body(body);
}

/* Send what the application has returned, and log it. */
static int
send_body(CleanTurn *self, Served *served, PyObject *body)
{
    if (is_sent_here(self, served, body)) {
        int result = end_if_child(common(self, ANSWERS)) < 0 ? -1 : send_all(served->response, body);
        return log_answer(self, served) < 0 ? -1 : result;
    }
    PyObject *wrapper = PyErr_Occurred() ? NULL : Py_XNewRef(PyDict_GetItemWithError(served->environ, file_wrapper));
    if (wrapper == NULL) {
        return PyErr_Occurred() ? -1 : go_on_in_python(self, served, send_name, served->gone, body);
    }
    int result = send_pieces(self, served, body, wrapper);
    Py_DECREF(wrapper);
    return result;
}

/* As the twin's _respond. */
static int
respond(CleanTurn *self, Served *served)
{
    if (common(self, ACCESS_LOG) != Py_None) {
        served->began = seconds_now();
    }
    if (self->fields[IS_TIMED] != Py_True) {
        PyObject *done = PyObject_CallMethodNoArgs(served->response, force_close);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
    }
    PyObject *body = call_application(self, served);
    if (body == NULL || end_if_child(common(self, ANSWERS)) < 0) {
        Py_XDECREF(body);
        return -1;
    }
    int result = send_body(self, served, body);
    Py_DECREF(body);
    return result;
}

/* What was raised is gunicorn's to judge. */
static int
leave(CleanTurn *self, Served *served)
{
    PyObject *error = raised();
    PyObject *args[] = {error, served->request, served->response, served->environ};
    int result = error == NULL ? -1 : call_twin(self, raised_name, args, 4);
    Py_XDECREF(error);
    return result < 0 ? FAILED : LEFT;
}

/* Count the request as ended. */
static int
end(CleanTurn *self, Served *served, PyObject *method)
{
    PyObject *args[] = {common(self, METER),          self->fields[SLOT], served->started, method,
                        status_of(served->response), sent_of(served->response)};
    PyObject *done = PyObject_VectorcallMethod(end_name, args, 6, NULL);
    Py_XDECREF(done);
    if (done == NULL) {
        return -1;
    }
    if (!is_watched(served->response)) {
        return 0;
    }
    done = PyObject_CallOneArg(common(self, UNWATCH), self->fields[SOCKET]);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* What becomes of the connection behind the answer. */
static int
outcome_of(CleanTurn *self, Served *served)
{
    int is_last = is_last_of(served->response);
    if (is_last > 0 && served->length && call_twin(self, linger_name, &served->request, 1) < 0) {
        return FAILED;
    }
    if (is_last) {
        return is_last < 0 ? FAILED : LAST;
    }
    PyObject *over = PyObject_GetAttr(self->fields[WAITS], is_over);
    int is_the_end = over == NULL ? -1 : over == Py_False ? 0 : PyObject_IsTrue(over);
    Py_XDECREF(over);
    return is_the_end < 0 ? FAILED : is_the_end ? LAST : ANSWERED;
}

/* Serve a request that was read, and whose environ is to be completed; as the twin's _begun and _answer. */
static int
answer(CleanTurn *self, Served *served)
{
    PyObject *method = Py_XNewRef(PyDict_GetItemWithError(served->environ, request_method));
    int outcome = method == NULL || complete(self, served) < 0 || begin(self, served) < 0 ? FAILED : ANSWERED;
    if (outcome == ANSWERED && respond(self, served) < 0) {
        outcome = leave(self, served);
    }
    if (outcome == ANSWERED) {
        outcome = end(self, served, method) < 0 ? FAILED : outcome_of(self, served);
    }
    Py_XDECREF(method);
    return outcome;
}

/* --- a turn --------------------------------------------------------------------------------- */

static void
let_go(Served *served)
{
    Py_CLEAR(served->environ);
    Py_CLEAR(served->gone);
    Py_CLEAR(served->response);
    Py_CLEAR(served->started);
    Py_CLEAR(served->request);
}

/* Read and serve what has come; `left` becomes the request that is gunicorn's to finish. */
static int
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
    outcome = take_request(self, data, &head) < 0 ? FAILED : answer(self, &served);
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
                                                         : PyObject_CallMethodNoArgs((PyObject *)self, receive);
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

/* Its greenlet waits for nothing of it any more. */
int
forget_turn(PyObject *connection)
{
    return forget((CleanTurn *)connection);
}

/* --- the type ------------------------------------------------------------------------------- */

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
    {0, NULL},
};

PyType_Spec clean_turn_spec = {
    .name = "nodecluster_compat._native.CleanTurn",
    .basicsize = sizeof(CleanTurn),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
