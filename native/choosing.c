/* Ask a policy of Python's, as policies.c has it: its objects are read, and what it notes is written into them.

       worker_for ──▶ fill ──▶ Policy.choose ──▶ offered ──▶ note_choice ──▶ Policy.given ──▶ the policy's slots
                                     └─ a busy one is named: the connection waits for that (worker_queues.c)

   The line of a policy is the twin's own: whoever was chosen is taken out of it as for round robin. */

#include "dealing.h"

#include <string.h>

static const uint64_t none_ended;

/* --- one worker ---------------------------------------------------------------------------------- */

static int
read_weight(Dealings *self, Table *table, PyObject *worker_id, PyObject *slot, Member *member)
{
    PyObject *weights = get_slot(table->chooser, self->policy[WEIGHTS]);
    PyObject *credits = get_slot(table->chooser, self->policy[CREDITS]);
    if (weights == NULL || credits == NULL || !PyDict_CheckExact(weights) || !PyDict_CheckExact(credits)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *weight = PyDict_GetItemWithError(weights, slot);
    member->weight = weight != NULL ? PyLong_AsLong(weight) : 1;
    PyObject *credit = PyErr_Occurred() ? NULL : PyDict_GetItemWithError(credits, worker_id);
    member->credit = credit != NULL ? PyLong_AsLong(credit) : 0;
    return PyErr_Occurred() ? -1 : 1;
}

/* Read what a policy compares; 0: the twin is to, which has other means. */
int
read_member(Dealings *self, Table *table, PyObject *worker_id, Member *member)
{
    PyObject *end = PyDict_GetItemWithError(self->fields[ENDS], worker_id);
    if (end == NULL || !is_end(self, end)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    member->worker_id = PyLong_AsLong(worker_id);
    member->handed = get_number(end, self->end[HANDED]);
    member->slot = get_number(end, self->end[SLOT]);
    const uint64_t *ended = number_behind(*slot_at(end, self->end[ENDED]));
    member->ended = ended != NULL ? ended : &none_ended;
    if (PyErr_Occurred() || (ended == NULL && table->policy->counts)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *slot = *slot_at(end, self->end[SLOT]);
    return table->policy != &policies[WEIGHTED] ? 1 : read_weight(self, table, worker_id, slot, member);
}

/* --- all of them --------------------------------------------------------------------------------- */

static int
add(Dealings *self, Table *table, Chosen *chosen, PyObject *worker_id, int is_idle)
{
    if (chosen->choice.count == MOST_CHOSEN_FROM) {
        return 0;
    }
    int place = chosen->choice.count++;
    chosen->ids[place] = worker_id;
    chosen->members[place].is_idle = is_idle;
    return read_member(self, table, worker_id, &chosen->members[place]);
}

static int
add_idle(Dealings *self, Table *table, Chosen *chosen)
{
    Py_ssize_t position = 0;
    PyObject *worker_id;
    int result = 1;
    while (result > 0 && PyDict_Next(table->round, &position, &worker_id, NULL)) {
        int is_idle = PySet_Contains(table->idle, worker_id);
        int serves = is_idle <= 0 ? is_idle : PySet_Contains(table->members, worker_id);
        result = serves <= 0 ? serves : add(self, table, chosen, worker_id, 1);
    }
    return result;
}

static int
add_others(Dealings *self, Table *table, Chosen *chosen)
{
    PyObject *members = PyObject_GetIter(table->members), *worker_id;
    int result = members == NULL ? -1 : 1;
    while (result > 0 && (worker_id = PyIter_Next(members)) != NULL) {
        int is_idle = PyDict_Contains(table->round, worker_id);
        result = is_idle < 0 ? -1 : is_idle ? 1 : add(self, table, chosen, worker_id, 0);
        Py_DECREF(worker_id); /* the set has it */
    }
    Py_XDECREF(members);
    return PyErr_Occurred() ? -1 : result;
}

/* --- what else it looks at ------------------------------------------------------------------------ */

static int
read_state(Dealings *self, Table *table, Choice *choice)
{
    PyObject *state = get_slot(table->chooser, self->policy[STATE]);
    choice->state = state == NULL || !PyLong_Check(state) ? 0 : PyLong_AsUnsignedLongLongMask(state);
    return PyErr_Occurred() ? -1 : 1;
}

/* Read how much of an address counts. */
int
read_prefixes(Dealings *self, Table *table, int *ipv4_prefix, int *ipv6_prefix)
{
    *ipv4_prefix = (int)get_number(table->chooser, self->policy[IPV4_PREFIX]);
    *ipv6_prefix = (int)get_number(table->chooser, self->policy[IPV6_PREFIX]);
    return PyErr_Occurred() ? -1 : 1;
}

/* Find the number of the network of an address; 0: that tells nothing. */
static int
key_of(PyObject *host, int ipv4_prefix, int ipv6_prefix, uint64_t *key)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(host, &size);
    if (text == NULL && !PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        return -1;
    }
    PyErr_Clear();
    return text != NULL && strlen(text) == (size_t)size && key_of_text(text, ipv4_prefix, ipv6_prefix, key);
}

static int
read_client(Dealings *self, Table *table, PyObject *peer, Choice *choice)
{
    int four, six;
    if (!PyTuple_CheckExact(peer) || PyTuple_GET_SIZE(peer) == 0) {
        return 1; /* of a unix socket */
    }
    if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(peer, 0))) {
        return 0;
    }
    if (read_prefixes(self, table, &four, &six) < 0) {
        return -1;
    }
    choice->has_client = key_of(PyTuple_GET_ITEM(peer, 0), four, six, &choice->client);
    return choice->has_client < 0 ? -1 : 1;
}

