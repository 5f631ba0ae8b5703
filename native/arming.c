/* Set what wakes up the dealer's loop; twin of OpenOffers.arm() in connections/open_offers.py: edges while somebody waits
   for a worker, and a timer while an offer lies. */

#include "dealing.h"

#include <sys/epoll.h>

static PyObject *is_told, *rests_name, *has_tick, *has_look, *has_missed, *arm_name;

int
prepare_arming(void)
{
    static const Name names[] = {
        {&is_told, "_is_told"}, {&rests_name, "rests"}, {&has_tick, "_has_tick"}, {&has_look, "_has_look"},
        {&has_missed, "_has_missed"}, {&arm_name, "arm"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Let an edge end the wait of the loop, or not; twin of what OpenOffers.arm() does for that. */
static int
tell_loop(Dealings *self, int is_told_now)
{
    int epoll = descriptor_in(self->fields[EPOLL_OF_ALL]);
    int taken = epoll < 0 ? -1 : descriptor_in(self->fields[TAKEN]);
    struct epoll_event event = {.events = is_told_now ? EPOLLIN : 0, .data.fd = taken};
    if (taken < 0) {
        return -1;
    }
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, taken, &event) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return PyObject_SetAttr(self->fields[ENGINE], is_told, is_told_now ? Py_True : Py_False);
}

/* See that a timer is set while something lies; which, the twin says. */
static int
set_timer(Dealings *self, int rests)
{
    if (PyDict_GET_SIZE(self->fields[OFFERS]) == 0 || (rests && PyDict_GET_SIZE(self->fields[ENDS]) < 2)) {
        return 0; /* what lies with the only worker can go to nobody */
    }
    int has_timer = is_true(self->fields[UNTAKEN], rests ? has_look : has_tick);
    return has_timer != 0 ? Py_MIN(has_timer, 0) : call_method(self->fields[UNTAKEN], arm_name, NULL);
}

/* Change what wakes the loop up; twin of OpenOffers.arm(), 1: that is to. */
static int
arm_loop(Dealings *self, Accepting *accepting)
{
    Table table;
    int ordinary = look_at(accepting, &table);
    int rests = ordinary <= 0 ? 0 : is_true(self->fields[UNTAKEN], rests_name);
    int told = ordinary <= 0 ? 0 : is_true(self->fields[ENGINE], is_told);
    Py_ssize_t waiting = ordinary <= 0 ? 0 : PyObject_Size(table.line);
    if (ordinary <= 0 || rests < 0 || told < 0 || waiting < 0) {
        return PyErr_Occurred() ? -1 : 1;
    }
    if (rests && PyDict_GET_SIZE(self->fields[OFFERS])
        && (PySet_GET_SIZE(table.idle) || PyDict_GET_SIZE(self->fields[AHEAD]))) {
        return 1;
    }
    int is_to_tell = waiting > 0 || PyDict_GET_SIZE(table.named) > 0 || (rests && PyDict_GET_SIZE(self->fields[ENDS]) > 1);
    if (told != is_to_tell && tell_loop(self, is_to_tell) < 0) {
        return -1;
    }
    return set_timer(self, rests);
}

PyObject *
arm(Dealings *self, PyObject *Py_UNUSED(none))
{
    int missed = is_true(self->fields[ENGINE], has_missed);
    Accepting *accepting = missed == 0 ? only_one(self) : NULL;
    int result = PyErr_Occurred() ? -1 : 1;
    if (accepting != NULL) {
        result = fetch(accepting);
        result = result == 0 ? arm_loop(self, accepting) : result;
        Py_DECREF(accepting);
    }
    if (result > 0) {
        result = call_method(self->fields[ENGINE], arm_name, NULL);
    }
    return result < 0 ? NULL : Py_NewRef(Py_None);
}
