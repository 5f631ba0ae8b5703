/* Have the client of a body that is iterated looked at; twin of what gevent_runtime/client_gone.py has for that.

   The notes are the twin's, whose sweep looks at them; here they are only put in and taken out.  Whatever is more than
   that is left to the twin: to start the sweep, to let go whoever waits for the client to leave, and to forget a client
   that a sweep has seen. */

#include "clean_turn.h"

static PyObject *new_name, *known_name, *timer_name, *stream_name, *event_name, *over_name, *callbacks_name,
    *response_name;

int
prepare_watching(void)
{
    static const Name names[] = {
        {&new_name, "_new"},
        {&known_name, "_known"},
        {&timer_name, "_timer"},
        {&stream_name, "stream"},
        {&event_name, "_event"},
        {&over_name, "is_over"},
        {&callbacks_name, "_callbacks"},
        {&response_name, "response"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Return who looks at clients, borrowed; NULL: that is known to Python alone. */
static PyObject *
watch_behind(PyObject *method)
{
    return is_own(method) ? PyMethod_GET_SELF(method) : NULL;
}

/* Return the greenlet that iterates the body, borrowed; NULL: nobody has looked for it yet. */
static PyObject *
greenlet_of(CleanTurn *self)
{
    PyObject *resume = self->fields[RESUME];
    return PyCFunction_Check(resume) ? PyCFunction_GET_SELF(resume) : NULL;
}

/* Whether an attribute is None; -1: an exception. */
static int
has_none(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    Py_XDECREF(value);
    return value == NULL ? -1 : value == Py_None;
}

/* Return a dict of notes; NULL without an exception: it is none. */
static PyObject *
notes_of(PyObject *watch, PyObject *name)
{
    PyObject *notes = PyObject_GetAttr(watch, name);
    if (notes != NULL && !PyDict_CheckExact(notes)) {
        Py_CLEAR(notes);
    }
    return notes;
}

/* --- from now on ------------------------------------------------------------------------------- */

/* Note a client, unless a sweep has seen it; -1: an exception. */
static int
note_client(PyObject *watch, PyObject *client, PyObject *gone)
{
    PyObject *noted = notes_of(watch, new_name), *known = noted == NULL ? NULL : notes_of(watch, known_name);
    int result = known == NULL ? (PyErr_Occurred() ? -1 : 0) : PyDict_Contains(known, client);
    if (known != NULL && result == 0) {
        result = PyDict_SetItem(noted, client, gone) < 0 ? -1 : 1;
    }
    Py_XDECREF(noted);
    Py_XDECREF(known);
    return result;
}

/* Have the client looked at; 0: that is the twin's to do, -1: an exception. */
static int
watch_here(CleanTurn *self, Served *served)
{
    PyObject *watch = watch_behind(common(self, WATCH)), *greenlet = greenlet_of(self);
    int is_still = watch == NULL || greenlet == NULL ? 1 : has_none(watch, timer_name);
    if (is_still) {
        return is_still < 0 ? -1 : 0;
    }
    if (PyObject_SetAttr(served->gone, stream_name, greenlet) < 0) {
        return -1;
    }
    set_watched(served->response);
    return note_client(watch, self->fields[SOCKET], served->gone);
}

/* The current greenlet is about to iterate the body: have the client looked at; -1: an exception. */
int
watch_client(CleanTurn *self, Served *served)
{
    int outcome = watch_here(self, served);
    if (outcome) {
        return outcome < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallOneArg(common(self, WATCH), served->gone);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* --- until then -------------------------------------------------------------------------------- */

/* Take the note about a client out; 0: there is none, or not this one; -1: an exception. */
static int
forget_client(PyObject *watch, PyObject *client, PyObject *gone)
{
    PyObject *noted = notes_of(watch, new_name);
    int result = noted == NULL ? 0 : PyDict_GetItemWithError(noted, client) == gone;
    if (result > 0 && PyDict_DelItem(noted, client) < 0) {
        result = -1;
    }
    Py_XDECREF(noted);
    return PyErr_Occurred() ? -1 : result;
}

/* The request has ended, and nobody waits for the client to leave. */
static int
end_watch(PyObject *gone)
{
    return PyObject_SetAttr(gone, over_name, Py_True) < 0 || PyObject_SetAttr(gone, response_name, Py_None) < 0
                   || PyObject_SetAttr(gone, callbacks_name, Py_None) < 0
                   || PyObject_SetAttr(gone, stream_name, Py_None) < 0
               ? -1
               : 0;
}

/* Have the client looked at no longer; 0: that is the twin's to do, -1: an exception. */
static int
unwatch_here(CleanTurn *self, Served *served)
{
    PyObject *watch = watch_behind(common(self, UNWATCH));
    int outcome = watch == NULL ? 0 : has_none(served->gone, event_name);
    if (outcome > 0) {
        outcome = forget_client(watch, self->fields[SOCKET], served->gone);
    }
    return outcome > 0 && end_watch(served->gone) < 0 ? -1 : outcome;
}

/* The request has ended: have its client looked at no longer; -1: an exception. */
int
unwatch_client(CleanTurn *self, Served *served)
{
    int outcome = unwatch_here(self, served);
    if (outcome) {
        return outcome < 0 ? -1 : 0;
    }
    PyObject *done = PyObject_CallOneArg(common(self, UNWATCH), self->fields[SOCKET]);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}
