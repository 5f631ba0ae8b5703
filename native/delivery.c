/* Deliver a worker's message in the primary; twin of Deliveries.received in roles/deliveries.py.

   This is for ordinary messages: there is a handler, nothing waits before it, and its payload is valid.  Python does
   everything else, with the same payload. */

#include "emitting.h"

enum { DELIVERIES, TABLE, KIND, HANDLER, LINE, EARLY, EVENTS, WORKER, PROCESS, DELIVERY_FIELDS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fields[DELIVERY_FIELDS];
    Py_ssize_t tap, decode; /* slots of deliveries and line */
} Delivery;

/* Whether the message may be told at once. */
static int
is_ordinary(Delivery *self)
{
    PyObject *tap = get_slot(self->fields[DELIVERIES], self->tap);
    if (tap == NULL) {
        return -1;
    }
    int handled = is_still_handled(self->fields[TABLE], self->fields[KIND], self->fields[HANDLER]);
    if (tap != Py_None || handled <= 0) {
        return tap != Py_None ? 0 : handled;
    }
    Py_ssize_t early = PyObject_Size(self->fields[EARLY]);
    if (early != 0) {
        return early < 0 ? -1 : 0;
    }
    int heard = 0;
    for (int emitter = EVENTS; heard == 0 && emitter <= PROCESS; emitter++) {
        heard = has_listener(self->fields[emitter]);
    }
    return heard;
}

/* Tell the cluster, the worker and its process. */
static int
tell_all(Delivery *self, PyObject *message)
{
    PyObject *args[] = {self->fields[WORKER], message, Py_None};
    if (emit_message(self->fields[EVENTS], args, 3) < 0 || emit_message(self->fields[WORKER], args + 1, 2) < 0) {
        return -1;
    }
    return emit_message(self->fields[PROCESS], args + 1, 2);
}

static PyObject *
deliver(PyObject *object, PyObject *const *args, size_t nargs, PyObject *names)
{
    Delivery *self = (Delivery *)object;
    if (PyVectorcall_NARGS(nargs) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "expected a payload");
        return NULL;
    }
    int ordinary = is_ordinary(self);
    if (ordinary <= 0) {
        return ordinary < 0 ? NULL : Py_NewRef(Py_False);
    }
    PyObject *decode = get_slot(self->fields[LINE], self->decode);
    PyObject *message = decode == NULL ? NULL : decode_quickly(decode, args[0]);
    if (message == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    Py_INCREF(self);
    int outcome = tell_all(self, message);
    Py_DECREF(self);
    Py_DECREF(message);
    return outcome < 0 ? NULL : Py_NewRef(Py_True);
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Delivery *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, DELIVERY_FIELDS, visit, arg);
}

static void
deallocate(Delivery *self)
{
    free_record((PyObject *)self, self->fields, DELIVERY_FIELDS);
}

static int
find_places(Delivery *self)
{
    static const char *const of_deliveries[] = {"received_tap"}, *const of_line[] = {"decode"};
    return find_slots((PyObject *)Py_TYPE(self->fields[DELIVERIES]), of_deliveries, &self->tap, 1) < 0
                   || find_slots((PyObject *)Py_TYPE(self->fields[LINE]), of_line, &self->decode, 1) < 0
               ? -1
               : 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"deliveries", "table", "kind", "handler", "line", "early", "events", "worker", "process", NULL};
    PyObject *given[DELIVERY_FIELDS];
    if (prepare_emitting() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OO!OOOOOOO:Delivery", names, &given[DELIVERIES], &PyDict_Type,
                                        &given[TABLE], &given[KIND], &given[HANDLER], &given[LINE], &given[EARLY],
                                        &given[EVENTS], &given[WORKER], &given[PROCESS])) {
        return NULL;
    }
    Delivery *self = (Delivery *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < DELIVERY_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->vectorcall = deliver;
        if (find_places(self) < 0) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Delivery, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Delivery(...)(payload): tell a worker's message; False: it is Python's to tell, or to keep."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec delivery_spec = {
    .name = "nodecluster_compat._native.Delivery",
    .basicsize = sizeof(Delivery),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};
