/* Say whether a clean request is served here; twin of the conditions in _gunicorn/requests/clean_connection.py.

   The twin serves it if the request may be another worker's, if it may be the last one of its worker, or if its environ
   would have more in it than those of other connections. */

#define _GNU_SOURCE /* memmem */

#include "clean_turn.h"

#include <string.h>

#define SHORTEST_LINE 2 /* an empty one may stand before a request */

static PyObject *script_name; /* in bytes, as the process's variables have it */
static PyObject *nr, *max_requests, *server_name, *find_base, *gunicorn_socket, *remote_address, *remote_port;

int
prepare_conditions(void)
{
    static const Name names[] = {
        {&nr, "nr"},
        {&max_requests, "max_requests"},
        {&server_name, "SERVER_NAME"},
        {&find_base, "_find_base"},
        {&gunicorn_socket, "gunicorn.socket"},
        {&remote_address, "REMOTE_ADDR"},
        {&remote_port, "REMOTE_PORT"},
    };
    if (script_name == NULL && (script_name = PyBytes_FromString("SCRIPT_NAME")) == NULL) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

/* Compare two numbers of the worker's: whether a further request is not the last one.  -1: an exception. */
static int
goes_on(CleanTurn *self)
{
    PyObject *worker = common(self, WORKER), *is_alive = PyObject_GetAttr(worker, common(self, ALIVE));
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

/* --- what the environs of a connection have in common ------------------------------------------ */

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

/* --- all of it --------------------------------------------------------------------------------- */

/* Whether a clean request would be served here, as things are; -1: an exception. */
int
is_served_here(CleanTurn *self, PyObject *data)
{
    if (!is_whole_turn(self) || self->fields[SERVES] != Py_True || may_be_anothers(self, data)) {
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
