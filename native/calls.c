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

/* Return the descriptor of an object that has fileno(); -1: an exception.  PyObject_AsFileDescriptor() binds the method. */
int
descriptor_in(PyObject *object)
{
    static PyObject *fileno_name;
    static const Name names[] = {{&fileno_name, "fileno"}};
    PyObject *number = make_names(names, COUNT_OF(names)) < 0 ? NULL : PyObject_CallMethodNoArgs(object, fileno_name);
    int fd = number == NULL ? -1 : PyObject_AsFileDescriptor(number);
    Py_XDECREF(number);
    return fd;
}
