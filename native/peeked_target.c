/* Peek at what has come of a connection, to find its target: the worker that it belongs to; twin of Listener._with_target()
   in connections/listener.py.

   What has come stays in the kernel.  A session of Engine.IO is found here (engineio.c), everything else by the look
   that Python has. */

#include "dealing.h"

static PyObject *look_name, *has_quick_look;

int
prepare_peeked_target(void)
{
    static const Name names[] = {
        {&look_name, "look"},
        {&has_quick_look, "has_quick_look"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Return whose session of Engine.IO has come, or NULL, without an exception: that is the look's to say. */
static PyObject *
quick_look(Accepting *self, Table *table, const char *data, Py_ssize_t size)
{
    int is_quick = is_true(self->fields[LISTENER], has_quick_look);
    if (is_quick <= 0 || data[0] == '\r' || (data[0] == 'P' && (size < 2 || data[1] == 'R'))) {
        return NULL; /* another kind of look, or perhaps a header of the PROXY protocol */
    }
    PyObject *target = PyLong_FromLongLong(engineio_worker(data, size));
    if (target != NULL && PyObject_IsTrue(target) > 0 && PySet_Contains(table->members, target) <= 0) {
        Py_CLEAR(target);
    }
    return target;
}

/* The same, by a look of Python's. */
static PyObject *
slow_look(PyObject *look, const char *data, Py_ssize_t size)
{
    PyObject *seen = PyBytes_FromStringAndSize(data, size);
    PyObject *whose = seen == NULL ? NULL : PyObject_CallOneArg(look, seen);
    long target = whose == NULL ? -1 : PyLong_AsLong(whose);
    Py_XDECREF(seen);
    if (PyErr_Occurred() || target <= 0) {
        Py_XDECREF(whose);
        return PyErr_Occurred() ? NULL : PyLong_FromLong(0);
    }
    return whose;
}

/* Return the target of a connection by what has come of it: a worker's id, 0 for anybody's. */
PyObject *
peek_target(Accepting *self, int fd)
{
    char data[MOST_PEEKED];
    Table table;
    PyObject *look = PyObject_GetAttr(self->fields[LISTENER], look_name), *target = NULL;
    int ordinary = look == NULL ? -1 : look_at(self, &table);
    ssize_t got = 0;
    if (ordinary > 0 && look != Py_None && PySet_GET_SIZE(table.members) > 1) {
        got = recv(fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
    }
    if (got > 0) {
        target = quick_look(self, &table, data, got);
    }
    if (target == NULL && !PyErr_Occurred()) {
        target = got > 0 ? slow_look(look, data, got) : PyLong_FromLong(0);
    }
    Py_XDECREF(look);
    return target;
}
