/* Tell methods of this package from what a program, or a test, has put in their place: that is called, by Python.

   Whatever decorates a method may have taken the name of its module, but not its globals. */

#include "native.h"

#include <string.h>

#define OURS "nodecluster_compat."

int
is_own_function(PyObject *function)
{
    static PyObject *name;
    if (!PyFunction_Check(function)) {
        return 0;
    }
    if (name == NULL && (name = PyUnicode_InternFromString("__name__")) == NULL) {
        PyErr_Clear();
        return 0;
    }
    PyObject *module = PyDict_GetItemWithError(PyFunction_GET_GLOBALS(function), name);
    const char *text = module == NULL || !PyUnicode_Check(module) ? NULL : PyUnicode_AsUTF8(module);
    PyErr_Clear();
    return text != NULL && strncmp(text, OURS, strlen(OURS)) == 0;
}

int
is_own(PyObject *method)
{
    return PyMethod_Check(method) && is_own_function(PyMethod_GET_FUNCTION(method));
}

/* Whether an object has its own method of that name; -1: an exception. */
int
has_own(PyObject *object, PyObject *name)
{
    PyObject *method = PyObject_GetAttr(object, name);
    int result = method == NULL ? -1 : is_own(method);
    Py_XDECREF(method);
    return result;
}
