/* Tell the standby what it needs to know, and note what it has done: between Python's ledger and a plan of C's.

   A listener is the standby's where nothing is to be decided but whose turn it is: the only one, round robin, nobody looks
   at what has come, nobody waits here, and accepting works.  Turns: first who is idle, for longest first; then who has an
   offer that was not known to be taken, in the order of the offers; then who is ahead of others.

   What it has dealt is noted as if it had been dealt at once, in the same order.  That a worker has taken its last shows in
   that it was given another; whether it has taken that, the kernel says as ever: an edge that has passed meanwhile is told
   to whoever asks, if the channel is writable then. */

#include "standby.h"

#include <string.h>
#include <unistd.h>

static PyObject *look_name, *is_watching, *offer_name;

int
prepare_briefing(void)
{
    static const Name names[] = {{&look_name, "look"}, {&is_watching, "is_watching"}, {&offer_name, "offer"}};
    return make_names(names, COUNT_OF(names));
}

/* --- what the standby may deal ------------------------------------------------------------------- */

static int
is_none(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value == NULL ? -1 : value == Py_None;
    Py_XDECREF(value);
    return result;
}

static int
nobody_waits(Table *table)
{
    Py_ssize_t waiting = PyObject_Size(table->line);
    return waiting < 0 ? -1 : waiting == 0 && PyDict_GET_SIZE(table->named) == 0;
}

/* Whether nothing is to be decided but whose turn it is. */
static int
is_simple(Dealings *dealings, Accepting *accepting, Table *table)
{
    PyObject *listener = accepting->fields[LISTENER];
    int result = look_at(accepting, table);
    result = result > 0 ? nobody_waits(table) : result;
    result = result > 0 ? is_true(listener, is_watching) : result;
    result = result > 0 ? is_ordinary(accepting) : result;
    if (result > 0 && PySet_GET_SIZE(table->members) > 1) {
        result = is_none(listener, look_name);
    }
    return result > 0 ? is_same(dealings, offer_name, OFFER_METHOD) : result;
}

/* --- whose turns come ---------------------------------------------------------------------------- */

/* Return the descriptor of a worker's channel; -1: it has none, or there is an exception. */
static int
find_channel(Dealings *dealings, Channels *channels, PyObject *worker_id, long number)
{
    Known *known = &channels->of[(unsigned long)number % MOST_KNOWN];
    if (known->worker_id == number) {
        return known->channel;
    }
    PyObject *end = PyDict_GetItemWithError(dealings->fields[ENDS], worker_id);
    int channel = end == NULL || !is_end(dealings, end) ? -1 : channel_of(dealings, end);
    if (channel >= 0) {
        *known = (Known){number, channel};
    }
    return channel;
}

/* Add a worker, unless it serves somebody else or has refused. */
static int
add_member(Dealings *dealings, Channels *channels, Table *table, Plan *plan, PyObject *worker_id)
{
    int serves = PySet_Contains(table->members, worker_id);
    if (serves > 0 && PySet_GET_SIZE(table->full) > 0) {
        int is_full = PySet_Contains(table->full, worker_id);
        serves = is_full < 0 ? -1 : !is_full;
    }
    long number = serves <= 0 ? 0 : PyLong_AsLong(worker_id);
    int channel = number <= 0 ? -1 : find_channel(dealings, channels, worker_id, number);
    if (channel >= 0) {
        plan->members[plan->members_count++] = (Member){number, channel, 0, 0};
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int
add_members(Dealings *dealings, Channels *channels, Table *table, Plan *plan)
{
    PyObject *const in_turn[] = {table->round, dealings->fields[OFFERS], dealings->fields[AHEAD]};
    for (int which = 0; which < COUNT_OF(in_turn); which++) {
        Py_ssize_t position = 0;
        PyObject *worker_id;
        while (plan->members_count < MOST_MEMBERS && PyDict_Next(in_turn[which], &position, &worker_id, NULL)) {
            if (add_member(dealings, channels, table, plan, worker_id) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int
fill(Dealings *dealings, Channels *channels, Accepting *accepting, Plan *plan)
{
    Table table;
    int simple = is_simple(dealings, accepting, &table);
    PyObject *packet = accepting->fields[PACKET];
    if (simple <= 0 || PyBytes_GET_SIZE(packet) > PACKET_ROOM) {
        return simple < 0 ? -1 : 0;
    }
    plan->listening = PyObject_AsFileDescriptor(accepting->fields[SOCK]);
    if (plan->listening < 0) {
        PyErr_Clear(); /* it is closed, which the twin finds out */
        return 0;
    }
    plan->packet_size = (size_t)PyBytes_GET_SIZE(packet);
    memcpy(plan->packet, PyBytes_AS_STRING(packet), plan->packet_size);
    plan->members_count = plan->dealt_count = plan->is_over = 0;
    return add_members(dealings, channels, &table, plan) < 0 ? -1 : plan->members_count > 0;
}

/* Return what accepts for the plan, which is ready then; NULL: the standby has nothing to do, or there is an exception. */
Accepting *
make_plan(Dealings *dealings, Channels *channels, Plan *plan)
{
    Accepting *accepting = only_one(dealings);
    int ready = accepting == NULL ? 0 : fill(dealings, channels, accepting, plan);
    if (ready <= 0) {
        Py_CLEAR(accepting);
    }
    return accepting;
}

/* --- what it has done ---------------------------------------------------------------------------- */

static int
note_one(Accepting *accepting, Dealt *dealt)
{
    PyObject *peer = address_of(&dealt->address, dealt->size), *target = PyLong_FromLong(0);
    PyObject *worker_id = PyLong_FromLong(dealt->worker_id);
    int result = -1, fd = dealt->fd;
    dealt->fd = -1;
    if (peer == NULL || target == NULL || worker_id == NULL) {
        if (fd >= 0) {
            close(fd);
        }
    }
    else if (fd >= 0) {
        result = deal_accepted(accepting, fd, peer, target);
    }
    else {
        const Place place = {-1, peer, target, NULL};
        result = note_given(accepting, worker_id, &place);
    }
    Py_XDECREF(peer);
    Py_XDECREF(target);
    Py_XDECREF(worker_id);
    return result < 0 ? -1 : 0;
}

/* Note all of it, even if one fails: whatever is noted, is so.  The first exception is raised. */
int
note_dealt(Accepting *accepting, Plan *plan)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    for (int number = 0; number < plan->dealt_count; number++) {
        if (note_one(accepting, &plan->dealt[number]) == 0) {
            continue;
        }
        if (type == NULL) {
            PyErr_Fetch(&type, &value, &traceback);
        }
        PyErr_Clear();
    }
    plan->dealt_count = 0;
    if (type != NULL) {
        PyErr_Restore(type, value, traceback);
    }
    return type == NULL ? 0 : -1;
}
