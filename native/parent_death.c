/* Ask the kernel for a signal when the parent dies; twin of what _gunicorn/arbiter/parent_death.py has of ctypes, which
   is larger than all of this extension. */

#include "native.h"

#include <limits.h>
#include <sys/prctl.h>

static const char ask_doc[] =
    "ask_for_death_signal(number)\n--\n\nHave this process sent a signal when its parent dies; 0: none.";

static PyObject *
ask_for_death_signal(PyObject *module, PyObject *argument)
{
    long number = PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (number < 0 || number > INT_MAX || prctl(PR_SET_PDEATHSIG, (unsigned long)number, 0, 0, 0) < 0) {
        PyErr_Format(PyExc_ValueError, "expected the number of a signal, got %ld", number);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef parent_death_functions[] = {
    {"ask_for_death_signal", ask_for_death_signal, METH_O, ask_doc},
    {NULL, NULL, 0, NULL},
};
