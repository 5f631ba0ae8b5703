/* Receive and tell the primary's messages in a worker; twin of Inbox in roles/inbox.py, for what is ordinary: somebody
   listens, and no descriptor came along.  Everything else is left to Python, which has the same queue. */

#include "frames.h"
#include "emitting.h"

enum { INBOX, TABLE, KIND, HANDLER, LINE, ARRIVED, QUEUE, THIS_WORKER, PROCESS, FRAME, INBOX_FIELDS };

enum { IS_PAUSED, IS_DELIVERING, DELIVERER, INBOX_SLOTS };
enum { BYTES_WAITING, DROPPING, ARRIVED_SLOTS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fields[INBOX_FIELDS];
    long most_frames, most_bytes;
    Py_ssize_t of_inbox[INBOX_SLOTS], of_arrived[ARRIVED_SLOTS], decode;
} Inbox;

static PyObject *pause_name, *take_name, *tell_name, *deliver_name, *append_name, *popleft_name, *payload_name, *fd_name, *kind_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&pause_name, "pause"},     {&take_name, "take"}, {&tell_name, "tell"}, {&deliver_name, "deliver"}, {&append_name, "append"},
        {&popleft_name, "popleft"}, {&payload_name, "payload"}, {&fd_name, "fd"}, {&kind_name, "kind"},
    };
    return prepare_emitting() < 0 ? -1 : make_names(names, COUNT_OF(names));
}

/* Whether anybody listens. */
static int
is_heard(Inbox *self)
{
    int heard = has_listener(self->fields[THIS_WORKER]);
    return heard != 0 ? heard : has_listener(self->fields[PROCESS]);
}

/* Add to the bytes that wait; return how many they are now. */
static long
count_bytes(Inbox *self, Py_ssize_t more)
{
    long bytes = get_number(self->fields[ARRIVED], self->of_arrived[BYTES_WAITING]);
    if (bytes == -1 && PyErr_Occurred()) {
        return -1;
    }
    bytes += (long)more;
    return set_slot(self->fields[ARRIVED], self->of_arrived[BYTES_WAITING], PyLong_FromLong(bytes)) < 0 ? -1 : bytes;
}

/* Put a message behind those that wait. */
static int
add(Inbox *self, PyObject *payload)
{
    PyObject *args[] = {self->fields[KIND], payload};
    PyObject *frame = PyObject_Vectorcall(self->fields[FRAME], args, 2, NULL);
    PyObject *done = frame == NULL ? NULL : PyObject_CallMethodOneArg(self->fields[QUEUE], append_name, frame);
    Py_XDECREF(frame);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* When handlers are slow, reading pauses. */
static int
keep_bounds(Inbox *self, long bytes)
{
    Py_ssize_t waiting = PyObject_Size(self->fields[QUEUE]);
    if (waiting < 0) {
        return -1;
    }
    if (waiting < self->most_frames && bytes < self->most_bytes) {
        return 0;
    }
    PyObject *done = PyObject_CallMethodNoArgs(self->fields[INBOX], pause_name);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *
receive(PyObject *object, PyObject *const *args, size_t nargs, PyObject *names)
{
    Inbox *self = (Inbox *)object;
    if (PyVectorcall_NARGS(nargs) != 1 || names != NULL || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "expected a payload");
        return NULL;
    }
    int ordinary = is_still_handled(self->fields[TABLE], self->fields[KIND], self->fields[HANDLER]);
    ordinary = ordinary <= 0 ? ordinary : is_heard(self);
    if (ordinary <= 0) {
        return ordinary < 0 ? NULL : Py_NewRef(Py_False);
    }
    if (add(self, args[0]) < 0) {
        return NULL;
    }
    long bytes = count_bytes(self, PyBytes_GET_SIZE(args[0]));
    return bytes < 0 || keep_bounds(self, bytes) < 0 ? NULL : Py_NewRef(Py_True);
}

/* Whether something waits that somebody listens for, and nobody delivers yet. */
static int
is_due(Inbox *self)
{
    Py_ssize_t waiting = PyObject_Size(self->fields[QUEUE]);
    PyObject *delivering = get_slot(self->fields[INBOX], self->of_inbox[IS_DELIVERING]);
    if (waiting < 0 || delivering == NULL) {
        return -1;
    }
    return waiting == 0 || delivering != Py_False ? 0 : is_heard(self);
}

/* Have the deliverer take one message after another, and tell it. */
static PyObject *
deliver(Inbox *self)
{
    PyObject *deliverer = Py_XNewRef(get_slot(self->fields[INBOX], self->of_inbox[DELIVERER]));
    PyObject *take = PyObject_GetAttr((PyObject *)self, take_name), *tell = PyObject_GetAttr((PyObject *)self, tell_name);
    PyObject *args[] = {deliverer, take, tell}, *done = NULL;
    if (deliverer != NULL && take != NULL && tell != NULL
        && set_slot(self->fields[INBOX], self->of_inbox[IS_DELIVERING], Py_NewRef(Py_True)) == 0) {
        done = PyObject_VectorcallMethod(deliver_name, args, COUNT_OF(args), NULL);
    }
    Py_XDECREF(deliverer);
    Py_XDECREF(take);
    Py_XDECREF(tell);
    return done;
}

/* All that has come together was received: deliver it. */
static PyObject *
slice_ended(Inbox *self, PyObject *unused)
{
    int due = is_due(self);
    PyObject *done = due <= 0 ? NULL : deliver(self);
    if (due < 0 || (due > 0 && done == NULL)) {
        return NULL;
    }
    Py_XDECREF(done);
    return Py_NewRef(Py_None);
}

/* Return the next message, None when there is none to deliver. */
static PyObject *
take(Inbox *self, PyObject *unused)
{
    Py_ssize_t waiting = PyObject_Size(self->fields[QUEUE]);
    PyObject *paused = get_slot(self->fields[INBOX], self->of_inbox[IS_PAUSED]);
    if (waiting < 0 || paused == NULL) {
        return NULL;
    }
    int heard = waiting == 0 ? 0 : is_heard(self);
    if (heard < 0) {
        return NULL;
    }
    if (!heard && paused != Py_False) {
        return PyObject_CallMethodNoArgs(self->fields[INBOX], take_name);
    }
    PyObject *frame = heard ? PyObject_CallMethodNoArgs(self->fields[QUEUE], popleft_name) : Py_NewRef(Py_None);
    PyObject *payload = !heard || frame == NULL ? NULL : PyObject_GetAttr(frame, payload_name);
    int outcome = frame == NULL || (heard && payload == NULL) ? -1 : 0;
    if (payload != NULL) {
        Py_ssize_t size = PyObject_Size(payload);
        outcome = size < 0 || count_bytes(self, -size) < 0
                          || set_slot(self->fields[ARRIVED], self->of_arrived[DROPPING], Py_NewRef(Py_False)) < 0
                      ? -1
                      : 0;
        Py_DECREF(payload);
    }
    if (outcome == 0) {
        outcome = set_slot(self->fields[INBOX], self->of_inbox[IS_DELIVERING], Py_NewRef(heard ? Py_True : Py_False));
    }
    if (outcome < 0) {
        Py_CLEAR(frame);
    }
    return frame;
}

/* Return what a message without a descriptor holds; NULL without an exception: Python is to tell it. */
static PyObject *
opened(Inbox *self, PyObject *frame)
{
    PyObject *fd = PyObject_GetAttr(frame, fd_name), *kind = PyObject_GetAttr(frame, kind_name), *message = NULL;
    if (fd == Py_None && kind == self->fields[KIND]) {
        PyObject *payload = PyObject_GetAttr(frame, payload_name), *decode = get_slot(self->fields[LINE], self->decode);
        Py_ssize_t size = payload == NULL ? -1 : PyObject_Size(payload);
        if (size >= 0 && size < LARGE_BYTES && decode != NULL) {
            message = decode_quickly(decode, payload);
        }
        Py_XDECREF(payload);
    }
    Py_XDECREF(kind);
    Py_XDECREF(fd);
    return message;
}

/* Tell a message to the handlers of this worker and of its process. */
static PyObject *
tell(Inbox *self, PyObject *frame)
{
    PyObject *message = opened(self, frame);
    if (message == NULL && !PyErr_Occurred()) {
        return PyObject_CallMethodOneArg(self->fields[INBOX], tell_name, frame);
    }
    PyObject *args[] = {message, Py_None};
    int outcome = message == NULL ? -1 : emit_message(self->fields[THIS_WORKER], args, 2);
    outcome = outcome < 0 ? -1 : emit_message(self->fields[PROCESS], args, 2);
    Py_XDECREF(message);
    /* What ends the deliverer does not end deliveries. */
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    set_slot(self->fields[INBOX], self->of_inbox[IS_DELIVERING], Py_NewRef(outcome < 0 ? Py_False : Py_True));
    PyErr_Restore(type, error, trace);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Inbox *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, INBOX_FIELDS, visit, arg);
}

