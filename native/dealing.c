/* Deal a connection to the worker that the policy chooses; twin of what Dealing and OpenOffers do for that.

       accept ──▶ deal_one ──▶ offered, or it waits in the line ──▶ deal_line ──▶ deal_one ──▶ offered

   Nothing is decided here that the twins would decide otherwise.  Where a connection has waited for long or was offered
   before, or the kernel takes nothing, everything is left as it is, and the twin asked. */

#include "dealing.h"

#include <unistd.h>

static PyObject *deal_line_name, *busy_name, *dispatcher_name, *popleft_name, *appendleft_name, *fd_name, *peer_name,
    *head_name, *was_offered, *target_name;

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
        {&was_offered, "was_offered"},
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
            result = dispatcher == NULL ? -1 : call_method(dispatcher, busy_name, worker_id);
            Py_XDECREF(dispatcher);
        }
    }
    Py_XDECREF(listeners);
    return result;
}

/* Note that a worker was offered a connection, and which place that had: it is not idle any more, and whatever needs
   memory comes behind that. */
static int
note_offer(Accepting *self, Table *table, PyObject *worker_id, PyObject *end, PyObject *number)
{
    Dealings *common = dealings_of(self);
    PyObject *places = of_dispatcher(self, PLACES);
    if (places == NULL || forget(table->round, worker_id) < 0 || PySet_Discard(table->idle, worker_id) < 0
        || forget(common->fields[AHEAD], worker_id) < 0 || PyDict_SetItem(common->fields[OFFERS], worker_id, end) < 0
        || PyDict_SetItem(places, worker_id, number) < 0 || count_turn(common, worker_id) < 0) {
        return -1;
    }
    return PyDict_GET_SIZE(common->fields[LISTENERS]) < 2 ? 0 : tell_others(self, worker_id);
}

/* Return the idle worker that has waited longest, borrowed; NULL: there is none, or the twin is to say. */
static PyObject *
first_idle(Table *table)
{
    Py_ssize_t position = 0;
    PyObject *worker_id;
    if (!PyDict_Next(table->round, &position, &worker_id, NULL) || PySet_Contains(table->idle, worker_id) <= 0
        || PySet_Contains(table->members, worker_id) <= 0) {
        return NULL;
    }
    return worker_id;
}

/* Return a worker if it can have a connection now. */
static PyObject *
if_idle(Table *table, PyObject *worker_id)
{
    return worker_id != NULL && PySet_Contains(table->idle, worker_id) > 0 && PySet_Contains(table->members, worker_id) > 0
               ? worker_id
               : NULL;
}

/* Return who is to have a connection now, borrowed; NULL: nobody, or the twin is to say. */
static PyObject *
worker_for(Accepting *self, Table *table, const Place *place, Chosen *chosen)
{
    if (place->worker_id != NULL) {
        return if_idle(table, place->worker_id);
    }
    int is_somebodys = PyObject_IsTrue(place->target);
    if (is_somebodys > 0 && if_idle(table, place->target) != NULL) {
        return place->target;
    }
    int waits = is_somebodys <= 0 ? is_somebodys : waits_for(self, table, place->target);
    if (waits != 0 || PyErr_Occurred()) {
        return NULL;
    }
    return table->policy == &policies[ROUND_ROBIN]
               ? first_idle(table)
               : if_idle(table, choose_by_policy(dealings_of(self), table, place->peer, chosen));
}

