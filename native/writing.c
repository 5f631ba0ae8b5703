/* Encode a message and write its frame, or collect it; twin of ChannelWriter.put in messages/writer.py, for what is
   ordinary: a small frame, no callback and no descriptor, and little that waits before it.

   What is collected, or waits until the kernel takes more, is an entry of Python's own queue, a bytearray that grows, so
   whoever writes the queue writes it, in the order of the calls; nothing of it is here.  Whatever the kernel does not take at once is Python's to go on with.  No signal
   handler runs between two lines of C, so an entry and what is counted of it are always in step.

   The interpreter's lock is held throughout: the socket does not block, and a write is small. */

#define _GNU_SOURCE /* clock_gettime */

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "frames.h"

#define MOST_SMALL 4096

enum { QUEUE, SOCK, SMALL_BYTES, BURST, REACTOR, IS_OPEN, IS_WATCHED, IS_RESTING, IS_AT_WORK, IS_COLLECTING, IS_TOLLED,
       WRITE_BY, WRITER_SLOTS };
enum { QUEUED, BYTES_WAITING, QUEUE_SLOTS };
enum { LAST, COUNT, BURST_SLOTS };
enum { WRITER, ENCODE, ENTRY, SOCKET, CLOCK, ITEM, BUFFER, POST_FIELDS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fields[POST_FIELDS]; /* ITEM and BUFFER: the entry that was added last, and its bytes */
    long long limit;
    long burst_frames, most_collected, most_waiting, entry_cost, pressure;
    double burst_seconds;
    int kind;      /* of its frames */
    char is_held; /* messages wait behind a handle */
    Py_ssize_t writer[WRITER_SLOTS], queue[QUEUE_SLOTS], burst[BURST_SLOTS];
} Post;

static PyObject *append_name, *popleft_name, *written_name, *fileno_name, *collect_name, *write_name, *put_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&append_name, "append"},   {&popleft_name, "popleft"}, {&written_name, "written"}, {&fileno_name, "fileno"},
        {&collect_name, "collect"}, {&write_name, "write_now"}, {&put_name, "put"},
    };
    return make_names(names, COUNT_OF(names));
}

static PyObject *
of_writer(Post *self, int which)
{
    return get_slot(self->fields[WRITER], self->writer[which]);
}

/* Return seconds of the clock; -1 with an exception. */
static double
now_by(Post *self)
{
    if (self->fields[CLOCK] == Py_None) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    PyObject *now = PyObject_CallNoArgs(self->fields[CLOCK]);
    double seconds = now == NULL ? -1.0 : PyFloat_AsDouble(now);
    Py_XDECREF(now);
    return seconds;
}

/* --- the queue ----------------------------------------------------------------------------------- */

static PyObject *
of_queue(Post *self, int which)
{
    PyObject *queue = of_writer(self, QUEUE);
    return queue == NULL ? NULL : get_slot(queue, self->queue[which]);
}

/* Count bytes in, or out. */
static int
count_bytes(Post *self, Py_ssize_t more)
{
    PyObject *waiting = of_queue(self, BYTES_WAITING);
    long bytes = waiting == NULL ? -1 : PyLong_AsLong(waiting);
    if (bytes == -1 && PyErr_Occurred()) {
        return -1;
    }
    return set_slot(of_writer(self, QUEUE), self->queue[BYTES_WAITING], PyLong_FromLong(bytes + (long)more));
}

/* Return how many entries wait, and whether the last one is ours. */
static Py_ssize_t
look_at_queue(Post *self, int *is_ours)
{
    PyObject *frames = of_queue(self, QUEUED);
    Py_ssize_t count = frames == NULL ? -1 : PyObject_Size(frames);
    *is_ours = 0;
    if (count > 0 && self->fields[ITEM] != NULL) {
        PyObject *last = PySequence_GetItem(frames, count - 1);
        *is_ours = last == self->fields[ITEM];
        Py_XDECREF(last);
        return last == NULL ? -1 : count;
    }
    return count;
}

