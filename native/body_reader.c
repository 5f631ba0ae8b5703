/* Read a body of which all bytes are here; twin of HeldReader in _gunicorn/requests/body_reader.py.

   It stands in for gunicorn's LengthReader, beneath the same wsgi.input.  A body that is read in one piece is the object
   that was received; nothing is copied. */

#include "native.h"

typedef struct {
    PyObject_HEAD
    PyObject *held; /* bytes */
    Py_ssize_t at;  /* so many of them were read */
} HeldReader;

PyTypeObject *held_reader_type;

/* Return a reader of a body; takes the reference to it. */
PyObject *
new_reader(PyObject *held)
{
    HeldReader *self = held == NULL ? NULL : (HeldReader *)held_reader_type->tp_alloc(held_reader_type, 0);
    if (self == NULL) {
        Py_XDECREF(held);
        return NULL;
    }
    self->held = held;
    return (PyObject *)self;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"held", NULL};
    PyObject *held;
    if (!PyArg_ParseTupleAndKeywords(args, named, "O!:HeldReader", names, &PyBytes_Type, &held)) {
        return NULL;
    }
    return new_reader(Py_NewRef(held));
}

static void
deallocate(HeldReader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->held);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static Py_ssize_t
left(HeldReader *self)
{
    return PyBytes_GET_SIZE(self->held) - self->at;
}

static PyObject *
get_length(HeldReader *self, void *unused)
{
    return PyLong_FromSsize_t(left(self));
}

/* Read what was asked for into `size`: not more than is left. */
static int
read_size(HeldReader *self, PyObject *asked, Py_ssize_t *size)
{
    int is_too_large;
    if (!PyLong_Check(asked)) {
        PyErr_SetString(PyExc_TypeError, "size must be an integral type");
        return -1;
    }
    long long number = PyLong_AsLongLongAndOverflow(asked, &is_too_large);
    if (is_too_large < 0 || (is_too_large == 0 && number < 0)) {
        PyErr_SetString(PyExc_ValueError, "Size must be positive.");
        return -1;
    }
    *size = is_too_large || number > left(self) ? left(self) : (Py_ssize_t)number;
    return 0;
}

static PyObject *
read_piece(HeldReader *self, PyObject *asked)
{
    Py_ssize_t size;
    if (read_size(self, asked, &size) < 0) {
        return NULL;
    }
    PyObject *piece = size == PyBytes_GET_SIZE(self->held)
                          ? Py_NewRef(self->held)
                          : PyBytes_FromStringAndSize(PyBytes_AS_STRING(self->held) + self->at, size);
    self->at += piece == NULL ? 0 : size;
    return piece;
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)read_piece, METH_O, "read(size)\n--\n\nReturn size bytes, fewer at the end of the body."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"length", (getter)get_length, NULL, "how many bytes are left", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Reads a body of which all bytes are here."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {0, NULL},
};

PyType_Spec held_reader_spec = {
    .name = "nodecluster_compat._native.HeldReader",
    .basicsize = sizeof(HeldReader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
