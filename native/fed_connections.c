/* Serve a connection from its descriptor to its close; twin of _serve() in _gunicorn/worker/fed_source.py.

   It is counted while it is served, and closed however that ends.  An error of its socket is nobody's; the first other
   exception is raised. */

#include "fed_source.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_TEXT (INET_ADDRSTRLEN + sizeof "65535") /* with a colon, and no end */

static PyObject *open_name, *close_name, *failed_name, *ended_name, *room_name, *alive_name, *meter_name, *slots_name;

int
prepare_fed_connections(void)
{
    static const Name names[] = {
        {&open_name, "open"},
        {&close_name, "close"},
        {&failed_name, "_failed"},
        {&ended_name, "_ended"},
        {&room_name, "_room_made"},
        {&alive_name, "alive"},
        {&meter_name, "meter"},
        {&slots_name, "slots"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- it is counted ----------------------------------------------------------------------------- */

/* Return the text of an address of IPv4; NULL: it is another. */
static PyObject *
ipv4_text(PyObject *host, PyObject *port)
{
    char text[IPV4_TEXT];
    long number = PyUnicode_IS_ASCII(host) && PyLong_CheckExact(port) ? PyLong_AsLong(port) : -1;
    Py_ssize_t size = PyUnicode_GET_LENGTH(host);
    if (number < 0 || number > UINT16_MAX || size >= INET_ADDRSTRLEN || memchr(PyUnicode_1BYTE_DATA(host), ':', (size_t)size)) {
        PyErr_Clear();
        return NULL;
    }
    memcpy(text, PyUnicode_1BYTE_DATA(host), (size_t)size);
    text[size] = ':';
    return PyUnicode_FromStringAndSize(text, write_number(text + size + 1, (unsigned)number) - text);
}

/* Return the text of a client's address; twin of address_text() in metering.py. */
static PyObject *
text_of(PyObject *peer)
{
    if (!PyTuple_CheckExact(peer) || PyTuple_GET_SIZE(peer) < 2 || !PyUnicode_Check(PyTuple_GET_ITEM(peer, 0))) {
        return PyUnicode_FromStringAndSize(NULL, 0);
    }
    PyObject *host = PyTuple_GET_ITEM(peer, 0);
    PyObject *text = ipv4_text(host, PyTuple_GET_ITEM(peer, 1));
    if (text != NULL || PyErr_Occurred()) {
        return text;
    }
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

/* The same, and keep an exception that is set. */
static int
close_slot_quietly(PyObject *meter, PyObject *slots, PyObject *client, PyObject *slot)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    int closed = close_slot(meter, slots, client, slot);
    if (type != NULL) {
        PyErr_Clear();
        PyErr_Restore(type, value, trace);
    }
    return closed;
}

/* Count the connection, and serve it. */
static int
serve_counted(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *greenlet)
{
    PyObject *meter = PyObject_GetAttr(self->fields[METERING], meter_name);
    PyObject *slots = meter == NULL ? NULL : PyObject_GetAttr(self->fields[METERING], slots_name);
    PyObject *slot = slots == NULL ? NULL : open_slot(meter, slots, client, peer, greenlet);
    int result = slot == NULL ? -1 : serve_requests(self, entry, client, peer, slot);
    if (slot != NULL && close_slot_quietly(meter, slots, client, slot) < 0) {
        result = -1;
    }
    Py_XDECREF(slot);
    Py_XDECREF(slots);
    Py_XDECREF(meter);
    return result;
}

/* --- its end ----------------------------------------------------------------------------------- */

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

/* --- from its descriptor ----------------------------------------------------------------------- */

/* Serve a connection to its end; 0: nothing was done, and the descriptor is as it was. */
int
serve_connection(Feeding *self, PyObject *entry, int fd)
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
