/* Copy for the standby what it needs to know: from Python's ledger to plans in C, one for each listener.

   The standby deals for a listener if only the policy's choice is left to decide: it is a policy of ours, nobody looks at
   what has come, and accepting works.  If a connection waits for any worker, at any listener, the dealer deals all of them,
   since those that wait come first.

   The order of the turns: workers that are idle, the one that is idle for longest first; then those with an offer that was
   not known to be taken, in the order of the offers; then those that are ahead of others.  For a policy that sees all
   workers the others follow, which get nothing. */

#include "standby.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>

static PyObject *look_name, *is_watching, *offer_name, *accepting_name;

int
prepare_snapshot(void)
{
    static const Name names[] = {
        {&look_name, "look"},
        {&is_watching, "is_watching"},
        {&offer_name, "offer"},
        {&accepting_name, "accepting"},
    };
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
    return waiting < 0 ? -1 : waiting == 0 && (table->policy->names || PyDict_GET_SIZE(table->named) == 0);
}

/* Whether nothing is to be decided but whom the policy chooses. */
static int
is_simple(Accepting *accepting, Table *table)
{
    PyObject *listener = accepting->fields[LISTENER];
    int result = is_true(listener, is_watching);
    result = result > 0 ? is_ordinary(accepting) : result;
    return result > 0 && PySet_GET_SIZE(table->members) > 1 ? is_none(listener, look_name) : result;
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

/* Read what the policy compares; 0: the dealer is to. */
static int
describe(Dealings *dealings, Table *table, PyObject *worker_id, Member *member)
{
    PyObject *queue = table->policy->names ? PyDict_GetItemWithError(table->named, worker_id) : NULL;
    Py_ssize_t waiting = queue == NULL ? 0 : PyObject_Size(queue);
    member->kept = (int)Py_MIN(waiting, INT_MAX - 1);
    return PyErr_Occurred() ? -1 : read_member(dealings, table, worker_id, member);
}

static int
add(Dealings *dealings, Table *table, Plan *plan, PyObject *worker_id, Member member)
{
    if (plan->choice.count == MOST_MEMBERS) { /* somebody is in two lines: an allocation has failed */
        return 0;
    }
    Member *place = &plan->members[plan->choice.count++];
    *place = member;
    return table->policy == &policies[ROUND_ROBIN] ? 1 : describe(dealings, table, worker_id, place);
}

/* Add a worker, unless it serves somebody else or has refused; 0: the dealer is to choose. */
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
        return add(dealings, table, plan, worker_id, (Member){.worker_id = number, .channel = channel});
    }
    return PyErr_Occurred() ? -1 : 1;
}

static int
is_known(Plan *plan, long worker_id)
{
    for (int place = 0; place < plan->choice.count; place++) {
        if (plan->members[place].worker_id == worker_id) {
            return 1;
        }
    }
    return 0;
}

/* Add the others, for a policy that sees them as well: they get nothing. */
static int
add_others(Dealings *dealings, Table *table, Plan *plan)
{
    PyObject *members = PyObject_GetIter(table->members), *worker_id;
    int result = members == NULL ? -1 : PySet_GET_SIZE(table->members) <= MOST_MEMBERS;
    while (result > 0 && (worker_id = PyIter_Next(members)) != NULL) {
        long number = PyLong_AsLong(worker_id);
        if (number > 0 && !is_known(plan, number)) {
            result = add(dealings, table, plan, worker_id, (Member){.worker_id = number, .channel = -1, .is_out = 1});
        }
        Py_DECREF(worker_id);
    }
    Py_XDECREF(members);
    return PyErr_Occurred() ? -1 : result;
}

static int
add_members(Dealings *dealings, Channels *channels, Table *table, Plan *plan)
{
    PyObject *const in_turn[] = {table->round, dealings->fields[OFFERS], dealings->fields[AHEAD]};
    const int most = table->policy == &policies[ROUND_ROBIN] ? MOST_IN_TURN : MOST_MEMBERS;
    for (int which = 0; which < COUNT_OF(in_turn); which++) {
        Py_ssize_t position = 0;
        PyObject *worker_id;
        while (plan->choice.count < most && PyDict_Next(in_turn[which], &position, &worker_id, NULL)) {
            int result = add_member(dealings, channels, table, plan, worker_id);
            if (result <= 0) {
                return result;
            }
        }
    }
    return table->policy->sees_all ? add_others(dealings, table, plan) : 1;
}