/* Send it; 0: nothing has changed. */
static int
offer_to(Accepting *self, Table *table, PyObject *worker_id, const Place *place)
{
    Dealings *common = dealings_of(self);
    PyObject *end = PyDict_GetItemWithError(common->fields[ENDS], worker_id);
    if (end == NULL || !is_end(common, end)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(worker_id);
    Py_INCREF(end);
    int result = offer(common, end, self, place);
    if (result > 0 && note_offer(self, table, worker_id, end, place->number) < 0) {
        result = -1;
    }
    Py_DECREF(worker_id);
    Py_DECREF(end);
    return result;
}

/* Offer a connection to its worker, if that is idle, or to the one whose turn it is.

   0: nothing has changed, and the descriptor is still the caller's.  Otherwise that is gone; 1: a worker has it. */
int
deal_one(Accepting *self, const Place *place)
{
    Table table;
    Chosen chosen;
    chosen.place = NOBODY;
    PyObject *worker_id = look_at(self, &table) <= 0 ? NULL : worker_for(self, &table, place, &chosen);
    int result = PyErr_Occurred() ? -1 : worker_id == NULL ? 0 : offer_to(self, &table, worker_id, place);
    if (result > 0 && note_choice(dealings_of(self), &table, &chosen) < 0) {
        result = -1;
    }
    if (result != 0) {
        close(place->fd); /* it lingers only where a worker has taken it, set SO_LINGER, filled it and closed it by now */
    }
    return result;
}

/* Note that a worker was given a connection, which lies in its channel already: what lay there before, it has taken. */
int
note_given(Accepting *self, PyObject *worker_id, const Place *place)
{
    Table table;
    Dealings *common = dealings_of(self);
    Py_ssize_t last_place = common->dispatcher[LAST];
    PyObject *end = PyDict_GetItemWithError(common->fields[ENDS], worker_id);
    if (end == NULL || !is_end(common, end) || look_at(self, &table) <= 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    long last = get_number(self->fields[DISPATCHER_OF], last_place);
    PyObject *number = PyErr_Occurred() ? NULL : PyLong_FromLong(last + 1);
    Py_INCREF(end);
    int result = number == NULL || forget(common->fields[OFFERS], worker_id) < 0 ? -1 : note_offered(common, end, self, place);
    if (result == 0) {
        result = note_offer(self, &table, worker_id, end, number);
    }
    Py_DECREF(end);
    if (result < 0) {
        Py_XDECREF(number);
        return -1;
    }
    return set_slot(self->fields[DISPATCHER_OF], last_place, number);
}

/* --- those that wait ----------------------------------------------------------------------------- */

static int
number_of(PyObject *object, PyObject *name, long *number)
{
    PyObject *value = PyObject_GetAttr(object, name);
    *number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* Whether nothing is to be known of a connection but where it goes. */
static int
is_plain(Accepting *self, PyObject *connection)
{
    PyObject *aged = of_dispatcher(self, AGED);
    int is_old = aged == NULL ? -1 : PySet_Contains(aged, connection);
    int offered = is_old < 0 ? -1 : is_true(connection, was_offered);
    return offered < 0 ? -1 : !is_old && !offered;
}

/* Let one that was in the line wait for its worker, if it is to; as deal_one(). */
static int
move(Accepting *self, const Place *place, PyObject *connection)
{
    Table table;
    PyObject *worker_id = look_at(self, &table) <= 0 ? NULL : whom_to_wait_for(self, &table, place);
    if (worker_id == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return wait_for(&table, worker_id, place->number, connection);
}

#define NOT_BEGUN (-2) /* an exception, and the connection is still where it was */

/* Deal a connection that waits, in the line or for a worker; as deal_one(), or NOT_BEGUN. */
static int
deal_waiting(Accepting *self, PyObject *number, PyObject *connection, PyObject *worker_id)
{
    long fd;
    int plain = is_plain(self, connection);
    if (plain <= 0 || number_of(connection, fd_name, &fd) < 0) {
        return plain == 0 ? 0 : NOT_BEGUN;
    }
    PyObject *peer = PyObject_GetAttr(connection, peer_name);
    PyObject *target = peer == NULL ? NULL : PyObject_GetAttr(connection, target_name);
    const Place place = {(int)fd, peer, target, number, worker_id};
    int result = target == NULL ? NOT_BEGUN : deal_one(self, &place);
    if (result == 0 && worker_id == NULL) {
        result = move(self, &place, connection);
        result = result < 0 ? NOT_BEGUN : result;
    }
    Py_XDECREF(peer);
    Py_XDECREF(target);
    return result;
}

static void
close_number(PyObject *connection, PyObject *name)
{
    long fd;
    if (number_of(connection, name, &fd) < 0) {
        PyErr_Clear();
    }
    else if (fd >= 0) {
        const struct linger never = {0, 0};
        setsockopt((int)fd, SOL_SOCKET, SO_LINGER, &never, sizeof never); /* a worker may have had it */
        close((int)fd);
    }
}

/* Put a place back to where it was: it is dealt another time.  Where there is no memory for that, it is closed. */
static int
put_back(PyObject *queue, PyObject *place, PyObject *connection)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    int result = call_method(queue, appendleft_name, place);
    if (result < 0 && type == NULL) {
        PyErr_Fetch(&type, &value, &trace);
    }
    PyErr_Clear();
    if (result < 0) {
        close_number(connection, fd_name);
        close_number(connection, head_name);
    }
    PyErr_Restore(type, value, trace);
    return result;
}

/* Deal the connection that has waited longest in the line, or for a worker; 0: it waits still. */
int
deal_first(Accepting *self, PyObject *queue, PyObject *worker_id)
{
    PyObject *place = PyObject_CallMethodNoArgs(queue, popleft_name);
    PyObject *number = place == NULL ? NULL : PySequence_GetItem(place, 0);
    PyObject *connection = number == NULL ? NULL : PySequence_GetItem(place, 1);
    int result = connection == NULL ? -1 : deal_waiting(self, number, connection, worker_id);
    if (result == NOT_BEGUN || result == 0) {
        result = put_back(queue, place, connection) < 0 || result == NOT_BEGUN ? -1 : 0;
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
        int result = deal_first(self, table.line, NULL);
        Py_DECREF(table.line);
        if (result < 0) {
            return -1;
        }
        if (result == 0) {
            return call_method(self->fields[DISPATCHER_OF], deal_line_name, NULL);
        }
    }
}

