/* Calls that many files make. */

#include "native.h"

/* Call a method with one argument, or none, that returns nothing of use; -1: an exception. */
int
call_method(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *done = argument == NULL ? PyObject_CallMethodNoArgs(object, name)
                                      : PyObject_CallMethodOneArg(object, name, argument);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Whether an attribute is true; -1: an exception. */
int
is_true(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return result;
}