static void
deallocate(Inbox *self)
{
    free_record((PyObject *)self, self->fields, INBOX_FIELDS);
}

static int
find_places(Inbox *self)
{
    static const char *const inbox[INBOX_SLOTS] = {"_is_paused", "_is_delivering", "_deliverer"},
                             *const arrived[ARRIVED_SLOTS] = {"bytes_waiting", "_dropping"}, *const line[] = {"decode"};
    PyObject **fields = self->fields;
    return find_slots((PyObject *)Py_TYPE(fields[INBOX]), inbox, self->of_inbox, INBOX_SLOTS) < 0
                   || find_slots((PyObject *)Py_TYPE(fields[ARRIVED]), arrived, self->of_arrived, ARRIVED_SLOTS) < 0
                   || find_slots((PyObject *)Py_TYPE(fields[LINE]), line, &self->decode, 1) < 0
               ? -1
               : 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"inbox", "table", "kind", "handler", "line", "arrived", "queue", "this_worker", "process",
                            "frame", "most_frames", "most_bytes", NULL};
    PyObject *given[INBOX_FIELDS];
    long most_frames, most_bytes;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OO!OOOOOOOOll:Inbox", names, &given[INBOX], &PyDict_Type,
                                        &given[TABLE], &given[KIND], &given[HANDLER], &given[LINE], &given[ARRIVED],
                                        &given[QUEUE], &given[THIS_WORKER], &given[PROCESS], &given[FRAME], &most_frames,
                                        &most_bytes)) {
        return NULL;
    }
    Inbox *self = (Inbox *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < INBOX_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->vectorcall = receive;
        self->most_frames = most_frames;
        self->most_bytes = most_bytes;
        if (find_places(self) < 0) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"slice_ended", (PyCFunction)slice_ended, METH_NOARGS, "slice_ended()\n--\n\nDeliver what has come."},
    {"take", (PyCFunction)take, METH_NOARGS, "take()\n--\n\nReturn the next message, None when there is none to deliver."},
    {"tell", (PyCFunction)tell, METH_O, "tell(frame)\n--\n\nTell it to handlers."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Inbox, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Inbox(...)(payload): receive a message; False: it is Python's to keep."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec inbox_spec = {
    .name = "nodecluster_compat._native.Inbox",
    .basicsize = sizeof(Inbox),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};
