/* Encode a message and write its frame, or collect it; twin of ChannelWriter.put in messages/writer.py, for what is
   ordinary: a small frame, no callback and no descriptor, and little that waits before it.

   What is collected, or waits until the kernel takes more, is an entry of Python's own queue (write_queue.c), so whoever
   writes the queue writes it, in the order of the calls; nothing of it is here.  Whatever the kernel does not take at once
   (write_calls.c) is Python's to go on with.

   The interpreter's lock is held throughout: the socket does not block, and a write is small. */

#define _GNU_SOURCE /* clock_gettime */

#include "writing.h"

#include <time.h>

#define MOST_KEYS 16 /* of a message whose texts are looked at */

static PyObject *collect_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&collect_name, "collect"},
    };
    return make_names(names, COUNT_OF(names)) < 0 || prepare_write_queue() < 0 ? -1 : prepare_write_calls();
}

/* --- what becomes of a frame ------------------------------------------------------------------- */

/* What becomes of a small frame that is sent now. */
enum { IS_PYTHONS, GOES_AT_ONCE, IS_COLLECTED, WAITS };

/* Say which of these; -1 with an exception. */
static int
look(Post *self)
{
    PyObject *reactor = of_writer(self, REACTOR), *sock = of_writer(self, SOCK);
    if (reactor == NULL || sock == NULL) {
        return -1;
    }
    if (self->is_held || !is_set(self, IS_OPEN) || is_set(self, IS_RESTING) || is_set(self, IS_AT_WORK)
        || is_set(self, HAS_FAULTS) || reactor == Py_None || (PyObject *)Py_TYPE(sock) != self->fields[SOCKET]) {
        return PyErr_Occurred() ? -1 : IS_PYTHONS;
    }
    int is_ours;
    Py_ssize_t count = look_at_queue(self, &is_ours);
    int room = count <= 0 ? (int)count + 1 : has_room(self, count);
    if (room <= 0) {
        return room < 0 || PyErr_Occurred() ? -1 : IS_PYTHONS;
    }
    return is_set(self, IS_WATCHED) ? WAITS : is_set(self, IS_COLLECTING) ? IS_COLLECTED : count == 0 ? GOES_AT_ONCE : IS_PYTHONS;
}

/* --- a message --------------------------------------------------------------------------------- */

/* Return seconds of the clock; -1 with an exception. */
static double
now_by(Post *self)
{
    if (self->fields[CLOCK] == NULL || self->fields[CLOCK] == Py_None) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    PyObject *now = PyObject_CallNoArgs(self->fields[CLOCK]);
    double seconds = now == NULL ? -1.0 : PyFloat_AsDouble(now);
    Py_XDECREF(now);
    return seconds;
}

/* Count a frame; 1: it is one too many to be written by itself, -1 with an exception. */
static int
counts(Post *self, double now)
{
    PyObject *burst = of_writer(self, BURST), *last = burst == NULL ? NULL : get_slot(burst, self->burst[LAST]);
    double before = last == NULL ? -1.0 : PyFloat_AsDouble(last);
    long frames = last == NULL ? -1 : get_number(burst, self->burst[COUNT]);
    if (PyErr_Occurred()) {
        return -1;
    }
    frames = now - before > self->burst_seconds ? 1 : frames + 1;
    if (set_slot(burst, self->burst[COUNT], PyLong_FromLong(frames)) < 0
        || set_slot(burst, self->burst[LAST], PyFloat_FromDouble(now)) < 0) {
        return -1;
    }
    return frames > self->burst_frames;
}

/* Collect one more, and write when it is time to. */
static int
go_on_collecting(Post *self, PyObject *payload, double now, int hurried)
{
    PyObject *by = of_writer(self, WRITE_BY);
    double write_by = by == NULL ? -1.0 : PyFloat_AsDouble(by);
    if (PyErr_Occurred() || collect(self, payload) < 0) {
        return -1;
    }
    if (hurried && PyByteArray_GET_SIZE(self->fields[BUFFER]) < self->most_collected && now <= write_by) {
        return 0;
    }
    PyObject *next = PyFloat_FromDouble(now + self->burst_seconds);
    return set_slot(self->fields[WRITER], self->writer[WRITE_BY], next) < 0 ? -1 : write_collected(self);
}

/* Write a payload, collect it, or let it wait until the kernel takes more. */
static int
put(Post *self, PyObject *payload, int way)
{
    if (way == WAITS) {
        return collect(self, payload);
    }
    double now = now_by(self);
    int hurried = PyErr_Occurred() ? -1 : counts(self, now);
    if (hurried < 0) {
        return -1;
    }
    if (way == IS_COLLECTED) {
        return go_on_collecting(self, payload, now, hurried);
    }
    if (!hurried) {
        return write_small(self, payload);
    }
    return collect(self, payload) < 0 ? -1 : call_method(self->fields[WRITER], collect_name, of_writer(self, REACTOR));
}

/* Whether the receiver keeps up. */
static PyObject *
keeps_up(Post *self)
{
    PyObject *waiting = of_queue(self, BYTES_WAITING);
    long bytes = waiting == NULL ? -1 : PyLong_AsLong(waiting);
    return bytes == -1 && PyErr_Occurred() ? NULL : PyBool_FromLong(bytes < self->pressure);
}

