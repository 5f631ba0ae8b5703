/* Queue connections that belong to a busy worker, and give a worker that becomes idle its own; twin of what
   connections/dealing.py and connections/queues.py do for that.

       belongs to ──▶ idle: offered ─── busy: waits_for ──▶ wait_for ──▶ deal_to ──▶ offered
                                   └── too many wait: anybody's (dealing.c)

   Connections that another worker has begun, or that have waited for long, are the twin's. */

#include "dealing.h"

static PyObject *deal_to_name, *append_name;

int
prepare_worker_queues(void)
{
    static const Name names[] = {
        {&deal_to_name, "_deal_to"},
        {&append_name, "append"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- one that waits ------------------------------------------------------------------------------ */

/* Whether a connection is to wait for its worker, which is not idle. */
int
waits_for(Accepting *self, Table *table, PyObject *target)
{
    int serves = PySet_Contains(table->members, target);
    int is_idle = serves <= 0 ? serves : PySet_Contains(table->idle, target);
    if (serves <= 0 || is_idle != 0) {
        return serves < 0 || is_idle < 0 ? -1 : 0;
    }
    PyObject *queue = PyDict_GetItemWithError(table->named, target);
    Py_ssize_t waiting = queue == NULL ? 0 : PyObject_Size(queue);
    long most = get_number(self->fields[DISPATCHER_OF], dealings_of(self)->dispatcher[MOST_NAMED]);
    return PyErr_Occurred() ? -1 : waiting < most;
}

/* Return for whom a connection is to wait, borrowed: its worker, or the one that the policy names; NULL: for nobody, or
   the twin is to say. */
PyObject *
whom_to_wait_for(Accepting *self, Table *table, const Place *place)
{
    Chosen chosen;
    int waits = waits_for(self, table, place->target);
    if (waits != 0) {
        return waits < 0 ? NULL : place->target;
    }
    int asks = table->policy->names ? !PySet_Contains(table->idle, place->target) : 0;
    PyObject *named = asks ? choose_by_policy(dealings_of(self), table, place->peer, &chosen) : NULL;
    return named != NULL && waits_for(self, table, named) > 0 ? named : NULL;
}

/* Make the queue of a worker, of the kind that the line is, with the first that waits there: none is ever empty. */
static int
begin_queue(Table *table, PyObject *target, PyObject *place)
{
    PyObject *queue = PyObject_CallNoArgs((PyObject *)Py_TYPE(table->line));
    int result = queue == NULL ? -1 : call_method(queue, append_name, place);
    if (result == 0) {
        result = PyDict_SetItem(table->named, target, queue);
    }
    Py_XDECREF(queue);
    return result;
}

/* Whether the place at an end of a queue (0: the first, -1: the last) is older than a number. */
static int
is_older(PyObject *queue, Py_ssize_t end, PyObject *number)
{
    PyObject *place = PySequence_GetItem(queue, end), *its = place == NULL ? NULL : PySequence_GetItem(place, 0);
    int result = its == NULL ? -1 : PyObject_RichCompareBool(its, number, Py_LT);
    Py_XDECREF(its);
    Py_XDECREF(place);
    return result;
}

/* Let it wait behind all others that do: 1; 0: it has waited longer than they, and the twin is to find its place. */
int
wait_for(Table *table, PyObject *target, PyObject *number, PyObject *connection)
{
    PyObject *queue = PyDict_GetItemWithError(table->named, target);
    int is_last = queue == NULL ? 1 : is_older(queue, -1, number);
    if (is_last <= 0 || PyErr_Occurred()) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *place = PyTuple_Pack(2, number, connection);
    if (place == NULL) {
        return -1;
    }
    int result = queue == NULL ? begin_queue(table, target, place) : call_method(queue, append_name, place);
    Py_DECREF(place);
    return result < 0 ? -1 : 1;
}

/* --- what is its own ----------------------------------------------------------------------------- */

/* Give a worker the first that waits for it, and forget the queue that is empty then; 0: it waits still. */
static int
deal_own(Accepting *self, PyObject *queue, PyObject *worker_id)
{
    Py_INCREF(queue);
    int result = deal_first(self, queue, worker_id);
    Py_ssize_t waiting = result <= 0 ? 1 : PyObject_Size(queue);
    PyObject *named = waiting != 0 ? NULL : of_dispatcher(self, NAMED);
    if (waiting < 0 || (waiting == 0 && (named == NULL || forget(named, worker_id) < 0))) {
        result = -1;
    }
    Py_DECREF(queue);
    return result;
}

/* Whether the first in a worker's queue has waited longer than the first in the line. */
static int
goes_first(Table *table, PyObject *queue)
{
    Py_ssize_t waiting = PyObject_Size(table->line);
    if (waiting <= 0) {
        return waiting < 0 ? -1 : 1;
    }
    PyObject *place = PySequence_GetItem(queue, 0), *number = place == NULL ? NULL : PySequence_GetItem(place, 0);
    int result = number == NULL ? -1 : is_older(table->line, 0, number);
    Py_XDECREF(place);
    Py_XDECREF(number);
    return result < 0 ? -1 : !result;
}

/* Give away what has waited longest of what may go to a worker that is idle; 0: the twin is to, 2: there is nothing. */
static int
deal_oldest(Accepting *self, Table *table, PyObject *worker_id)
{
    PyObject *queue = PyDict_GetItemWithError(table->named, worker_id);
    int own = queue == NULL ? 0 : goes_first(table, queue);
    if (own < 0 || PyErr_Occurred()) {
        return -1;
    }
    if (own) {
        return deal_own(self, queue, worker_id);
    }
    Py_ssize_t waiting = PyObject_Size(table->line);
    return waiting <= 0 ? (waiting < 0 ? -1 : 2) : deal_first(self, table->line, NULL);
}

/* A worker became idle while connections wait for workers; twin of Dealing._deal_to(). */
int
deal_to(Accepting *self, PyObject *worker_id)
{
    for (;;) {
        Table table;
        int ordinary = look_at(self, &table);
        int is_idle = ordinary <= 0 ? ordinary : PySet_Contains(table.idle, worker_id);
        int result = ordinary > 0 && is_idle > 0 ? deal_oldest(self, &table, worker_id) : ordinary;
        if (is_idle < 0 || result < 0) {
            return -1;
        }
        if (result == 0) {
            return call_method(self->fields[DISPATCHER_OF], deal_to_name, worker_id);
        }
        if (is_idle == 0 || result == 2) {
            return deal_line(self);
        }
    }
}
