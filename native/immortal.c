/* Make objects immortal, whose references nobody counts: for machine/immortal.py, which says which ones.  Python before
   3.12 has none, and there is no twin: Python code cannot set a count. */

#include "native.h"

static const char immortal_doc[] =
    "make_immortal(one)\n--\n\nNever free this object, from Python 3.12 on; return whether it was mortal.";

static PyObject *
make_immortal(PyObject *module, PyObject *one)
{
#if defined(_Py_IMMORTAL_REFCNT) && !defined(Py_DEBUG) /* a debug build checks that only interned text is immortal */
    if (!_Py_IsImmortal(one)) {
        Py_SET_REFCNT(one, _Py_IMMORTAL_REFCNT);
        Py_RETURN_TRUE;
    }
#endif
    Py_RETURN_FALSE;
}

PyMethodDef immortal_functions[] = {
    {"make_immortal", make_immortal, METH_O, immortal_doc},
    {NULL, NULL, 0, NULL},
};
