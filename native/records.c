/* Keep the attributes of objects in an array of C, where a C function finds them without a look-up.

   Such a type is the first base of a Python class, whose methods use the attributes by their names as usual: C and Python
   work on one object.

   The collector frees reference cycles.  A cycle is closed by the reference that is set last, in an object that existed
   before: so a type has tp_clear for attributes that can be set after it is made, and for no others.  A type whose
   attributes are all given to its constructor needs no tp_clear, as a tuple needs none, and nobody finds its objects
   without their attributes: "set once" is said where that is so. */

#include "native.h"

/* Make the strings that a file looks things up by, once. */
int
make_names(const Name *names, int count)
{
    for (int index = 0; index < count; index++) {
        if (*names[index].where == NULL) {
            *names[index].where = PyUnicode_InternFromString(names[index].text);
        }
        if (*names[index].where == NULL) {
            return -1;
        }
    }
    return 0;
}

int
visit_fields(PyObject *self, PyObject **fields, int count, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (int place = 0; place < count; place++) {
        Py_VISIT(fields[place]);
    }
    return 0;
}

void
clear_fields(PyObject **fields, int count)
{
    for (int place = 0; place < count; place++) {
        Py_CLEAR(fields[place]);
    }
}

void
free_record(PyObject *self, PyObject **fields, int count)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_fields(fields, count);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Set an attribute; takes the reference. */
void
set_field(PyObject **field, PyObject *value)
{
    PyObject *old = *field;
    *field = value;
    Py_XDECREF(old);
}
