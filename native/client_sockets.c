/* Hold a client's socket as nothing but its descriptor; twin of gevent_runtime/client_socket.py.

   An object is of the twin's class, and begins without the socket of the standard library beneath it: that is made when
   Python looks for it, and then has the descriptor.  What is done here leaves it as the twin does. */

#include "native.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BENEATH,
    DESCRIPTOR,
    IS_OURS,
    KIND,
    READER,
    CLOSED,
    IO_REFS,
    TIMEOUT,
    READ_EVENT,
    WRITE_EVENT,
    REQUEST_ID,
    CLIENT_SLOTS
};

static PyTypeObject *client_type;
static Py_ssize_t places[CLIENT_SLOTS];
static PyObject *beneath_name, *fileno_name, *close_name, *callback_name, *loop_name, *io_name, *read_event, *zero, *one,
    *nobody;

static int
prepare(void)
{
    static const Name names[] = {
        {&beneath_name, "_sock"},       {&fileno_name, "fileno"}, {&close_name, "close"},
        {&callback_name, "callback"},   {&loop_name, "loop"},     {&io_name, "io"},
        {&read_event, "_read_event"},
    };
    if ((zero == NULL && (zero = PyLong_FromLong(0)) == NULL) || (one == NULL && (one = PyLong_FromLong(1)) == NULL)
        || (nobody == NULL && (nobody = PyLong_FromLong(-1)) == NULL)) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

/* Find the attributes of the twin's class. */
int
learn_client(PyObject *type)
{
    static const char *const names[] = {"_sock",   "_descriptor", "_is_ours", "_kind",
                                        "_reader", "_closed",     "_io_refs", "timeout",
                                        "_read_event", "_write_event", "_request_id"};
    if (prepare() < 0 || find_slots(type, names, places, CLIENT_SLOTS) < 0) {
        return -1;
    }
    PyTypeObject *old = client_type;
    client_type = (PyTypeObject *)Py_NewRef(type);
    Py_XDECREF(old);
    return 0;
}

static PyObject **
attribute(PyObject *client, int which)
{
    return slot_at(client, places[which]);
}

/* The descriptor of one that has no socket beneath; -1: it has, or is closed. */
static int
bare_descriptor(PyObject *client)
{
    PyObject *fd = *attribute(client, DESCRIPTOR);
    return fd == NULL || !PyLong_CheckExact(fd) || *attribute(client, BENEATH) != NULL ? -1 : (int)PyLong_AsLong(fd);
}

/* Return the descriptor of a client's socket, without a note that somebody has it; -1: none, and no exception. */
int
descriptor_of(PyObject *client)
{
    int bare = Py_TYPE(client) == client_type ? bare_descriptor(client) : -1;
    if (bare >= 0) {
        return bare;
    }
    PyObject *inner = PyObject_GetAttr(client, beneath_name);
    PyObject *number = inner == NULL ? NULL : PyObject_CallMethodNoArgs(inner, fileno_name);
    long fd = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(inner);
    Py_XDECREF(number);
    if (PyErr_Occurred()) {
        PyErr_Clear(); /* the socket object says it, in its words */
        return -1;
    }
    return (int)fd;
}

/* Make one, which owns the descriptor from now on; `kind` is what else socket() is called with. */
PyObject *
new_client(PyObject *kind, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *client = number == NULL ? NULL : client_type->tp_alloc(client_type, 0);
    if (client == NULL) {
        Py_XDECREF(number);
        return NULL;
    }
    *attribute(client, DESCRIPTOR) = number;
    *attribute(client, KIND) = Py_NewRef(kind);
    *attribute(client, IS_OURS) = Py_NewRef(Py_True);
    *attribute(client, READER) = Py_NewRef(Py_None);
    *attribute(client, CLOSED) = Py_NewRef(Py_False);
    *attribute(client, IO_REFS) = Py_NewRef(zero);
    *attribute(client, TIMEOUT) = Py_NewRef(Py_None); /* as for gunicorn, which never waits with another */
    return client;
}

/* Return the id that is noted of the request that a client makes, borrowed; NULL: none yet, None: it is to be asked of the
   context variable, as ever for sockets of other kinds. */
PyObject *
noted_id(PyObject *client)
{
    return Py_TYPE(client) == client_type ? *attribute(client, REQUEST_ID) : Py_None;
}

/* Note one, where that can be. */
void
note_id(PyObject *client, PyObject *ident)
{
    if (Py_TYPE(client) == client_type) {
        set_field(attribute(client, REQUEST_ID), Py_NewRef(ident));
    }
}

/* --- waiting ------------------------------------------------------------------------------------- */

/* Make what tells that something has come, as the twin's __getattr__ does for _read_event. */
static PyObject *
make_reader(PyObject *client, PyObject *hub)
{
    PyObject *loop = PyObject_GetAttr(hub, loop_name);
    PyObject *given[] = {loop, *attribute(client, DESCRIPTOR), one /* for reading */};
    PyObject *reader = loop == NULL ? NULL : PyObject_VectorcallMethod(io_name, given, 3, NULL);
    Py_XDECREF(loop);
    if (reader != NULL) {
        set_field(attribute(client, READER), Py_NewRef(reader));
        set_field(attribute(client, READ_EVENT), Py_NewRef(reader));
    }
    return reader;
}

/* Return what tells in this thread's hub that something has come. */
PyObject *
reader_of(PyObject *client, PyObject *hub)
{
    int is_first = Py_TYPE(client) == client_type && *attribute(client, READ_EVENT) == NULL && bare_descriptor(client) >= 0;
    return is_first ? make_reader(client, hub) : PyObject_GetAttr(client, read_event);
}

/* --- closing ------------------------------------------------------------------------------------- */

/* Whether there is no watcher, or nobody waits by it; -1: an exception. */
static int
is_unwatched(PyObject *reader)
{
    if (reader == NULL || reader == Py_None) {
        return reader != NULL;
    }
    PyObject *callback = PyObject_GetAttr(reader, callback_name);
    int result = callback == NULL ? -1 : callback == Py_None;
    Py_XDECREF(callback);
    return result;
}

/* Whether nobody but its greenlet has had to do with it; -1: an exception. */
static int
is_bare(PyObject *client)
{
    PyObject *references = *attribute(client, IO_REFS);
    if (bare_descriptor(client) < 0 || *attribute(client, IS_OURS) != Py_True || references == NULL
        || !PyLong_CheckExact(references) || PyLong_AsLong(references) != 0) {
        return 0;
    }
    return is_unwatched(*attribute(client, READER));
}

static int
is_of_tcp(PyObject *client)
{
    PyObject *kind = *attribute(client, KIND);
    PyObject *family = kind != NULL && PyTuple_CheckExact(kind) && PyTuple_GET_SIZE(kind) > 0 ? PyTuple_GET_ITEM(kind, 0) : NULL;
    long number = family == NULL || !PyLong_Check(family) ? -1 : PyLong_AsLong(family);
    return number == AF_INET || number == AF_INET6;
}

/* Whether nothing can be written to a connection but by its greenlet, so that its end may leave with the last that this
   writes.  No exception: where that cannot be found out, the end leaves by itself. */
int
is_ended_by_us(PyObject *client)
{
    int result = Py_TYPE(client) == client_type && is_of_tcp(client) ? is_bare(client) : 0;
    if (result < 0) {
        PyErr_Clear();
    }
    return result > 0;
}

static int
close_reader(PyObject *client)
{
    PyObject *reader = Py_NewRef(*attribute(client, READER));
    set_field(attribute(client, READER), Py_NewRef(Py_None));
    set_field(attribute(client, READ_EVENT), Py_NewRef(Py_None));
    set_field(attribute(client, WRITE_EVENT), Py_NewRef(Py_None));
    int result = reader == Py_None ? 0 : call_method(reader, close_name, NULL);
    Py_DECREF(reader);
    return result;
}

/* Close one; -1: an exception. */
int
close_client(PyObject *client)
{
    int bare = Py_TYPE(client) == client_type ? is_bare(client) : 0;
    if (bare <= 0) {
        return bare < 0 ? -1 : call_method(client, close_name, NULL);
    }
    int fd = bare_descriptor(client);
    set_field(attribute(client, CLOSED), Py_NewRef(Py_True));
    set_field(attribute(client, DESCRIPTOR), Py_NewRef(nobody));
    int result = close_reader(client);
    if (close(fd) < 0 && errno != ECONNRESET && errno != EINTR && result == 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return result;
}
