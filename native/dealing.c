/* Deal a connection to the worker that has been idle for longest; twin of what Dispatcher and Engine do for that.

       accept ──▶ deal_one ──▶ offered, or it waits in the line ──▶ deal_line ──▶ deal_one ──▶ offered

   Nothing is decided here that the twins would decide otherwise.  Where a connection belongs to a worker, has waited for
   long or was begun by another, or the kernel takes nothing, everything is left as it is, and the twin asked. */

#include "dealing.h"

#include <unistd.h>

static PyObject *deal_line_name, *busy_name, *dispatcher_name, *popleft_name, *appendleft_name, *fd_name, *peer_name,
    *head_name, *target_name;

int
prepare_dealing(void)
{
    static const Name names[] = {
        {&deal_line_name, "_deal_line"},
        {&busy_name, "busy"},
        {&dispatcher_name, "dispatcher"},
        {&popleft_name, "popleft"},
        {&appendleft_name, "appendleft"},
        {&fd_name, "fd"},
        {&peer_name, "peer"},
        {&head_name, "head"},
        {&target_name, "target"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- a connection -------------------------------------------------------------------------------- */

static int
count_turn(Dealings *self, PyObject *worker_id)
{
    PyObject *turns = self->fields[TURNS], *counts = get_slot(turns, self->turns[COUNTS]);
    long most = get_number(turns, self->turns[MOST]);
    if (counts == NULL || PyErr_Occurred()) {
        return -1;
    }
    PyObject *had = PyDict_GetItemWithError(counts, worker_id);
    long count = had == NULL ? most - 1 : PyLong_AsLong(had);
    if (PyErr_Occurred()) {
        return -1;
    }
    count = Py_MAX(count, most - self->most_behind) + 1;
    PyObject *number = PyLong_FromLong(count);
    int result = number == NULL ? -1 : PyDict_SetItem(counts, worker_id, number);
    if (result == 0 && count > most) {
        set_field(slot_at(turns, self->turns[MOST]), Py_NewRef(number));
    }
    Py_XDECREF(number);
    return result;
}

/* Tell the dispatchers of the other listeners that a worker is busy. */
static int
tell_others(Accepting *self, PyObject *worker_id)
{
    PyObject *listeners = PyDict_Values(dealings_of(self)->fields[LISTENERS]);
    int result = listeners == NULL ? -1 : 0;
    for (Py_ssize_t number = 0; result == 0 && number < PyList_GET_SIZE(listeners); number++) {
        PyObject *listener = PyList_GET_ITEM(listeners, number);
        if (listener != self->fields[LISTENER]) {
            PyObject *dispatcher = PyObject_GetAttr(listener, dispatcher_name);
            result = dispatcher == NULL ? -1 : tell(dispatcher, busy_name, worker_id);
            Py_XDECREF(dispatcher);
        }
    }
    Py_XDECREF(listeners);
    return result;
}

/* Note that a worker was offered a connection, and which place that had: it is not idle any more. */
static int
note_offer(Accepting *self, Table *table, PyObject *worker_id, PyObject *end, PyObject *number)
{
    Dealings *common = dealings_of(self);
    PyObject *places = of_dispatcher(self, PLACES);
    if (places == NULL || PyDict_SetItem(places, worker_id, number) < 0
        || forget(table->round, worker_id) < 0 || PySet_Discard(table->idle, worker_id) < 0
        || PyDict_SetItem(common->fields[OFFERS], worker_id, end) < 0 || count_turn(common, worker_id) < 0
        || forget(common->fields[AHEAD], worker_id) < 0) {
        return -1;
    }
    return PyDict_GET_SIZE(common->fields[LISTENERS]) < 2 ? 0 : tell_others(self, worker_id);
}

/* Return the idle worker that has waited longest, and its end, borrowed; NULL: there is none, or the twin is to say. */
static PyObject *
first_idle(Accepting *self, Table *table, PyObject **end)
{
    Dealings *common = dealings_of(self);
    Py_ssize_t position = 0;
    PyObject *worker_id;
    if (!PyDict_Next(table->round, &position, &worker_id, NULL)) {
        return NULL;
    }
    if (PySet_Contains(table->idle, worker_id) <= 0 || PySet_Contains(table->members, worker_id) <= 0) {
        return NULL;
    }
    *end = PyDict_GetItemWithError(common->fields[ENDS], worker_id);
    return *end == NULL || (PyObject *)Py_TYPE(*end) != common->fields[OFFERING_END] ? NULL : worker_id;
}

/* Offer a connection to the worker whose turn it is; `number` is its place among those that wait.

   0: nothing has changed, and the descriptor is still the caller's.  Otherwise that is gone; 1: a worker has it. */
int
deal_one(Accepting *self, int fd, PyObject *peer, PyObject *number)
{
    Table table;
    PyObject *end = NULL, *worker_id = look_at(self, &table) <= 0 ? NULL : first_idle(self, &table, &end);
    int result = PyErr_Occurred() ? -1 : 0;
    if (worker_id != NULL) {
        Py_INCREF(worker_id);
        Py_INCREF(end);
        result = offer(dealings_of(self), end, self, fd, peer);
        if (result > 0 && note_offer(self, &table, worker_id, end, number) < 0) {
            result = -1;
        }
        Py_DECREF(worker_id);
        Py_DECREF(end);
    }
    if (result != 0) {
        close(fd);
    }
    return result;
}

/* --- the line ------------------------------------------------------------------------------------ */

static int
number_of(PyObject *object, PyObject *name, long *number)
{
    PyObject *value = PyObject_GetAttr(object, name);
    *number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* Deal a connection that waits; as deal_one(). */
static int
deal_waiting(Accepting *self, PyObject *number, PyObject *connection)
{
    long fd, head, target;
    if (number_of(connection, fd_name, &fd) < 0 || number_of(connection, head_name, &head) < 0
        || number_of(connection, target_name, &target) < 0) {
        return -1;
    }
    PyObject *aged = of_dispatcher(self, AGED);
    int is_old = aged == NULL ? -1 : PySet_Contains(aged, connection);
    if (is_old != 0 || head >= 0 || target != 0) {
        return is_old < 0 ? -1 : 0;
    }
    PyObject *peer = PyObject_GetAttr(connection, peer_name);
    int result = peer == NULL ? -1 : deal_one(self, (int)fd, peer, number);
    Py_XDECREF(peer);
    return result;
}

/* Deal the connection that has waited longest; 0: it waits still. */
static int
deal_first(Accepting *self, PyObject *line)
{
    PyObject *place = PyObject_CallMethodNoArgs(line, popleft_name);
    PyObject *number = place == NULL ? NULL : PySequence_GetItem(place, 0);
    PyObject *connection = number == NULL ? NULL : PySequence_GetItem(place, 1);
    int result = connection == NULL ? -1 : deal_waiting(self, number, connection);
    if (result == 0 && tell(line, appendleft_name, place) < 0) {
        result = -1;
    }
    Py_XDECREF(number);
    Py_XDECREF(connection);
    Py_XDECREF(place);
    return result;
}

/* Deal what waits for anybody, as long as somebody is idle; the twin does what is not ordinary. */
int
deal_line(Accepting *self)
{
    for (;;) {
        Table table;
        if (look_at(self, &table) < 0) {
            return -1;
        }
        Py_ssize_t waiting = PyObject_Size(table.line);
        if (waiting <= 0 || PySet_GET_SIZE(table.idle) == 0) {
            return waiting < 0 ? -1 : 0;
        }
        Py_INCREF(table.line);
        int result = deal_first(self, table.line);
        Py_DECREF(table.line);
        if (result < 0) {
            return -1;
        }
        if (result == 0) {
            return tell(self->fields[DISPATCHER_OF], deal_line_name, NULL);
        }
    }
}

