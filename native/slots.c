/* Find the attributes of Python's objects that have __slots__, where C reads them without a look-up.

   Such a class stays as it is, and so do its objects: a slot is a place in each of them, which the class tells once.
   What C and Python see is one attribute. */

#include "native.h"

/* Return where the objects of a class have an attribute; -1: it is none of its slots. */
static Py_ssize_t
place_of(PyObject *type, const char *name)
{
    Py_ssize_t place = -1;
    PyObject *found = PyObject_GetAttrString(type, name);
    if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)
        && ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX) {
        place = ((PyMemberDescrObject *)found)->d_member->offset;
    }
    else if (found != NULL) {
        PyErr_Format(PyExc_TypeError, "expected %s to be one of the __slots__ of %R", name, type);
    }
    Py_XDECREF(found);
    return place;
}

/* Find slots of a class. */
int
find_slots(PyObject *type, const char *const *names, Py_ssize_t *places, int count)
{
    for (int number = 0; number < count; number++) {
        places[number] = place_of(type, names[number]);
        if (places[number] < 0) {
            return -1;
        }
    }
    return 0;
}

/* Return an attribute, borrowed; an exception while it is not set. */
PyObject *
get_slot(PyObject *object, Py_ssize_t place)
{
    PyObject *value = *slot_at(object, place);
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "an attribute of %.80s is not set", Py_TYPE(object)->tp_name);
    }
    return value;
}

/* Return a number of an attribute; -1 with an exception: it is none. */
long
get_number(PyObject *object, Py_ssize_t place)
{
    PyObject *value = get_slot(object, place);
    return value == NULL ? -1 : PyLong_AsLong(value);
}

/* Set an attribute; takes the reference, and does nothing without one. */
int
set_slot(PyObject *object, Py_ssize_t place, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    set_field(slot_at(object, place), value);
    return 0;
}
