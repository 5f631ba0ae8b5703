/* Share what every file of the extension needs: CPython's API and the types that the module offers.

   The extension is one module, nodecluster_compat._native.  Each file has the twin of one Python module, whose name is
   at its top: same names, same outcome, held by the same tests.  Everything runs with the interpreter's lock held;
   nothing here keeps a thread, a lock or a descriptor, so a process may fork at any moment. */

#ifndef NODECLUSTER_NATIVE_H
#define NODECLUSTER_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "the extension relies on the interpreter's lock: a free-threaded Python is served by Python"
#endif

extern PyType_Spec request_stores_spec;
extern PyMethodDef clean_head_functions[];

int prepare_clean_head(void);

#endif
