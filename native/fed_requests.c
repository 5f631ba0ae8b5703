/* Serve the requests of a connection that is counted, and let others go on with what is theirs; twin of what
   _gunicorn/requests/http_worker.py does with a connection. */

#include "fed_source.h"

static PyObject *debug_level;
static PyObject *application_name, *go_on, *caught_name, *hand_over, *is_enabled;

int
prepare_fed_requests(void)
{
    static const Name names[] = {
        {&application_name, "application"},
        {&go_on, "go_on"},
        {&caught_name, "caught"},
        {&hand_over, "hand_over"},
        {&is_enabled, "isEnabledFor"},
    };
    if (debug_level == NULL && (debug_level = PyLong_FromLong(10)) == NULL) {
        return -1;
    }
    return make_names(names, COUNT_OF(names));
}

/* Whether clean requests are served in the loop, now. */
static int
is_served_in_loop(Feeding *self, PyObject *slot)
{
    if (self->has_limit && PyLong_AsLong(slot) < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *debugs = PyObject_CallMethodOneArg(self->fields[ERROR_LOG], is_enabled, debug_level);
    int result = debugs == NULL ? -1 : PyObject_Not(debugs);
    Py_XDECREF(debugs);
    return result;
}

static PyObject *
connect(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *slot)
{
    int serves = is_served_in_loop(self, slot);
    PyObject *application = serves < 0 ? NULL : PyObject_GetAttr(self->fields[LOOP], application_name);
    if (application == NULL) {
        return NULL;
    }
    return new_turn(self->fields[KIND], self->fields[TURNS_OF], application, PyTuple_GET_ITEM(entry, 1), client, peer,
                    slot, serves);
}

/* Let the twin go on with what was left, or raised; whether gunicorn is to, -1: an exception. */
static int
let_go_on(PyObject *connection, PyObject *left)
{
    PyObject *type = NULL, *value = NULL, *trace = NULL, *name = go_on;
    if (left == NULL) {
        PyErr_Fetch(&type, &value, &trace);
        PyErr_NormalizeException(&type, &value, &trace);
        if (trace != NULL) {
            PyException_SetTraceback(value, trace);
        }
        left = value;
        name = caught_name;
    }
    PyObject *goes_on = PyObject_CallMethodOneArg(connection, name, left);
    int result = goes_on == NULL ? -1 : PyObject_IsTrue(goes_on);
    Py_XDECREF(goes_on);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return result;
}

/* Let gunicorn go on with the connection. */
static int
give_to_gunicorn(Feeding *self, PyObject *connection, PyObject *entry, PyObject *client, PyObject *peer)
{
    PyObject *given[] = {self->fields[WORKER], connection, PyTuple_GET_ITEM(entry, 0), client, peer};
    PyObject *done = PyObject_VectorcallMethod(hand_over, given, 5, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Serve what is clean, and let the twin go on with the rest; 1: gunicorn is to go on with the connection. */
static int
serve_clean(PyObject *connection)
{
    PyObject *left = serve_turn(connection);
    int is_over = left != NULL && PyBytes_CheckExact(left) && PyBytes_GET_SIZE(left) == 0;
    /* Its greenlet serves others, which nothing may end. */
    int result = is_over ? forget_turn(connection) : let_go_on(connection, left);
    Py_XDECREF(left);
    return result;
}

/* Serve the requests of a connection that is counted. */
int
serve_requests(Feeding *self, PyObject *entry, PyObject *client, PyObject *peer, PyObject *slot)
{
    PyObject *connection = connect(self, entry, client, peer, slot);
    int result = connection == NULL ? -1 : serve_clean(connection);
    if (result > 0) {
        result = give_to_gunicorn(self, connection, entry, client, peer);
    }
    Py_XDECREF(connection);
    return result;
}
