/* Begin the head of a plain answer, and find out whether it is the last one of its connection; twin of _head() in
   _gunicorn/requests/responses.py.

   What comes before the application's fields is the same for all answers of one status within a second, but for what the
   head says of the connection: so the twin makes it once in a second for each. */

#include "plain_answers.h"

#define MOST_STARTS 128

static PyObject *start_of_head, *server, *ends_connections, *should_close;

int
prepare_answer_starts(void)
{
    static const Name names[] = {
        {&start_of_head, "_start"},
        {&server, "server"},
        {&ends_connections, "ends_connections"},
        {&should_close, "should_close"},
    };
    return make_names(names, COUNT_OF(names));
}

/* In a drain, answers are the last ones of their connections; -1: an exception. */
static int
look_for_drain(PlainAnswer *self)
{
    PyObject *of = PyObject_GetAttr((PyObject *)self, server);
    PyObject *ends = of == NULL || of == Py_None ? Py_XNewRef(of) : PyObject_GetAttr(of, ends_connections);
    int is_true = ends == NULL ? -1 : ends == Py_False || ends == Py_None ? 0 : PyObject_IsTrue(ends);
    if (is_true > 0) {
        set_field(&self->fields[MUST_CLOSE], Py_NewRef(Py_True));
    }
    Py_XDECREF(of);
    Py_XDECREF(ends);
    return is_true < 0 ? -1 : 0;
}

/* Find out whether this is the last answer of its connection, as its head will say; -1: an exception. */
int
note_whether_last(PlainAnswer *self)
{
    int is_last;
    if (look_for_drain(self) < 0) {
        return -1;
    }
    if (is_none(self, RESPONSE_LENGTH) && !is_set(self, CHUNKED)) {
        PyObject *said = PyObject_CallMethodNoArgs((PyObject *)self, should_close);
        is_last = said == NULL ? -1 : PyObject_IsTrue(said);
        Py_XDECREF(said);
    }
    else {
        is_last = self->fields[MUST_CLOSE] != Py_False ? 1 : ends_connection(self->fields[REQ]);
    }
    if (is_last >= 0) {
        set_field(&self->fields[IS_LAST], PyBool_FromLong(is_last));
    }
    return is_last;
}

static void
forget_old_starts(Answers *answers)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != answers->second) {
        for (int place = 0; place < COUNT_OF(answers->starts); place++) {
            PyDict_Clear(answers->starts[place]);
        }
        answers->second = now.tv_sec;
    }
}

/* Return what the twin says that a head begins with: bytes. */
static PyObject *
new_start(PlainAnswer *self, int is_last)
{
    PyObject *start = PyObject_CallMethodOneArg((PyObject *)self, start_of_head, is_last ? Py_True : Py_False);
    if (start != NULL && !PyBytes_CheckExact(start)) {
        PyErr_SetString(PyExc_TypeError, "expected the beginning of a head in bytes");
        Py_CLEAR(start);
    }
    return start;
}

/* Return what comes before the application's fields, a new reference; it is kept while its Date is right. */
PyObject *
start_of(PlainAnswer *self, Answers *answers, int is_last)
{
    int minor = minor_of(self->fields[REQ]);
    PyObject *status = self->fields[STATUS];
    forget_old_starts(answers);
    PyObject *starts = answers->starts[is_last | is_set(self, CHUNKED) << 1 | (minor == 1) << 2];
    PyObject *start = Py_XNewRef(PyDict_GetItemWithError(starts, status));
    if (start != NULL || PyErr_Occurred()) {
        return start;
    }
    start = new_start(self, is_last);
    if (start != NULL && PyDict_GET_SIZE(starts) < MOST_STARTS && PyDict_SetItem(starts, status, start) < 0) {
        Py_CLEAR(start);
    }
    return start;
}
