/* Read a channel's frames and pass them on; twin of ChannelReader in messages/reader.py, for what is ordinary.

   A slice that the kernel gives is cut here, frame by frame.  Its bytes are kept, with how far they were passed on, as what
   the reader has in its place for frames that wait for their turn.  Everything else is left to Python: an end, an error, a
   large frame that has a descriptor.  Both go on with the same decoder.

   The interpreter's lock is held throughout: the socket does not block, and a slice is 16 KiB.

   This file has what the readers of a process share; receiving.c receives a slice, reading_slices.c cuts it,
   reading_frames.c passes a frame on, and receiving_large.c receives what is missing of a large one. */

#include "reading.h"

static PyObject *readable_name, *deliver_name, *fileno_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&readable_name, "readable"},
        {&deliver_name, "deliver"},
        {&fileno_name, "fileno"},
    };
    return make_names(names, COUNT_OF(names)) < 0 || prepare_frames() < 0 || prepare_slices() < 0
                   || prepare_receiving_frames() < 0
               ? -1
               : prepare_receiving_large();
}

/* --- what a loop calls ------------------------------------------------------------------------- */

/* deliver(reader): pass received frames on, as many as one slice has. */
static PyObject *
deliver(Reading *self, PyObject *reader)
{
    PyObject *frames = of_reader(self, reader, FRAMES), *decoder = of_reader(self, reader, DECODER);
    if (frames == NULL || decoder == NULL) {
        return NULL;
    }
    if (!Py_IS_TYPE(frames, slice_type)) {
        return PyObject_CallMethodNoArgs(reader, deliver_name);
    }
    Py_INCREF(frames);
    Py_INCREF(decoder);
    int outcome = deliver_slice(self, reader, decoder, (Slice *)frames);
    Py_DECREF(frames);
    Py_DECREF(decoder);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

static int
fileno_of(PyObject *sock)
{
    PyObject *number = PyObject_CallMethodNoArgs(sock, fileno_name);
    int fd = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    return fd;
}

/* Whether nothing waits for its turn. */
static int
is_ordinary(Reading *self, PyObject *reader)
{
    return of_reader(self, reader, FRAMES) == Py_None && of_reader(self, reader, ONLY) == Py_None
           && of_reader(self, reader, HAS_STOPPED) == Py_False;
}

/* Receive a slice: of a large frame, if one is under way. */
static int
receive(Reading *self, PyObject *reader, PyObject *decoder, int fd)
{
    PyObject *payload = get_slot(decoder, self->decoder[PAYLOAD]);
    if (payload == NULL) {
        return -1;
    }
    return payload == Py_None ? receive_slice(self, reader, decoder, fd) : receive_large(self, reader, decoder, fd);
}

/* readable(reader): the socket has something to read. */
static PyObject *
readable(Reading *self, PyObject *reader)
{
    PyObject *decoder = Py_XNewRef(of_reader(self, reader, DECODER)), *sock = of_reader(self, reader, SOCK);
    if (decoder == NULL || sock == NULL) {
        Py_XDECREF(decoder);
        return NULL;
    }
    int outcome;
    if (!is_ordinary(self, reader)) {
        outcome = PyErr_Occurred() ? -1 : call_method(reader, readable_name, NULL);
    }
    else {
        int fd = fileno_of(sock);
        outcome = fd < 0 && PyErr_Occurred() ? -1 : receive(self, reader, decoder, fd);
    }
    Py_DECREF(decoder);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- its life ---------------------------------------------------------------------------------- */

static void
free_reading(Reading *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_fields(self->kinds, MOST_KINDS);
    Py_XDECREF(self->frame);
    Py_XDECREF(self->error);
    Py_XDECREF(self->keep_memory);
    type->tp_free(self);
    Py_DECREF(type);
}

/* No tp_clear: all is set once (records.c). */
static int
traverse(Reading *self, visitproc visit, void *arg)
{
    Py_VISIT(self->frame);
    Py_VISIT(self->error);
    Py_VISIT(self->keep_memory);
    return visit_fields((PyObject *)self, self->kinds, MOST_KINDS, visit, arg);
}

/* Note a kind by its number. */
static int
take_kind(Reading *self, PyObject *kind, PyObject *carrying)
{
    long number = PyLong_AsLong(kind);
    if (number < 0 || number >= MOST_KINDS) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "expected kinds of one byte");
        }
        return -1;
    }
    set_field(&self->kinds[number], Py_NewRef(kind));
    self->carries[number] = PySequence_Contains(carrying, kind);
    return self->carries[number] < 0 ? -1 : 0;
}

static int
take_kinds(Reading *self, PyObject *kinds, PyObject *carrying)
{
    int outcome = 0;
    for (Py_ssize_t place = 0; outcome == 0 && place < PyTuple_GET_SIZE(kinds); place++) {
        outcome = take_kind(self, PyTuple_GET_ITEM(kinds, place), carrying);
    }
    return outcome;
}

static int
find_places(Reading *self, PyObject *reader, PyObject *decoder, PyObject *burst)
{
    static const char *const of_readers[READER_SLOTS] = {
        "_sock", "_on_frame", "on_message", "on_published", "on_slice", "_burst", "_decoder", "_only", "_frames", "_is_full", "_has_stopped", "_descriptors",
    };
    static const char *const of_decoder[DECODER_SLOTS] = {"_rest", "_payload", "_size", "_limit", "_large", "_kind"};
    static const char *const of_burst[] = {"frames"};
    return find_slots(reader, of_readers, self->reader, READER_SLOTS) < 0
                   || find_slots(decoder, of_decoder, self->decoder, DECODER_SLOTS) < 0
                   || find_slots(burst, of_burst, &self->burst, 1) < 0
               ? -1
               : 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"reader", "decoder", "burst", "frame", "error", "kinds", "carrying", "frames", "descriptors", "seconds",
                            "keep_memory", "least_kept", NULL};
    PyObject *reader, *decoder, *burst, *frame, *error, *kinds, *carrying, *keep_memory;
    long most_frames, most_descriptors, least_kept;
    double seconds;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOOOO!OlldOl:Reading", names, &reader, &decoder, &burst, &frame, &error,
                                        &PyTuple_Type, &kinds, &carrying, &most_frames, &most_descriptors, &seconds,
                                        &keep_memory, &least_kept)) {
        return NULL;
    }
    Reading *self = (Reading *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->frame = Py_NewRef(frame);
    self->error = Py_NewRef(error);
    self->keep_memory = Py_NewRef(keep_memory);
    self->least_kept = least_kept;
    self->most_frames = most_frames;
    self->most_descriptors = most_descriptors;
    self->seconds = seconds;
    if (take_kinds(self, kinds, carrying) < 0 || find_places(self, reader, decoder, burst) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"readable", (PyCFunction)readable, METH_O, "readable(reader)\n--\n\nRead a slice of a channel, and pass on what is in it."},
    {"deliver", (PyCFunction)deliver, METH_O, "deliver(reader)\n--\n\nPass on received frames, as many as one slice has."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What the readers of a process have in common."},
    {Py_tp_new, create},
    {Py_tp_dealloc, free_reading},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec reading_spec = {
    .name = "nodecluster_compat._native.Reading",
    .basicsize = sizeof(Reading),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
