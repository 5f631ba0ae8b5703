/* Keep what all answers of a process have in common, as Answers in _gunicorn/requests/responses.py.

   What is learnt of statuses and of the names of fields is the twin's, and what a head begins with is kept for a second. */

#include "plain_answers.h"

PyTypeObject *answers_type;

static PyObject *is_child_name;

static int
prepare(void)
{
    static const Name names[] = {{&is_child_name, "is_child"}};
    return make_names(names, COUNT_OF(names));
}

/* No tp_clear: all is set once (records.c). */
static int
traverse_answers(Answers *self, visitproc visit, void *arg)
{
    Py_VISIT(self->statuses);
    Py_VISIT(self->names);
    Py_VISIT(self->client);
    Py_VISIT(self->process);
    Py_VISIT(self->end_if_child);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        Py_VISIT(self->starts[place]);
    }
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
free_answers(Answers *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->statuses);
    Py_XDECREF(self->names);
    Py_XDECREF(self->client);
    Py_XDECREF(self->process);
    Py_XDECREF(self->end_if_child);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        Py_XDECREF(self->starts[place]);
    }
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
create_answers(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"statuses", "names", "client", "process", "end_if_child", NULL};
    PyObject *statuses, *known, *client, *process, *end;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "O!O!O!OO:Answers", names, &PyDict_Type, &statuses, &PyDict_Type,
                                        &known, &PyType_Type, &client, &process, &end)
        || learn_client(client) < 0) {
        return NULL;
    }
    Answers *self = (Answers *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->statuses = Py_NewRef(statuses);
    self->names = Py_NewRef(known);
    self->client = Py_NewRef(client);
    self->process = Py_NewRef(process);
    self->end_if_child = Py_NewRef(end);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        if ((self->starts[place] = PyDict_New()) == NULL) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static PyType_Slot answers_slots[] = {
    {Py_tp_doc, "What all answers of a process have in common."},
    {Py_tp_new, create_answers},
    {Py_tp_dealloc, free_answers},
    {Py_tp_traverse, traverse_answers},
    {0, NULL},
};

PyType_Spec answers_spec = {
    .name = "nodecluster_compat._native.Answers",
    .basicsize = sizeof(Answers),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = answers_slots,
};

/* Where the application has returned to the server: a process that it has forked ends. */
int
end_if_child(PyObject *answers)
{
    Answers *self = (Answers *)answers;
    PyObject *is_child = PyObject_GetAttr(self->process, is_child_name);
    if (is_child == NULL || is_child == Py_False) {
        Py_XDECREF(is_child);
        return is_child == NULL ? -1 : 0;
    }
    Py_DECREF(is_child);
    PyObject *done = PyObject_CallNoArgs(self->end_if_child);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int
is_of_client(PyObject *answers, PyObject *sock)
{
    return (PyObject *)Py_TYPE(sock) == ((Answers *)answers)->client;
}
