/* Write what an application has returned, piece by piece; twin of the inner half of CleanConnection._send().

   The body is the application's: each step may run any code, and let other greenlets run. */

#include "native.h"

#define PIECES_IN_A_GO 32

static PyObject *write_name, *write_file, *close_name;

static int
prepare(void)
{
    static const Name names[] = {{&write_name, "write"}, {&write_file, "write_file"}, {&close_name, "close"}};
    return close_name != NULL ? 0 : make_names(names, COUNT_OF(names));
}

/* Let signals be handled, and now and then other threads run: where no step is Python's, nobody else sees to that. */
static int
pause_between(unsigned number)
{
    if (number % PIECES_IN_A_GO == 0) {
        Py_BEGIN_ALLOW_THREADS
        Py_END_ALLOW_THREADS
    }
    return PyErr_CheckSignals();
}

static int
write_pieces(PyObject *answer, PyObject *body)
{
    PyObject *iterator = PyObject_GetIter(body), *piece = NULL;
    int result = iterator == NULL ? -1 : 0;
    for (unsigned number = 1; result == 0 && (piece = PyIter_Next(iterator)) != NULL; number++) {
        result = call_method(answer, write_name, piece);
        Py_DECREF(piece);
        result = result < 0 ? -1 : pause_between(number);
    }
    Py_XDECREF(iterator);
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

/* Write all of a body, and end the answer; `wrapper` is the class of files.  -1: an exception. */
int
write_body(PyObject *answer, PyObject *body, PyObject *wrapper)
{
    int is_file = prepare() < 0 ? -1 : PyObject_IsInstance(body, wrapper);
    if (is_file < 0 || (is_file ? call_method(answer, write_file, body) : write_pieces(answer, body)) < 0) {
        return -1;
    }
    return is_unfinished(answer) ? call_method(answer, close_name, NULL) : 0;
}

/* Close a body that can be closed; -1: an exception. */
int
close_body(PyObject *body)
{
    PyObject *close = PyObject_GetAttr(body, close_name);
    if (close == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    PyObject *done = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}
