/* Look at what has come of a connection, and leave it there; twin of machine/peeking.py.

   By the descriptor alone: no socket object, and the interpreter's lock is kept, since nothing here waits. */

#include "native.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

static const char peek_doc[] =
    "peek(fd, most)\n--\n\n"
    "Return what has come of a connection; None: nothing yet; b'': it has ended, or was reset.";

static PyObject *
peek(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    char data[MOST_PEEKED];
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "peek() takes a descriptor and a number of bytes");
        return NULL;
    }
    long fd = PyLong_AsLong(args[0]);
    Py_ssize_t most = PyErr_Occurred() ? -1 : PyLong_AsSsize_t(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (fd < 0 || fd > INT_MAX || most < 1 || most > MOST_PEEKED) {
        PyErr_Format(PyExc_ValueError, "expected a descriptor, and 1 to %d bytes to look at, got %ld and %zd", MOST_PEEKED, fd, most);
        return NULL;
    }
    ssize_t got;
    do {
        got = recv((int)fd, data, (size_t)most, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        Py_RETURN_NONE;
    }
    return PyBytes_FromStringAndSize(data, got < 0 ? 0 : got);
}

PyMethodDef peeking_functions[] = {
    {"peek", (PyCFunction)(void (*)(void))peek, METH_FASTCALL, peek_doc},
    {NULL, NULL, 0, NULL},
};
