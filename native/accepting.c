/* Accept on one listening socket; twin of Listener._readable in connections/listener.py.

   What is accepted is dealt at once (accepted.c), or waits: in the dispatcher's line, or for the worker to which it belongs
   by what has come of it (peeked_target.c).  The twin accepts where a proxy names the clients, a policy is a program's own,
   or accepting has failed. */

#define _GNU_SOURCE /* accept4 */

#include "dealing.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define GROWTH 1.25

PyTypeObject *accepting_type;

static PyObject *readable_name, *failed_name, *update_name, *client_of, *delay_name, *batch_name, *is_watching,
    *holds_back, *may_hold_back, *hold_back_name, *go_on_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&readable_name, "_readable"},
        {&failed_name, "_failed"},
        {&update_name, "update"},
        {&client_of, "client_of"},
        {&delay_name, "_delay"},
        {&batch_name, "_batch"},
        {&is_watching, "is_watching"},
        {&holds_back, "holds_back"},
        {&may_hold_back, "may_hold_back"},
        {&hold_back_name, "_hold_back"},
        {&go_on_name, "_go_on"},
    };
    return make_names(names, COUNT_OF(names)) < 0 || prepare_accepted() < 0 ? -1 : prepare_peeked_target();
}

/* --- what is ordinary -------------------------------------------------------------------------- */

static int
is(PyObject *object, PyObject *name, PyObject *expected)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value == NULL ? -1 : value == expected;
    Py_XDECREF(value);
    return result;
}

/* Whether nobody looks for a proxy's clients, and accepting works. */
int
is_ordinary(Accepting *self)
{
    PyObject *listener = self->fields[LISTENER];
    int result = is(listener, client_of, Py_None);
    if (result > 0) {
        PyObject *delay = PyObject_GetAttr(listener, delay_name);
        result = delay == NULL ? -1 : PyObject_Not(delay);
        Py_XDECREF(delay);
    }
    return result;
}

/* Return how many to accept at once; the number is the twin's as well. */
static double
batch_of(Accepting *self)
{
    PyObject *batch = PyObject_GetAttr(self->fields[LISTENER], batch_name);
    double number = batch == NULL ? -1.0 : PyFloat_AsDouble(batch);
    Py_XDECREF(batch);
    return number;
}

static int
set_batch(Accepting *self, double number)
{
    PyObject *batch = PyFloat_FromDouble(number);
    int result = batch == NULL ? -1 : PyObject_SetAttr(self->fields[LISTENER], batch_name, batch);
    Py_XDECREF(batch);
    return result;
}

/* Whether somebody serves, and the line is below its bound. */
static int
wants_connections(Accepting *self, Table *table)
{
    Py_ssize_t waiting = PyObject_Size(table->line);
    return waiting < 0 ? -1 : PySet_GET_SIZE(table->members) > 0 && waiting < self->limit;
}

/* --- one connection ---------------------------------------------------------------------------- */

/* Act on an error of accept(); 1: go on, 0: there is nothing now. */
static int
failed(Accepting *self, int number)
{
    if (number == EAGAIN || number == EWOULDBLOCK) {
        return 0;
    }
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, strerror(number));
    PyObject *goes_on = error == NULL ? NULL : PyObject_CallMethodOneArg(self->fields[LISTENER], failed_name, error);
    int result = goes_on == NULL ? -1 : PyObject_IsTrue(goes_on);
    Py_XDECREF(error);
    Py_XDECREF(goes_on);
    return result;
}

/* Accept one connection, and deal it; 1: go on, 0: there is none, or none can be had. */
static int
accept_one(Accepting *self, int listening)
{
    SocketAddress address = {.room = {0}};
    socklen_t size = sizeof address;
    int fd = accept4(listening, &address.any, &size, SOCK_CLOEXEC);
    if (fd < 0) {
        return failed(self, errno);
    }
    PyObject *peer = address_of(&address, size);
    if (peer == NULL) {
        close(fd);
        return -1;
    }
    PyObject *target = peek_target(self, fd);
    if (target == NULL) {
        close(fd);
    }
    int result = target == NULL ? -1 : deal_accepted(self, fd, peer, target);
    Py_DECREF(peer);
    Py_XDECREF(target);
    return result < 0 ? -1 : 1;
}

/* --- as many as come --------------------------------------------------------------------------- */

/* Find out whether one more is wanted; 1: it is, 0: it is not, 2: the twin is to say. */
static int
may_accept(Accepting *self)
{
    Table table;
    int result = look_at(self, &table);
    int wants = result <= 0 ? result : wants_connections(self, &table);
    if (result <= 0 || wants != 0) {
        return result == 0 ? 2 : wants;
    }
    result = find_taken(dealings_of(self)) < 0 ? -1 : look_at(self, &table);
    return result == 0 ? 2 : result < 0 ? -1 : wants_connections(self, &table);
}