/* Send a payload; it is returned if that is Python's to do. */
static PyObject *
post_payload(Post *self, PyObject *payload)
{
    long small = get_number(self->fields[WRITER], self->writer[SMALL_BYTES]);
    if (small == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(payload);
    if (size > self->limit || size + HEADER_BYTES > small || size + HEADER_BYTES > MOST_SMALL) {
        return Py_NewRef(payload);
    }
    int way = look(self); /* again: who encodes may have sent something */
    if (way <= IS_PYTHONS) {
        return way < 0 ? NULL : Py_NewRef(payload);
    }
    return put(self, payload, way) < 0 ? NULL : keeps_up(self);
}

/* Whether a message has a text that is encoded apart; as encoded() in messages/json_strings.py looks for one. */
static int
has_long_string(PyObject *message)
{
    PyObject *key, *value;
    Py_ssize_t place = 0;
    if (!PyDict_CheckExact(message) || PyDict_GET_SIZE(message) > MOST_KEYS) {
        return 0;
    }
    while (PyDict_Next(message, &place, &key, &value)) {
        if (PyUnicode_CheckExact(value) && PyUnicode_GET_LENGTH(value) >= LARGE_BYTES) {
            return 1;
        }
    }
    return 0;
}

/* post(message): send it, and say whether the receiver keeps up; None or its payload: it is Python's to send. */
static PyObject *
post(PyObject *object, PyObject *const *args, size_t nargs, PyObject *names)
{
    Post *self = (Post *)object;
    if (PyVectorcall_NARGS(nargs) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "expected a message");
        return NULL;
    }
    int way = self->fields[ENCODE] == NULL || has_long_string(args[0]) ? IS_PYTHONS : look(self);
    if (way <= IS_PYTHONS) {
        return way < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *encode = Py_NewRef(self->fields[ENCODE]), *payload = PyObject_CallOneArg(encode, args[0]);
    Py_DECREF(encode);
    if (payload == NULL || !PyBytes_CheckExact(payload)) {
        if (payload == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* Python says what is wrong with it */
            return Py_NewRef(Py_None);
        }
        return payload;
    }
    Py_INCREF(self);
    PyObject *result = post_payload(self, payload);
    Py_DECREF(self);
    Py_DECREF(payload);
    return result;
}

/* --- its life ---------------------------------------------------------------------------------- */

static int
traverse(Post *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, POST_FIELDS, visit, arg);
}

/* What else there is, is set once (records.c). */
static int
clear(Post *self)
{
    static const int settable[] = {ENCODE, CLOCK, ITEM, BUFFER};
    for (int place = 0; place < COUNT_OF(settable); place++) {
        Py_CLEAR(self->fields[settable[place]]);
    }
    return 0;
}

static void
deallocate(Post *self)
{
    free_record((PyObject *)self, self->fields, POST_FIELDS);
}

static int
find_places(Post *self)
{
    static const char *const writer[WRITER_SLOTS] = {
        "queue",       "_sock",       "_small_bytes",   "burst",     "_reactor", "_open", "_is_watched", "_is_resting",
        "_is_at_work", "_is_collecting", "has_faults", "_write_by",
    };
    static const char *const queue[QUEUE_SLOTS] = {"frames", "bytes_waiting"}, *const burst[BURST_SLOTS] = {"_last", "frames"};
    if (find_slots((PyObject *)Py_TYPE(self->fields[WRITER]), writer, self->writer, WRITER_SLOTS) < 0) {
        return -1;
    }
    PyObject *its_queue = of_writer(self, QUEUE), *its_burst = of_writer(self, BURST);
    return its_queue == NULL || its_burst == NULL
                   || find_slots((PyObject *)Py_TYPE(its_queue), queue, self->queue, QUEUE_SLOTS) < 0
                   || find_slots((PyObject *)Py_TYPE(its_burst), burst, self->burst, BURST_SLOTS) < 0
               ? -1
               : 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"writer", "encode", "entry", "socket", "limit", "burst_frames", "burst_seconds", "most_collected",
                            "most_waiting", "entry_cost", "pressure", "kind", "clock", NULL};
    PyObject *writer, *encode, *entry, *socket, *clock = Py_None;
    Post given = {.is_held = 0};
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOOLldlllli|O:Post", names, &writer, &encode, &entry, &socket,
                                        &given.limit, &given.burst_frames, &given.burst_seconds, &given.most_collected,
                                        &given.most_waiting, &given.entry_cost, &given.pressure, &given.kind, &clock)) {
        return NULL;
    }
    Post *self = (Post *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = post;
    self->fields[WRITER] = Py_NewRef(writer);
    self->fields[ENCODE] = Py_NewRef(encode);
    self->fields[ENTRY] = Py_NewRef(entry);
    self->fields[SOCKET] = Py_NewRef(socket);
    self->fields[CLOCK] = Py_NewRef(clock);
    self->limit = given.limit;
    self->burst_frames = given.burst_frames;
    self->burst_seconds = given.burst_seconds;
    self->most_collected = given.most_collected;
    self->most_waiting = given.most_waiting;
    self->entry_cost = given.entry_cost;
    self->pressure = given.pressure;
    self->kind = given.kind;
    if (find_places(self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyMemberDef members[] = {
    FIELD(Post, "encode", ENCODE),
    FIELD(Post, "clock", CLOCK),
    {"is_held", T_BOOL, offsetof(Post, is_held), 0, NULL},
    {"limit", T_LONGLONG, offsetof(Post, limit), 0, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Post, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Post(...)(message): send it, and return what send() returns; None or its payload: it is Python's to send."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec post_spec = {
    .name = "nodecluster_compat._native.Post",
    .basicsize = sizeof(Post),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};
