/* Take a connection from a worker's channel; twin of TakingEnd.read in connections/taking_end.py.

   An ordinary offer is told without a line of Python.  Every other packet, a missing descriptor, and the end of the
   channel are the twin's, which gets what was received. */

#define _GNU_SOURCE

#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_PACKET 512
#define MOST_BESIDE 2
#define HEAD 9 /* bytes of a packet that say something: its kind, and two numbers in the order of the net */

enum { END, SOCK, ON_OFFER, TAKING_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[TAKING_FIELDS];
    Py_ssize_t packet; /* bytes of one */
    int offer; /* the kind that is told here */
} Taking;

/* What one recvmsg() has returned. */
typedef struct {
    char data[MOST_PACKET];
    ssize_t size;
    int fds[MOST_BESIDE], count;
} Received;

static PyObject *read_name, *received_name, *ended_name, *may_take, *has_place_name,
    *nothing_beside;

static int
prepare(void)
{
    static const Name names[] = {
        {&read_name, "read"},   {&received_name, "received"}, {&ended_name, "ended"},
        {&may_take, "may_take"},
        {&has_place_name, "_has_place"},
    };
    if (nothing_beside == NULL && (nothing_beside = PyLong_FromLong(-1)) == NULL) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

/* --- whether one may be taken -------------------------------------------------------------------- */

/* Whether this process can have one more descriptor: otherwise the kernel would throw the offer's away. */
static int
has_place(int channel)
{
    int one_more = fcntl(channel, F_DUPFD_CLOEXEC, 0);
    if (one_more >= 0) {
        close(one_more);
    }
    return one_more >= 0;
}

/* Whether nobody has to be asked before an offer is taken; -1: an exception. */
static int
is_ordinary(Taking *self)
{
    PyObject *asked = PyObject_GetAttr(self->fields[END], may_take);
    int is_nobody = asked == NULL ? -1 : asked == Py_None;
    Py_XDECREF(asked);
    return is_nobody <= 0 ? is_nobody : has_own(self->fields[END], has_place_name);
}

/* --- what lies in the channel -------------------------------------------------------------------- */

static void
close_all(const Received *received)
{
    for (int number = 0; number < received->count; number++) {
        close(received->fds[number]);
    }
}

/* Keep the descriptors beside a packet; those for which there is no room, the kernel has closed. */
static void
find_descriptors(struct msghdr *message, Received *received)
{
    received->count = 0;
    for (struct cmsghdr *beside = CMSG_FIRSTHDR(message); beside != NULL; beside = CMSG_NXTHDR(message, beside)) {
        if (beside->cmsg_level == SOL_SOCKET && beside->cmsg_type == SCM_RIGHTS && received->count == 0) {
            size_t size = beside->cmsg_len - CMSG_LEN(0);
            received->count = (int)(size / sizeof(int));
            memcpy(received->fds, CMSG_DATA(beside), (size_t)received->count * sizeof(int));
        }
    }
}

static int
receive(int channel, size_t most, Received *received)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(MOST_BESIDE * sizeof(int))];
    } control;
    struct iovec part = {received->data, most};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    do {
        received->size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (received->size < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    received->count = 0;
    if (received->size > 0) {
        find_descriptors(&message, received);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* Return the listener of an ordinary offer, which says nothing else; -1: it is another packet. */
static long long
listener_of(Taking *self, const Received *received)
{
    static const char nothing[MOST_PACKET];
    const unsigned char *data = (const unsigned char *)received->data;
    if (received->size != self->packet || received->count != 1 || data[0] != self->offer
        || memcmp(data + HEAD - 4, nothing, (size_t)received->size - (HEAD - 4)) != 0) {
        return -1;
    }
    return (long long)data[1] << 24 | data[2] << 16 | data[3] << 8 | data[4];
}

/* --- telling of it ------------------------------------------------------------------------------- */

/* Give the twin what was received. */
static PyObject *
give_to_twin(Taking *self, const Received *received)
{
    PyObject *data = PyBytes_FromStringAndSize(received->data, received->size);
    PyObject *fds = data == NULL ? NULL : PyTuple_New(received->count);
    for (int number = 0; fds != NULL && number < received->count; number++) {
        PyObject *fd = PyLong_FromLong(received->fds[number]);
        if (fd == NULL) {
            Py_CLEAR(fds);
        }
        else {
            PyTuple_SET_ITEM(fds, number, fd);
        }
    }
    if (fds == NULL) {
        Py_XDECREF(data);
        close_all(received);
        return NULL;
    }
    PyObject *given[] = {self->fields[END], data, fds};
    PyObject *done = PyObject_VectorcallMethod(received_name, given, 3, NULL);
    Py_DECREF(data);
    Py_DECREF(fds);
    return done;
}

/* Tell of an offer; the descriptor is no longer ours. */
static PyObject *
tell_of_offer(Taking *self, long long listener_id, int descriptor)
{
    PyObject *listener = PyLong_FromLongLong(listener_id), *fd = PyLong_FromLong(descriptor), *told = NULL;
    if (listener == NULL || fd == NULL) {
        close(descriptor);
    }
    else {
        PyObject *given[] = {listener, fd, nothing_beside};
        told = PyObject_Vectorcall(self->fields[ON_OFFER], given, 3, NULL);
    }
    Py_XDECREF(listener);
    Py_XDECREF(fd);
    return told;
}

/* It could not serve: the twin gives the channel up, and raises that again. */
static PyObject *
fail(Taking *self)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *done = PyObject_CallMethodNoArgs(self->fields[END], ended_name);
    Py_XDECREF(done);
    if (done == NULL) {
        PyErr_WriteUnraisable(self->fields[END]);
    }
    PyErr_Restore(type, value, trace);
    return NULL;
}

static PyObject *
act_on(Taking *self, const Received *received)
{
    if (received->size <= 0) {
        return PyObject_CallMethodNoArgs(self->fields[END], ended_name);
    }
    long long listener_id = listener_of(self, received);
    if (listener_id < 0) {
        return give_to_twin(self, received);
    }
    PyObject *told = tell_of_offer(self, listener_id, received->fds[0]);
    return told == NULL && PyErr_ExceptionMatches(PyExc_MemoryError) ? fail(self) : told;
}

static PyObject *
take(Taking *self, PyObject *unused)
{
    Received received;
    int ordinary = is_ordinary(self);
    int channel = ordinary <= 0 ? -1 : descriptor_in(self->fields[SOCK]);
    if (ordinary == 0 || (channel >= 0 && !has_place(channel))) {
        return PyObject_CallMethodNoArgs(self->fields[END], read_name);
    }
    if (channel < 0 || receive(channel, (size_t)self->packet + 1, &received) < 0) {
        return NULL;
    }
    if (received.size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        Py_RETURN_NONE;
    }
    return act_on(self, &received);
}

/* --- its life ------------------------------------------------------------------------------------ */

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"end", "sock", "on_offer", "packet", "offer", NULL};
    PyObject *given[TAKING_FIELDS];
    Py_ssize_t packet;
    int offer;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOni:Taking", names, &given[END], &given[SOCK], &given[ON_OFFER],
                                        &packet, &offer)) {
        return NULL;
    }
    if (packet < HEAD || packet >= MOST_PACKET || offer < 0 || offer > 255) {
        PyErr_SetString(PyExc_ValueError, "expected packets of some hundred bytes, and a kind of one byte");
        return NULL;
    }
    Taking *self = (Taking *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < TAKING_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->packet = packet;
        self->offer = offer;
    }
    return (PyObject *)self;
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Taking *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, TAKING_FIELDS, visit, arg);
}

static void
deallocate(Taking *self)
{
    free_record((PyObject *)self, self->fields, TAKING_FIELDS);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)take, METH_NOARGS, "read()\n--\n\nTake what lies in the channel: one offer, or another packet."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "Takes connections from the channel of a worker."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec taking_spec = {
    .name = "nodecluster_compat._native.Taking",
    .basicsize = sizeof(Taking),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
