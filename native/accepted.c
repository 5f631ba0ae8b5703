/* Deal a connection that was accepted, at once or when somebody is idle; twin of Dispatcher.add() in
   connections/dispatcher.py.

       accept_one ──▶ peek_target ──▶ deal_accepted ──▶ deal_one (dealing.c)
                                         │ nobody is idle, or others wait
                                         ▼
                                    let_it_wait ──▶ its worker's line (worker_queues.c), everybody's, or the twin's

   Whether it is dealt, waits or fails: its descriptor has another owner then, or is closed. */

#include "dealing.h"

#include <unistd.h>

static PyObject *add_name, *append_name;

int
prepare_accepted(void)
{
    static const Name names[] = {
        {&add_name, "add"},
        {&append_name, "append"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- a connection that waits ------------------------------------------------------------------- */

/* Let a connection wait behind all others. */
static int
append(Table *table, PyObject *number, PyObject *connection)
{
    PyObject *place = PyTuple_Pack(2, number, connection);
    int result = place == NULL ? -1 : call_method(table->line, append_name, place);
    Py_XDECREF(place);
    return result < 0 ? -1 : 1;
}

/* Let it wait: 1; 0: the twin is to find a place for it.  As Dispatcher.add() has it: a line in which nobody is dealt is
   everybody's. */
static int
find_place(Accepting *self, const Place *place, PyObject *connection)
{
    Table table;
    int ordinary = look_at(self, &table);
    Py_ssize_t waiting = ordinary <= 0 ? 0 : PyObject_Size(table.line);
    PyObject *worker_id = ordinary > 0 && waiting == 0 ? whom_to_wait_for(self, &table, place) : NULL;
    if (PyErr_Occurred()) {
        return -1;
    }
    int waits = worker_id == NULL ? 0 : wait_for(&table, worker_id, place->number, connection);
    if (waits != 0) {
        return waits;
    }
    int is_for_all = ordinary && PySet_GET_SIZE(table.idle) == 0 && PyDict_GET_SIZE(table.round) == 0;
    return is_for_all ? append(&table, place->number, connection) : 0;
}

/* Let wait what has no object yet: 1; 0: it was given to the twin.  The descriptor is theirs, or closed. */
static int
let_it_wait(Accepting *self, const Place *place)
{
    PyObject *fd = PyLong_FromLong(place->fd), *head = PyLong_FromLong(-1);
    PyObject *given[] = {fd, place->peer, head, place->target}, *type = dealings_of(self)->fields[CONNECTION];
    PyObject *connection = fd == NULL || head == NULL ? NULL : PyObject_Vectorcall(type, given, COUNT_OF(given), NULL);
    Py_XDECREF(fd);
    Py_XDECREF(head);
    int result = connection == NULL ? -1 : find_place(self, place, connection);
    if (result < 0) {
        close(place->fd);
    }
    if (result == 0) {
        result = call_method(self->fields[DISPATCHER_OF], add_name, connection);
    }
    Py_XDECREF(connection);
    return result;
}

/* --- one that does not ------------------------------------------------------------------------- */

/* Whether to look first for what was taken: somebody may be idle, or the one to whom a connection belongs; a policy that
   compares workers is to see all that are.  While some wait, the loop is told of whoever becomes idle. */
static int
is_to_look(Table *table, PyObject *target)
{
    if (table->policy != &policies[ROUND_ROBIN]) {
        return 1;
    }
    int is_somebodys = PyObject_IsTrue(target);
    if (is_somebodys > 0) {
        int is_idle = PySet_Contains(table->idle, target);
        return is_idle < 0 ? -1 : !is_idle;
    }
    Py_ssize_t waiting = PyObject_Size(table->line);
    if (is_somebodys < 0 || waiting < 0) {
        return -1;
    }
    return PySet_GET_SIZE(table->idle) == 0 && waiting == 0 && PyDict_GET_SIZE(table->named) == 0;
}

/* Offer it at once, if it can be and nobody waits; 0: nothing has changed. */
static int
deal_at_once(Accepting *self, const Place *place)
{
    Table table;
    int result = look_at(self, &table);
    int looks = result <= 0 ? result : is_to_look(&table, place->target);
    if (looks > 0) {
        result = find_taken(dealings_of(self)) < 0 ? -1 : look_at(self, &table);
    }
    Py_ssize_t waiting = looks >= 0 && result > 0 ? PyObject_Size(table.line) : 0;
    if (looks < 0 || result < 0 || waiting < 0) {
        close(place->fd);
        return -1;
    }
    return result == 0 || waiting > 0 ? 0 : deal_one(self, place);
}

/* Deal a connection that was accepted; twin of Dispatcher.add().  The descriptor is no longer the caller's. */
int
deal_accepted(Accepting *self, int fd, PyObject *peer, PyObject *target)
{
    PyObject *dispatcher = self->fields[DISPATCHER_OF];
    Py_ssize_t last_place = dealings_of(self)->dispatcher[LAST];
    long last = get_number(dispatcher, last_place);
    const Place place = {fd, peer, target, PyErr_Occurred() ? NULL : PyLong_FromLong(last + 1), NULL};
    if (place.number == NULL) {
        close(fd);
        return -1;
    }
    int result = deal_at_once(self, &place);
    if (result == 0) {
        result = let_it_wait(self, &place);
    }
    if (result <= 0) {
        Py_DECREF(place.number);
        return result;
    }
    return set_slot(dispatcher, last_place, place.number);
}