static int
is_set(Post *self, int which)
{
    return of_writer(self, which) != Py_False;
}

/* What becomes of a small frame that is sent now. */
enum { IS_PYTHONS, GOES_AT_ONCE, IS_COLLECTED, WAITS };

/* Whether so little waits that no frame is refused. */
static int
has_room(Post *self, Py_ssize_t count)
{
    long waiting = get_number(of_writer(self, QUEUE), self->queue[BYTES_WAITING]);
    return waiting == -1 && PyErr_Occurred() ? -1 : waiting + count * self->entry_cost <= self->most_waiting;
}

/* Say which of these; -1 with an exception. */
static int
look(Post *self)
{
    PyObject *reactor = of_writer(self, REACTOR), *sock = of_writer(self, SOCK);
    if (reactor == NULL || sock == NULL) {
        return -1;
    }
    if (self->is_held || !is_set(self, IS_OPEN) || is_set(self, IS_RESTING) || is_set(self, IS_AT_WORK)
        || is_set(self, IS_TOLLED) || reactor == Py_None || (PyObject *)Py_TYPE(sock) != self->fields[SOCKET]) {
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

/* Add an entry, whose buffer grows. */
static int
add_entry(Post *self, PyObject *frames)
{
    PyObject *buffer = PyByteArray_FromStringAndSize(NULL, 0);
    PyObject *args[] = {buffer, Py_None};
    PyObject *item = buffer == NULL ? NULL : PyObject_Vectorcall(self->fields[ENTRY], args, 2, NULL);
    if (item == NULL || call_method(frames, append_name, item) < 0) {
        Py_XDECREF(item);
        Py_XDECREF(buffer);
        return -1;
    }
    set_field(&self->fields[ITEM], item);
    set_field(&self->fields[BUFFER], buffer);
    return 0;
}

/* Put a frame behind what waits. */
static int
collect(Post *self, PyObject *payload)
{
    int is_ours;
    Py_ssize_t size = PyBytes_GET_SIZE(payload), count = look_at_queue(self, &is_ours);
    if (count < 0 || (!is_ours && add_entry(self, of_queue(self, QUEUED)) < 0)) {
        return -1;
    }
    PyObject *buffer = self->fields[BUFFER];
    Py_ssize_t before = PyByteArray_GET_SIZE(buffer);
    if (PyByteArray_Resize(buffer, before + HEADER_BYTES + size) < 0) {
        return -1;
    }
    char *end = PyByteArray_AS_STRING(buffer) + before;
    write_header((unsigned char *)end, size, self->kind);
    memcpy(end + HEADER_BYTES, PyBytes_AS_STRING(payload), (size_t)size);
    return count_bytes(self, HEADER_BYTES + size);
}

/* --- writing ------------------------------------------------------------------------------------- */

static Py_ssize_t
send_bytes(Post *self, const char *bytes, Py_ssize_t size)
{
    PyObject *number = PyObject_CallMethodNoArgs(of_writer(self, SOCK), fileno_name);
    int fd = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    return number == NULL ? -2 : send(fd, bytes, (size_t)size, MSG_NOSIGNAL);
}

/* Whether a call that an exception has left is still to be settled, by Python. */
static int
is_unsettled(Post *self)
{
    PyObject *written = PyObject_GetAttr(self->fields[ITEM], written_name);
    int result = written == NULL ? -1 : PyObject_IsTrue(written);
    Py_XDECREF(written);
    return result;
}

/* Note how much of the entry the kernel has, for Python, which goes on with the rest. */
static int
note_written(Post *self, Py_ssize_t size)
{
    PyObject *written = Py_BuildValue("[n]", size);
    int outcome = written == NULL ? -1 : PyObject_SetAttr(self->fields[ITEM], written_name, written);
    Py_XDECREF(written);
    return outcome < 0 ? -1 : call_method(self->fields[WRITER], write_name, NULL);
}

/* The kernel has all that was collected. */
static int
forget_entry(Post *self, Py_ssize_t size)
{
    PyObject *frames = of_queue(self, QUEUED), *first = NULL;
    if (frames != NULL) {
        first = PyObject_CallMethodNoArgs(frames, popleft_name);
        Py_XDECREF(first);
    }
    Py_CLEAR(self->fields[ITEM]);
    Py_CLEAR(self->fields[BUFFER]);
    return first == NULL ? -1 : count_bytes(self, -size);
}

/* Write what was collected. */
static int
write_collected(Post *self)
{
    int is_ours;
    Py_ssize_t count = look_at_queue(self, &is_ours);
    int unsettled = count < 0 ? -1 : count != 1 || !is_ours ? 1 : is_unsettled(self);
    if (unsettled != 0) {
        return unsettled < 0 ? -1 : call_method(self->fields[WRITER], write_name, NULL);
    }
    Py_ssize_t size = PyByteArray_GET_SIZE(self->fields[BUFFER]);
    Py_ssize_t sent = send_bytes(self, PyByteArray_AS_STRING(self->fields[BUFFER]), size);
    if (sent == size) {
        return forget_entry(self, size);
    }
    return sent == -2 ? -1 : sent > 0 ? note_written(self, sent) : call_method(self->fields[WRITER], write_name, NULL);
}

/* Count a frame less: Python counts what it puts. */
static int
uncount(Post *self)
{
    PyObject *burst = of_writer(self, BURST);
    long frames = burst == NULL ? -1 : get_number(burst, self->burst[COUNT]);
    return frames == -1 && PyErr_Occurred() ? -1 : set_slot(burst, self->burst[COUNT], PyLong_FromLong(frames - 1));
}

/* Let Python put a frame, which it does as if nobody had tried before. */
static int
put_slowly(Post *self, const char *frame, Py_ssize_t size)
{
    PyObject *bytes = uncount(self) < 0 ? NULL : PyBytes_FromStringAndSize(frame, size);
    PyObject *args[] = {self->fields[WRITER], bytes, Py_None, Py_None};
    PyObject *done = bytes == NULL ? NULL : PyObject_VectorcallMethod(put_name, args, COUNT_OF(args), NULL);
    Py_XDECREF(bytes);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Write a frame that nothing waits before. */
static int
write_small(Post *self, PyObject *payload)
{
    char frame[MOST_SMALL];
    Py_ssize_t size = HEADER_BYTES + PyBytes_GET_SIZE(payload);
    write_header((unsigned char *)frame, PyBytes_GET_SIZE(payload), self->kind);
    memcpy(frame + HEADER_BYTES, PyBytes_AS_STRING(payload), (size_t)PyBytes_GET_SIZE(payload));
    Py_ssize_t sent = send_bytes(self, frame, size);
    if (sent == size || sent == -2) {
        return sent == size ? 0 : -1;
    }
    return put_slowly(self, frame + (sent > 0 ? sent : 0), size - (sent > 0 ? sent : 0));
}

/* --- a message ----------------------------------------------------------------------------------- */

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

/* post(message): send it, and say whether the receiver keeps up; None or its payload: it is Python's to send. */
static PyObject *
post(PyObject *object, PyObject *const *args, size_t nargs, PyObject *names)
{
    Post *self = (Post *)object;
    if (PyVectorcall_NARGS(nargs) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "expected a message");
        return NULL;
    }
    int way = look(self);
    if (way <= IS_PYTHONS) {
        return way < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *payload = PyObject_CallOneArg(self->fields[ENCODE], args[0]);
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

/* --- its life ------------------------------------------------------------------------------------ */

static int
traverse(Post *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, POST_FIELDS, visit, arg);
}

static int
clear(Post *self)
{
    clear_fields(self->fields, POST_FIELDS);
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
        "_is_at_work", "_is_collecting", "is_tolled", "_write_by",
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