/* Accept so many; 1: there may be more, 0: there are not, or fewer are wanted, 2: the twin is to go on. */
static int
accept_up_to(Accepting *self, double most)
{
    int listening = descriptor_in(self->fields[SOCK]);
    if (listening < 0) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
            return -1;
        }
        PyErr_Clear(); /* it is closed, which the twin finds out */
        return 2;
    }
    for (long accepted = 0; (double)accepted < most; accepted++) {
        int may = may_accept(self);
        if (may == 0) {
            return call_method(self->fields[LISTENER], update_name, NULL);
        }
        int goes_on = may == 1 ? accept_one(self, listening) : may;
        if (goes_on != 1) {
            return goes_on;
        }
    }
    return 1;
}

/* --- what is left in the backlog --------------------------------------------------------------- */

/* Whether nobody is idle, and so many wait for anybody; twin of Dispatcher.is_saturated(). */
static int
is_saturated(Accepting *self, long count)
{
    PyObject *idle = of_dispatcher(self, IDLE_WORKERS), *line = of_dispatcher(self, LINE);
    Py_ssize_t waiting = idle == NULL || line == NULL ? -1 : PyObject_Size(line);
    return waiting < 0 ? -1 : waiting >= count && PySet_Size(idle) == 0;
}

/* Leave clients in the backlog for a moment, if enough wait here. */
static int
hold_back(Accepting *self)
{
    int saturated = is_saturated(self, self->enough);
    int may = saturated <= 0 ? saturated : is_true(self->fields[LISTENER], may_hold_back);
    int watches = may <= 0 ? may : is_true(self->fields[LISTENER], is_watching);
    return watches <= 0 ? watches : call_method(self->fields[LISTENER], hold_back_name, NULL);
}

/* Accept what was left in the backlog, if few wait here by now; twin of HoldingBack.fetch(), 2: that is to. */
int
fetch(Accepting *self)
{
    int held = is_true(self->fields[LISTENER], holds_back);
    int enough = held <= 0 ? 1 : is_saturated(self, self->few);
    if (held < 0 || enough != 0) {
        return held < 0 || enough < 0 ? -1 : 0;
    }
    int result = is_ordinary(self);
    result = result < 0 ? -1 : result == 0 ? 2 : accept_up_to(self, (double)self->most);
    if (result < 0 || result == 2) {
        return result;
    }
    enough = is_saturated(self, self->enough);
    return enough != 0 ? Py_MIN(enough, 0) : call_method(self->fields[LISTENER], go_on_name, NULL);
}

/* --- what a loop calls ------------------------------------------------------------------------- */

/* One at first, more while they keep coming: an accept that finds nobody costs as much as one that does. */
static PyObject *
readable(Accepting *self, PyObject *events)
{
    int result = is_ordinary(self);
    double batch = result < 0 ? -1.0 : batch_of(self);
    if (PyErr_Occurred()) {
        return NULL;
    }
    result = result == 0 ? 2 : accept_up_to(self, batch);
    if (result == 2) {
        return PyObject_CallMethodOneArg(self->fields[LISTENER], readable_name, events);
    }
    if (result == 0) {
        result = set_batch(self, 1.0);
    }
    else if (result > 0 && batch <= (double)(self->most - 1)) {
        result = set_batch(self, batch * GROWTH);
    }
    return result < 0 || hold_back(self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- its life ---------------------------------------------------------------------------------- */

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"listener", "sock", "dispatcher", "dealings", "packet", "listener_id", "most", "limit",
                            "enough", "few", NULL};
    PyObject *given[ACCEPTING_FIELDS];
    long most, limit, enough, few;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOO!SO!llll:Accepting", names, &given[LISTENER], &given[SOCK],
                                        &given[DISPATCHER_OF], dealings_type, &given[DEALINGS], &given[PACKET],
                                        &PyLong_Type, &given[LISTENER_ID], &most, &limit, &enough, &few)) {
        return NULL;
    }
    if ((PyObject *)Py_TYPE(given[DISPATCHER_OF]) != ((Dealings *)given[DEALINGS])->fields[DISPATCHER]) {
        PyErr_SetString(PyExc_TypeError, "expected a dispatcher of the class whose slots are known");
        return NULL;
    }
    Accepting *self = (Accepting *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int place = 0; place < ACCEPTING_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    self->most = most;
    self->limit = limit;
    self->enough = enough;
    self->few = few;
    return (PyObject *)self;
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Accepting *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, ACCEPTING_FIELDS, visit, arg);
}

static void
deallocate(Accepting *self)
{
    free_record((PyObject *)self, self->fields, ACCEPTING_FIELDS);
}

static PyMethodDef methods[] = {
    {"readable", (PyCFunction)(void (*)(void))readable, METH_O,
     "readable(events)\n--\n\nAccept and deal what has come, up to a batch."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "Accepts on one listening socket."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec accepting_spec = {
    .name = "nodecluster_compat._native.Accepting",
    .basicsize = sizeof(Accepting),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