static const char client_key_doc[] =
    "client_key(host, ipv4_prefix, ipv6_prefix)\n--\n\nReturn the number of a client's network, or None.";

static PyObject *
client_key(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *host;
    int four, six, has_key;
    uint64_t key;
    if (!PyArg_ParseTuple(args, "Uii:client_key", &host, &four, &six) || (has_key = key_of(host, four, six, &key)) < 0) {
        return NULL;
    }
    return has_key ? PyLong_FromUnsignedLongLong(key) : Py_NewRef(Py_None);
}

PyMethodDef choosing_functions[] = {
    {"client_key", client_key, METH_VARARGS, client_key_doc},
    {NULL, NULL, 0, NULL},
};

/* Read what draws numbers, or what a network's is; anything else is each worker's. */
int
read_rest(Dealings *self, Table *table, PyObject *peer, Choice *choice)
{
    choice->state = choice->client = 0;
    choice->has_client = 0;
    if (table->policy == &policies[RANDOM_OF_TWO]) {
        return read_state(self, table, choice);
    }
    return table->policy == &policies[CLIENT_ADDRESS] && peer != NULL ? read_client(self, table, peer, choice) : 1;
}

/* --- the choice ---------------------------------------------------------------------------------- */

/* Return whom the policy chooses, borrowed, idle or not; NULL: nobody, or the twin is to say. */
PyObject *
choose_by_policy(Dealings *self, Table *table, PyObject *peer, Chosen *chosen)
{
    chosen->choice.members = chosen->members;
    chosen->choice.count = 0;
    int result = read_rest(self, table, peer, &chosen->choice);
    result = result > 0 ? add_idle(self, table, chosen) : result;
    result = result > 0 && table->policy->sees_all ? add_others(self, table, chosen) : result;
    chosen->place = result > 0 ? table->policy->choose(&chosen->choice) : NOBODY;
    return chosen->place == NOBODY ? NULL : chosen->ids[chosen->place];
}

static int
write_credits(Dealings *self, PyObject *chooser, const Choice *choice)
{
    PyObject *credits = PyDict_New();
    int result = credits == NULL ? -1 : 0;
    for (int place = 0; result == 0 && place < choice->count; place++) {
        PyObject *worker_id = PyLong_FromLong(choice->members[place].worker_id);
        PyObject *credit = worker_id == NULL ? NULL : PyLong_FromLong(choice->members[place].credit);
        result = credit == NULL ? -1 : PyDict_SetItem(credits, worker_id, credit);
        Py_XDECREF(worker_id);
        Py_XDECREF(credit);
    }
    if (result == 0) {
        return set_slot(chooser, self->policy[CREDITS], credits);
    }
    Py_XDECREF(credits);
    return -1;
}

/* Write into the policy what choices have changed. */
int
write_choice(Dealings *self, Table *table, const Choice *choice)
{
    if (table->policy == &policies[RANDOM_OF_TWO]) {
        return set_slot(table->chooser, self->policy[STATE], PyLong_FromUnsignedLongLong(choice->state));
    }
    return table->policy == &policies[WEIGHTED] ? write_credits(self, table->chooser, choice) : 0;
}

/* Note that the worker that was chosen has the connection. */
int
note_choice(Dealings *self, Table *table, Chosen *chosen)
{
    if (chosen->place == NOBODY || table->policy->given == NULL) {
        return 0;
    }
    table->policy->given(&chosen->choice, chosen->place);
    return write_choice(self, table, &chosen->choice);
}