/* Read what the policy looks at besides: clients of a unix socket have no addresses. */
static int
fill_policy(Dealings *dealings, Accepting *accepting, Table *table, Plan *plan)
{
    plan->policy = table->policy;
    plan->choice = (Choice){.members = plan->members};
    plan->names = table->policy->names;
    if (!plan->names) {
        return read_rest(dealings, table, NULL, &plan->choice);
    }
    int family;
    socklen_t size = sizeof family;
    plan->names = getsockopt(plan->listening, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family != AF_UNIX;
    plan->most_kept = (int)get_number(accepting->fields[DISPATCHER_OF], dealings->dispatcher[MOST_NAMED]);
    return PyErr_Occurred() ? -1 : read_prefixes(dealings, table, &plan->ipv4_prefix, &plan->ipv6_prefix);
}

/* Make the plan of one listener; 0: it is the dealer's. */
static int
fill(Dealings *dealings, Channels *channels, Accepting *accepting, Table *table, Plan *plan)
{
    int simple = is_simple(accepting, table);
    PyObject *packet = accepting->fields[PACKET];
    if (simple <= 0 || PyBytes_GET_SIZE(packet) > PACKET_ROOM) {
        return simple < 0 ? -1 : 0;
    }
    plan->listening = descriptor_in(accepting->fields[SOCK]);
    if (plan->listening < 0) {
        PyErr_Clear(); /* it is closed, which the twin finds out */
        return 0;
    }
    plan->packet_size = (size_t)PyBytes_GET_SIZE(packet);
    memcpy(plan->packet, PyBytes_AS_STRING(packet), plan->packet_size);
    plan->is_over = 0;
    int result = fill_policy(dealings, accepting, table, plan);
    result = result > 0 ? add_members(dealings, channels, table, plan) : result;
    return result <= 0 ? result : plan->choice.count > 0;
}

/* --- all listeners ------------------------------------------------------------------------------- */

/* Add the plan of one listener, if it is simple; 0: all are the dealer's. */
static int
add_plan(Dealings *dealings, Channels *channels, Plans *plans, Accepting **accepting, Accepting *its)
{
    Table table;
    int result = look_at(its, &table);
    result = result > 0 ? nobody_waits(&table) : result;
    int ready = result > 0 ? fill(dealings, channels, its, &table, &plans->of[plans->count]) : result;
    if (ready > 0) {
        accepting[plans->count++] = (Accepting *)Py_NewRef(its);
    }
    return ready < 0 ? -1 : result;
}

static int
add_plans(Dealings *dealings, Channels *channels, Plans *plans, Accepting **accepting)
{
    Py_ssize_t position = 0;
    PyObject *listener;
    int result = PyDict_GET_SIZE(dealings->fields[LISTENERS]) <= MOST_LISTENERS;
    while (result > 0 && PyDict_Next(dealings->fields[LISTENERS], &position, NULL, &listener)) {
        PyObject *its = PyObject_GetAttr(listener, accepting_name);
        result = its == NULL ? -1 : Py_IS_TYPE(its, accepting_type);
        if (result > 0) {
            result = add_plan(dealings, channels, plans, accepting, (Accepting *)its);
        }
        Py_XDECREF(its);
    }
    return result;
}

/* Make the plans, which are ready then, and say for whom: how many; 0: the standby has nothing to do. */
int
make_plans(Dealings *dealings, Channels *channels, Plans *plans, Accepting **accepting)
{
    plans->count = plans->next = plans->dealt_count = 0;
    int result = is_same(dealings, offer_name, OFFER_METHOD);
    result = result > 0 ? add_plans(dealings, channels, plans, accepting) : result;
    if (result <= 0) {
        forget_plans(plans, accepting);
    }
    return result < 0 ? -1 : plans->count;
}
