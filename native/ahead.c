/* Find workers that are ahead of others, and limit how long they wait; twin of connections/turns.py, which has the theory.

   The counts and the allowance are the twin's.  This is for the workers of a single listener, which wait for each other
   where they are dealt round robin. */

#include "dealing.h"

static PyObject *clock_name;

int
prepare_ahead(void)
{
    static const Name names[] = {
        {&clock_name, "clock"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Whether an offer that lies in another's channel has to do with the workers of a listener. */
static int
competes(Dealings *self, Accepting *accepting, PyObject *other)
{
    if (!is_end(self, other)) {
        PyErr_Format(PyExc_TypeError, "expected an end of a worker's channel, got %R", other);
        return -1;
    }
    PyObject *offered = get_slot(other, self->end[OFFERED]);
    long age = get_number(other, self->end[AGE]);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!PyTuple_CheckExact(offered) || PyTuple_GET_SIZE(offered) == 0 || age >= self->patience) {
        return 0;
    }
    return PyObject_RichCompareBool(PyTuple_GET_ITEM(offered, 0), accepting->fields[LISTENER_ID], Py_EQ);
}

/* Whether a worker has had too many beside another, which has not taken its own. */
static int
is_ahead_of(Dealings *self, Accepting *accepting, PyObject *other, PyObject *counts, long least)
{
    int rival = competes(self, accepting, other);
    PyObject *worker_id = rival <= 0 ? NULL : get_slot(other, self->end[WORKER_ID]);
    PyObject *count = worker_id == NULL ? NULL : PyDict_GetItemWithError(counts, worker_id);
    if (PyErr_Occurred()) {
        return -1;
    }
    return count != NULL && PyLong_AsLong(count) <= least;
}

/* Whether a worker of the only listener is to wait for others. */
int
is_ahead(Dealings *self, Accepting *accepting, Table *table, PyObject *worker_id)
{
    if (table->policy != &policies[ROUND_ROBIN]) {
        return 0;
    }
    PyObject *turns = self->fields[TURNS], *counts = get_slot(turns, self->turns[COUNTS]);
    PyObject *had = counts == NULL ? NULL : PyDict_GetItemWithError(counts, worker_id);
    long most = get_number(turns, self->turns[MOST]);
    int serves = PyErr_Occurred() ? -1 : PySet_Contains(table->members, worker_id);
    if (serves <= 0) {
        return serves;
    }
    long least = (had == NULL ? most : PyLong_AsLong(had)) - self->lead + 1;
    Py_ssize_t position = 0;
    PyObject *other;
    while (PyDict_Next(self->fields[OFFERS], &position, NULL, &other)) {
        int result = is_ahead_of(self, accepting, other, counts, least);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

static int
read_clock(Dealings *self, double *now)
{
    PyObject *said = PyObject_CallMethodNoArgs(self->fields[LOOP_OF_ALL], clock_name);
    *now = said == NULL ? -1.0 : PyFloat_AsDouble(said);
    Py_XDECREF(said);
    return PyErr_Occurred() ? -1 : 0;
}

/* Return a number of the allowance; what is none is an exception. */
static double
of_allowance(Dealings *self, int which)
{
    PyObject *value = get_slot(self->fields[ALLOWANCE], self->allowance[which]);
    return value == NULL ? -1.0 : PyFloat_AsDouble(value);
}

/* Whether another worker may be made to wait; twin of Allowance.lets_wait(). */
static int
lets_wait(Dealings *self, double now)
{
    double left = of_allowance(self, LEFT), then = of_allowance(self, THEN);
    if (PyErr_Occurred()) {
        return -1;
    }
    left += (now - then) * self->share;
    left = left < self->most_left ? left : self->most_left;
    int is_left = left > 0.0;
    if (is_left) {
        left -= self->each;
    }
    if (set_slot(self->fields[ALLOWANCE], self->allowance[LEFT], PyFloat_FromDouble(left)) < 0
        || set_slot(self->fields[ALLOWANCE], self->allowance[THEN], PyFloat_FromDouble(now)) < 0) {
        return -1;
    }
    return is_left;
}

static int
set_since(Dealings *self, double now)
{
    return set_slot(self->fields[ALLOWANCE], self->allowance[SINCE], PyFloat_FromDouble(now));
}

/* Make a worker that is ahead wait; 0: the allowance is spent. */
int
let_wait(Dealings *self, Accepting *accepting, PyObject *worker_id)
{
    double now;
    int result = read_clock(self, &now) < 0 ? -1 : lets_wait(self, now);
    if (result > 0 && PyDict_GET_SIZE(self->fields[AHEAD]) == 0 && set_since(self, now) < 0) {
        result = -1;
    }
    if (result > 0 && PyDict_SetItem(self->fields[AHEAD], worker_id, accepting->fields[LISTENER_ID]) < 0) {
        result = -1;
    }
    return result;
}

/* A worker waits no longer: count for how long some have. */
int
stop_waiting(Dealings *self, PyObject *worker_id)
{
    double now;
    double since = of_allowance(self, SINCE), left = of_allowance(self, LEFT);
    if (PyErr_Occurred() || read_clock(self, &now) < 0 || forget(self->fields[AHEAD], worker_id) < 0
        || set_slot(self->fields[ALLOWANCE], self->allowance[LEFT], PyFloat_FromDouble(left - (now - since))) < 0) {
        return -1;
    }
    return set_since(self, now);
}

