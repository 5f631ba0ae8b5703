/* Cut a received slice into frames, as many as have their turn; twin of deliver() in messages/reader.py.

   The reader keeps a slice among its frames that wait, with how far it was passed on.  A part of a frame goes to the
   decoder, which Python uses, too.  Frames that publish are offered together, as long as one follows another. */

#include "reading.h"

#include <time.h>

PyTypeObject *slice_type;

static PyObject *refusal_name;

int
prepare_slices(void)
{
    static const Name names[] = {
        {&refusal_name, "refusal"},
    };
    return make_names(names, COUNT_OF(names));
}

static double
monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- what is no whole frame -------------------------------------------------------------------- */

/* Leave to the decoder what is no whole frame: it becomes the beginning of what comes next. */
static int
leave_rest(Reading *self, PyObject *decoder, Slice *slice)
{
    const char *bytes = PyBytes_AS_STRING(slice->data) + slice->start;
    Py_ssize_t size = PyBytes_GET_SIZE(slice->data) - slice->start;
    if (set_slot(decoder, self->decoder[REST], PyBytes_FromStringAndSize(bytes, size)) < 0) {
        return -1; /* it has its turn again */
    }
    slice->start += size;
    return 0;
}

/* The beginning of a large frame is collected in its own buffer, by Python. */
static int
leave_part(Reading *self, PyObject *decoder, Slice *slice, const Cut *cut)
{
    long large = get_number(decoder, self->decoder[LARGE]);
    if (large == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (cut->size < large) {
        return leave_rest(self, decoder, slice);
    }
    const char *bytes = PyBytes_AS_STRING(slice->data) + cut->begin;
    Py_ssize_t size = PyBytes_GET_SIZE(slice->data) - cut->begin;
    PyObject *whole = PyLong_FromLongLong(cut->size);
    if (whole == NULL || set_slot(decoder, self->decoder[PAYLOAD], PyByteArray_FromStringAndSize(bytes, size)) < 0) {
        Py_XDECREF(whole);
        return -1; /* as above */
    }
    slice->start = PyBytes_GET_SIZE(slice->data);
    set_slot(decoder, self->decoder[KIND_OF_LARGE], Py_NewRef(self->kinds[cut->kind]));
    return set_slot(decoder, self->decoder[SIZE_OF_LARGE], whole);
}

/* Raise what the decoder says of such a header. */
static int
refuse(PyObject *decoder, const Cut *cut)
{
    PyObject *size = PyLong_FromLongLong(cut->size), *kind = PyLong_FromLong(cut->kind), *error = NULL;
    if (size != NULL && kind != NULL) {
        error = PyObject_CallMethodObjArgs(decoder, refusal_name, size, kind, NULL);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    Py_XDECREF(size);
    Py_XDECREF(kind);
    Py_XDECREF(error);
    return -1;
}

/* --- what is ----------------------------------------------------------------------------------- */

/* Offer a frame that publishes, and those of its kind that follow it, together; return how many were taken. */
static int
pass_on_run(Reading *self, PyObject *reader, Slice *slice, const Cut *first, long limit, long most)
{
    PyObject *call = of_reader(self, reader, ON_PUBLISHED);
    if (call == NULL || call == Py_None || first->kind != PUBLISH_KIND || slice->start < slice->alone) {
        return call == NULL ? -1 : 0;
    }
    Cut all = *first;
    int count = count_run((const unsigned char *)PyBytes_AS_STRING(slice->data), PyBytes_GET_SIZE(slice->data), limit, most, &all);
    Py_ssize_t start = slice->start, stop = all.begin + (Py_ssize_t)all.size;
    PyObject *run = PyBytes_FromStringAndSize(PyBytes_AS_STRING(slice->data) + start, stop - start);
    if (run == NULL) {
        return -1;
    }
    slice->start = stop; /* first: whoever takes it may look at what is left */
    release_origin(slice);
    int taken = offer_bytes(self, reader, ON_PUBLISHED, run);
    Py_DECREF(run);
    if (taken == 0) {
        slice->start = start;
        slice->alone = stop;
    }
    return taken > 0 ? count : taken;
}

/* Pass on a whole frame, or a run that it begins: how many. */
static int
pass_on_whole(Reading *self, PyObject *reader, Slice *slice, const Cut *cut, long limit, long most)
{
    int count = pass_on_run(self, reader, slice, cut, limit, most);
    if (count != 0) {
        return count;
    }
    slice->start = cut->begin + cut->size;
    return pass_on(self, reader, (const unsigned char *)PyBytes_AS_STRING(slice->data), cut, slice) < 0 ? -1 : 1;
}

/* Pass on the next frame of a slice, or some: how many; 0: there is none any more; -1: with an exception. */
static int
pass_on_next(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice, long most)
{
    Cut cut;
    long limit = get_number(decoder, self->decoder[LIMIT]);
    if (limit == -1 && PyErr_Occurred()) {
        return -1;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(slice->data);
    switch (cut_frame(data, slice->start, PyBytes_GET_SIZE(slice->data), self->kinds, limit, &cut)) {
    case WHOLE_FRAME:
        return pass_on_whole(self, reader, slice, &cut, limit, most);
    case PART_OF_FRAME:
        return leave_part(self, decoder, slice, &cut);
    case GARBAGE:
        return leave_rest(self, decoder, slice) < 0 ? -1 : refuse(decoder, &cut);
    default:
        return leave_rest(self, decoder, slice);
    }
}

/* As deliver_slice(). */
static int
deliver_frames(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice)
{
    double until = monotonic() + self->seconds;
    look_for_origins();
    for (long count = 0;;) {
        int more = pass_on_next(self, reader, decoder, slice, self->most_frames - count);
        count += more;
        if (more < 0) {
            release_origin(slice);
            return end_by_exception(self, reader);
        }
        keep_origin(slice);
        if (more == 0) {
            return set_slot(reader, self->reader[FRAMES], Py_NewRef(Py_None));
        }
        PyObject *stopped = of_reader(self, reader, HAS_STOPPED);
        if (stopped == NULL) {
            return -1;
        }
        if (stopped != Py_False || count >= self->most_frames || monotonic() > until) {
            return 0;
        }
    }
}

/* Pass on as many frames of a slice as have their turn; the handlers of their messages mostly have one origin. */
int
deliver_slice(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice)
{
    int result = deliver_frames(self, reader, decoder, slice);
    release_origin(slice);
    return result;
}

/* --- its life ---------------------------------------------------------------------------------- */

PyObject *
new_slice(PyObject *data)
{
    Slice *slice = data == NULL ? NULL : (Slice *)slice_type->tp_alloc(slice_type, 0);
    if (slice != NULL) {
        slice->data = data;
    }
    else {
        Py_XDECREF(data);
    }
    return (PyObject *)slice;
}

static void
free_slice(Slice *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->data);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slots_of_slice[] = {
    {Py_tp_doc, "Bytes that have come, of which some frames were passed on."},
    {Py_tp_dealloc, free_slice},
    {0, NULL},
};

PyType_Spec slice_spec = {
    .name = "nodecluster_compat._native.Slice",
    .basicsize = sizeof(Slice),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots_of_slice,
};
