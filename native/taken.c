/* Find out what was taken, and deal to whoever has taken it; twin of what OpenOffers does at an edge, and as a turn ends.

       edge ──▶ became_free ──▶ idle ──▶ deal_line (dealing.c)
                     │ it is ahead, and may wait (ahead.c)
                     ▼
                   ahead ──▶ let_follow ──▶ idle

   Several listeners share a worker by rules that are the twin's alone: then it is asked. */

#include "dealing.h"

#include <errno.h>
#include <sys/epoll.h>

#define MOST_EVENTS 128

static PyObject *became_free_name, *update_name, *is_watching, *is_told, *accepting_name, *has_missed, *let_follow_name,
    *idle_name, *taken_name, *find_taken_name;

int
prepare_taken(void)
{
    static const Name names[] = {
        {&became_free_name, "_became_free"},
        {&update_name, "update"},
        {&is_watching, "is_watching"},
        {&is_told, "_is_told"},
        {&accepting_name, "accepting"},
        {&has_missed, "_has_missed"},
        {&let_follow_name, "let_follow"},
        {&idle_name, "idle"},
        {&taken_name, "taken"},
        {&find_taken_name, "_find_taken"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- what was taken ------------------------------------------------------------------------------ */

/* Return what accepts on the only listener, if there is one; NULL: the twin is to say. */
Accepting *
only_one(Dealings *self)
{
    Py_ssize_t position = 0;
    PyObject *listener = NULL;
    if (PyDict_GET_SIZE(self->fields[LISTENERS]) != 1
        || !PyDict_Next(self->fields[LISTENERS], &position, NULL, &listener)) {
        return NULL;
    }
    PyObject *accepting = PyObject_GetAttr(listener, accepting_name);
    if (accepting != NULL && !Py_IS_TYPE(accepting, accepting_type)) {
        Py_CLEAR(accepting);
    }
    return (Accepting *)accepting;
}

/* Whether a worker can get a connection that could not before. */
static int
is_news(Table *table, PyObject *worker_id)
{
    int is_member = PySet_Contains(table->members, worker_id);
    int is_full = PySet_Contains(table->full, worker_id), is_known = PySet_Contains(table->idle, worker_id);
    return PyErr_Occurred() ? -1 : is_member && !is_full && !is_known;
}

/* Note it in the policy's line and in the set, or, where there is no memory, in neither: it is asked again then. */
static int
note_idle(Table *table, PyObject *worker_id)
{
    if (PyDict_SetDefault(table->round, worker_id, Py_None) == NULL) {
        return -1;
    }
    if (PySet_Add(table->idle, worker_id) == 0) {
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (forget(table->round, worker_id) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* A worker could get a connection now; twin of OpenOffers._is_idle() and Dispatcher.idle(). */
static int
is_idle(Accepting *accepting, PyObject *worker_id)
{
    Table table;
    int ordinary = look_at(accepting, &table);
    if (ordinary <= 0) {
        return ordinary < 0 ? -1 : call_method(accepting->fields[DISPATCHER_OF], idle_name, worker_id);
    }
    int news = is_news(&table, worker_id);
    if (news <= 0) {
        return news;
    }
    if (note_idle(&table, worker_id) < 0) {
        return -1;
    }
    return PyDict_GET_SIZE(table.named) > 0 ? deal_to(accepting, worker_id) : deal_line(accepting);
}

/* The same, and the listener goes on that had enough. */
static int
becomes_idle(Accepting *accepting, PyObject *worker_id)
{
    if (is_idle(accepting, worker_id) < 0) {
        return -1;
    }
    int watches = is_true(accepting->fields[LISTENER], is_watching);
    return watches != 0 ? Py_MIN(watches, 0) : call_method(accepting->fields[LISTENER], update_name, NULL);
}

/* Let one go on that was ahead, if the others have caught up. */
static int
let_one_follow(Dealings *self, Accepting *accepting, PyObject *worker_id)
{
    Table table;
    int waits = PyDict_Contains(self->fields[AHEAD], worker_id);
    PyObject *end = waits <= 0 ? NULL : PyDict_GetItemWithError(self->fields[ENDS], worker_id);
    int ordinary = end == NULL ? 0 : look_at(accepting, &table);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (end == NULL) {
        return 0;
    }
    if (!is_end(self, end)) {
        return call_method(self->fields[ENGINE], let_follow_name, NULL);
    }
    int ahead = ordinary ? is_ahead(self, accepting, &table, worker_id) : 1;
    if (ahead != 0) {
        return ordinary ? (ahead < 0 ? -1 : 0) : call_method(self->fields[ENGINE], let_follow_name, NULL);
    }
    int is_busy = *slot_at(end, self->end[IS_BUSY]) == Py_True;
    if (stop_waiting(self, worker_id) < 0) {
        return -1;
    }
    return is_busy ? 0 : becomes_idle(accepting, worker_id);
}

static int
let_follow(Dealings *self, Accepting *accepting)
{
    PyObject *waiting = PyDict_Keys(self->fields[AHEAD]);
    int result = waiting == NULL ? -1 : 0;
    for (Py_ssize_t number = 0; result == 0 && number < PyList_GET_SIZE(waiting); number++) {
        result = let_one_follow(self, accepting, PyList_GET_ITEM(waiting, number));
    }
    Py_XDECREF(waiting);
    return result < 0 ? -1 : 0;
}

/* A worker has taken what lay in its channel; twin of OpenOffers._became_free(). */
static int
became_free(Dealings *self, Accepting *accepting, Table *table, PyObject *end, PyObject *worker_id)
{
    set_field(slot_at(end, self->end[IS_BUSY]), Py_NewRef(Py_False));
    set_field(slot_at(end, self->end[OFFERED]), Py_NewRef(Py_None));
    int result = forget(self->fields[OFFERS], worker_id) < 0 ? -1 : 0;
    if (result == 0 && PyDict_GET_SIZE(self->fields[OFFERS]) > 0) {
        result = is_ahead(self, accepting, table, worker_id);
    }
    if (result > 0) {
        result = let_wait(self, accepting, worker_id);
    }
    if (result == 0) {
        result = becomes_idle(accepting, worker_id);
    }
    return result < 0 || PyDict_GET_SIZE(self->fields[AHEAD]) == 0 ? result : let_follow(self, accepting);
}

static int
is_taken(Dealings *self, PyObject *end, PyObject *worker_id)
{
    Table table;
    Accepting *accepting = only_one(self);
    int ordinary = accepting == NULL ? 0 : look_at(accepting, &table), result = -1;
    if (ordinary > 0) {
        ordinary = is_same(self, taken_name, TAKEN_METHOD);
    }
    if (ordinary > 0) {
        result = became_free(self, accepting, &table, end, worker_id);
    }
    else if (!PyErr_Occurred()) {
        result = call_method(self->fields[ENGINE], became_free_name, end);
    }
    Py_XDECREF(accepting);
    return result;
}

/* The kernel says that a channel changed. */
static int
act_on_edge(Dealings *self, const struct epoll_event *event)
{
    PyObject *fd = PyLong_FromLong(event->data.fd);
    PyObject *end = fd == NULL ? NULL : PyDict_GetItemWithError(self->fields[BY_FD], fd);
    Py_XDECREF(fd);
    if (end == NULL || !is_end(self, end)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    /* A worker that has shut its end is told as well: what lies in the channel is still there. */
    if (!(event->events & EPOLLOUT) || *slot_at(end, self->end[IS_BUSY]) != Py_True) {
        return 0;
    }
    PyObject *worker_id = Py_XNewRef(get_slot(end, self->end[WORKER_ID]));
    Py_INCREF(end);
    int result = worker_id == NULL ? -1 : is_taken(self, end, worker_id);
    if (result < 0) {
        set_field(slot_at(end, self->end[IS_BUSY]), Py_NewRef(Py_True)); /* it is told of again */
    }
    Py_DECREF(end);
    Py_XDECREF(worker_id);
    return result;
}

/* Note that an edge may have been lost: the kernel tells of each but once, and is to be asked again. */
static void
note_missed(Dealings *self)
{
    if (PyObject_SetAttr(self->fields[ENGINE], has_missed, Py_True) < 0) {
        PyErr_Clear();
    }
}

/* Act on all of them, even if one fails.  The first exception is raised. */
static int
act_on_edges(Dealings *self, const struct epoll_event *events, int count)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    for (int number = 0; number < count; number++) {
        if (act_on_edge(self, &events[number]) == 0) {
            continue;
        }
        if (type == NULL) {
            PyErr_Fetch(&type, &value, &traceback);
        }
        PyErr_Clear();
    }
    if (type != NULL) {
        note_missed(self);
        PyErr_Restore(type, value, traceback);
    }
    return type == NULL ? 0 : -1;
}

/* Find out what has been taken. */
int
find_taken(Dealings *self)
{
    struct epoll_event events[MOST_EVENTS];
    int missed = is_true(self->fields[ENGINE], has_missed);
    if (missed != 0) {
        return missed < 0 ? -1 : call_method(self->fields[ENGINE], find_taken_name, NULL);
    }
    if (PyDict_GET_SIZE(self->fields[OFFERS]) == 0) {
        int told = is_true(self->fields[ENGINE], is_told);
        if (told <= 0) {
            return told;
        }
    }
    int epoll = descriptor_in(self->fields[TAKEN]);
    int count = epoll < 0 ? -1 : epoll_wait(epoll, events, MOST_EVENTS, 0);
    if (count < 0 && !PyErr_Occurred() && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyErr_Occurred() ? -1 : act_on_edges(self, events, count);
}

PyObject *
find_idle(Dealings *self, PyObject *Py_UNUSED(none))
{
    return find_taken(self) < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
edges(Dealings *self, PyObject *Py_UNUSED(events))
{
    return find_idle(self, NULL);
}
