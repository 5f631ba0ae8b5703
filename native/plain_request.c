/* Hold the attributes of a clean request; the first base of the class that CleanReader in
   _gunicorn/requests/clean_reader.py makes of CleanRequest.

   Python can make one with fewer attributes, and set any of them: so code here checks that an attribute is there. */

#include "clean_reader.h"

#include <stdint.h>

PyTypeObject *plain_request_type;

static int
traverse_request(PlainRequest *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, REQUEST_FIELDS, visit, arg);
}

static int
clear_request(PlainRequest *self)
{
    clear_fields(self->fields, REQUEST_FIELDS);
    return 0;
}

static void
free_request(PlainRequest *self)
{
    free_record((PyObject *)self, self->fields, REQUEST_FIELDS);
}

/* What a class has for all its instances where Python makes them: nothing was said yet. */
static PyObject *
get_or(PlainRequest *self, void *place)
{
    PyObject *field = self->fields[(intptr_t)place];
    return Py_NewRef(field != NULL ? field : (intptr_t)place == MUST_CLOSE ? Py_False : Py_None);
}

static int
set_or(PlainRequest *self, PyObject *value, void *place)
{
    set_field(&self->fields[(intptr_t)place], Py_XNewRef(value));
    return 0;
}

/* --- what others ask of it --------------------------------------------------------------------- */

int
is_plain_request(PyObject *request)
{
    return PyObject_TypeCheck(request, plain_request_type);
}

void
set_body(PyObject *request, PyObject *body)
{
    set_field(&((PlainRequest *)request)->fields[BODY], body);
}

void
set_started(PyObject *request, PyObject *started)
{
    set_field(&((PlainRequest *)request)->fields[STARTED], started);
}

PyObject *
line_of(PyObject *request)
{
    return ((PlainRequest *)request)->fields[LINE];
}

/* The minor version; -1: it is not known here. */
int
minor_of(PyObject *request)
{
    PyObject *minor = is_plain_request(request) ? ((PlainRequest *)request)->fields[MINOR] : NULL;
    return minor == NULL || !PyLong_CheckExact(minor) ? -1 : (int)(PyLong_AsLong(minor) == 1);
}

/* Whether the connection ends with the answer, as far as the request says; -1: an exception. */
int
ends_connection(PyObject *request)
{
    if (is_plain_request(request)) {
        PyObject **fields = ((PlainRequest *)request)->fields;
        if (fields[MUST_CLOSE] == Py_True) {
            return 1;
        }
        if ((fields[MUST_CLOSE] == NULL || fields[MUST_CLOSE] == Py_False) && fields[ENDS] != NULL
            && PyBool_Check(fields[ENDS])) {
            return fields[ENDS] == Py_True;
        }
    }
    PyObject *said = PyObject_CallMethod(request, "should_close", NULL);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    return result;
}

/* --- the type ---------------------------------------------------------------------------------- */

static PyMemberDef request_members[] = {
    FIELD(PlainRequest, "line", LINE),
    FIELD(PlainRequest, "minor_version", MINOR),
    FIELD(PlainRequest, "length", LENGTH),
    FIELD(PlainRequest, "body", BODY),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef request_getters[] = {
    {"ends", (getter)get_or, (setter)set_or, NULL, (void *)ENDS},
    {"started", (getter)get_or, (setter)set_or, NULL, (void *)STARTED},
    {"must_close", (getter)get_or, (setter)set_or, NULL, (void *)MUST_CLOSE},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "The attributes of a clean request that every request needs."},
    {Py_tp_dealloc, free_request},
    {Py_tp_traverse, traverse_request},
    {Py_tp_clear, clear_request},
    {Py_tp_members, request_members},
    {Py_tp_getset, request_getters},
    {0, NULL},
};

PyType_Spec plain_request_spec = {
    .name = "nodecluster_compat._native.PlainRequest",
    .basicsize = sizeof(PlainRequest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = request_slots,
};
