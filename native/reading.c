/* Read a channel's frames and pass them on; twin of ChannelReader in messages/reader.py, for what is ordinary.

   A slice that the kernel gives without descriptors is cut here, frame by frame.  Its bytes are kept, with how far they
   were passed on, as what the reader has in its place for frames that wait for their turn.  Everything else is left to
   Python: a large frame that is under way, descriptors, an end, an error.  Both go on with the same decoder.

   The interpreter's lock is held throughout: the socket does not block, and a slice is 16 KiB. */

#define _GNU_SOURCE

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "frames.h"

#define SLICE_BYTES (16 * 1024)

enum { SOCK, ON_FRAME, ON_MESSAGE, ON_PUBLISHED, ON_SLICE, BURST, DECODER, ONLY, FRAMES, IS_FULL, HAS_STOPPED, READER_SLOTS };
enum { REST, PAYLOAD, MISSING, LIMIT, LARGE, KIND_OF_LARGE, DECODER_SLOTS };

/* What the readers of a process have in common. */
typedef struct {
    PyObject_HEAD
    PyObject *kinds[MOST_KINDS];
    PyObject *frame, *error;                     /* the classes Frame and FrameError */
    int carries[MOST_KINDS];                     /* whether a kind has a descriptor beside it */
    long most_frames;
    double seconds;
    Py_ssize_t reader[READER_SLOTS], decoder[DECODER_SLOTS], burst;
} Reading;

/* Bytes that have come, of which some were passed on. */
typedef struct {
    PyObject_HEAD
    PyObject *data;
    Py_ssize_t start;
    Py_ssize_t alone;                            /* up to here frames that publish are passed on one by one */
} Slice;

PyTypeObject *slice_type;

static PyObject *readable_name, *go_on_name, *deliver_name, *ended_name, *refusal_name, *descriptor_name, *fileno_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&readable_name, "readable"}, {&go_on_name, "go_on"},     {&deliver_name, "deliver"}, {&ended_name, "ended"},
        {&refusal_name, "refusal"},   {&descriptor_name, "with_descriptor"}, {&fileno_name, "fileno"},
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

static PyObject *
of_reader(Reading *self, PyObject *reader, int which)
{
    return get_slot(reader, self->reader[which]);
}

/* --- one frame ----------------------------------------------------------------------------------- */

/* Pass a frame on as the object that Python has for it. */
static int
pass_on_frame(Reading *self, PyObject *reader, int kind, PyObject *payload)
{
    PyObject *args[] = {self->kinds[kind], payload};
    PyObject *frame = PyObject_Vectorcall(self->frame, args, 2, NULL);
    if (frame != NULL && self->carries[kind]) {
        PyObject *bare = frame;
        frame = PyObject_CallMethodOneArg(reader, descriptor_name, bare);
        Py_DECREF(bare);
    }
    PyObject *call = frame == NULL ? NULL : Py_XNewRef(of_reader(self, reader, ON_FRAME));
    PyObject *done = call == NULL ? NULL : PyObject_CallOneArg(call, frame);
    Py_XDECREF(call);
    Py_XDECREF(frame);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Offer bytes to who takes them without a frame, if there is anybody; 1: they were taken. */
static int
offer_bytes(Reading *self, PyObject *reader, int to, PyObject *bytes)
{
    PyObject *call = Py_XNewRef(of_reader(self, reader, to));
    if (call == NULL || call == Py_None) {
        Py_XDECREF(call);
        return call == NULL ? -1 : 0;
    }
    PyObject *done = PyObject_CallOneArg(call, bytes);
    int taken = done == NULL ? -1 : done == Py_True;
    Py_DECREF(call);
    Py_XDECREF(done);
    return taken;
}

/* Pass one frame on; what its handler has found to be wrong ends the channel. */
static int
pass_on(Reading *self, PyObject *reader, const unsigned char *data, const Cut *cut)
{
    PyObject *payload = PyBytes_FromStringAndSize((const char *)data + cut->begin, cut->size);
    int taken = payload == NULL ? -1 : cut->kind == MESSAGE_KIND ? offer_bytes(self, reader, ON_MESSAGE, payload) : 0;
    if (taken == 0) {
        taken = pass_on_frame(self, reader, cut->kind, payload);
    }
    Py_XDECREF(payload);
    return taken < 0 ? -1 : 0;
}

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
    slice->start = stop; /* first: whoever takes it may look at what is left */
    int taken = run == NULL ? -1 : offer_bytes(self, reader, ON_PUBLISHED, run);
    Py_XDECREF(run);
    if (taken == 0) {
        slice->start = start;
        slice->alone = stop;
    }
    return taken > 0 ? count : taken;
}

/* An exception is set: a FrameError ends the channel, and no other is ours. */
static int
end_by_exception(Reading *self, PyObject *reader)
{
    if (!PyErr_ExceptionMatches(self->error)) {
        return -1;
    }
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    int outcome = call_method(reader, ended_name, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return outcome;
}

/* --- a slice ------------------------------------------------------------------------------------- */

static PyObject *
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

/* Leave to the decoder what is no whole frame: it becomes the beginning of what comes next. */
static int
leave_rest(Reading *self, PyObject *decoder, Slice *slice)
{
    const char *bytes = PyBytes_AS_STRING(slice->data) + slice->start;
    Py_ssize_t size = PyBytes_GET_SIZE(slice->data) - slice->start;
    slice->start += size;
    return set_slot(decoder, self->decoder[REST], PyBytes_FromStringAndSize(bytes, size));
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
    slice->start = PyBytes_GET_SIZE(slice->data);
    return set_slot(decoder, self->decoder[PAYLOAD], PyByteArray_FromStringAndSize(bytes, size)) < 0
                   || set_slot(decoder, self->decoder[KIND_OF_LARGE], Py_NewRef(self->kinds[cut->kind])) < 0
                   || set_slot(decoder, self->decoder[MISSING], PyLong_FromSsize_t(cut->size - size)) < 0
               ? -1
               : 0;
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

/* Pass on the next frame of a slice, or some: how many; 0: there is none any more; -1: with an exception. */
static int
pass_on_next(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice, long most)
{
    Cut cut;
    int count;
    long limit = get_number(decoder, self->decoder[LIMIT]);
    if (limit == -1 && PyErr_Occurred()) {
        return -1;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(slice->data);
    switch (cut_frame(data, slice->start, PyBytes_GET_SIZE(slice->data), self->kinds, limit, &cut)) {
    case WHOLE_FRAME:
        count = pass_on_run(self, reader, slice, &cut, limit, most);
        if (count != 0) {
            return count;
        }
        slice->start = cut.begin + cut.size;
        return pass_on(self, reader, data, &cut) < 0 ? -1 : 1;
    case PART_OF_FRAME:
        return leave_part(self, decoder, slice, &cut);
    case GARBAGE:
        return leave_rest(self, decoder, slice) < 0 ? -1 : refuse(decoder, &cut);
    default:
        return leave_rest(self, decoder, slice);
    }
}

/* Pass on as many frames of a slice as have their turn. */
static int
deliver_slice(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice)
{
    double until = monotonic() + self->seconds;
    for (long count = 0;;) {
        int more = pass_on_next(self, reader, decoder, slice, self->most_frames - count);
        count += more;
        if (more < 0) {
            return end_by_exception(self, reader);
        }
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

/* --- receiving ----------------------------------------------------------------------------------- */

/* A frame has come alone. */
static int
pass_on_only(Reading *self, PyObject *reader, PyObject *data, const Cut *cut)
{
    int taken = cut->kind == PUBLISH_KIND ? offer_bytes(self, reader, ON_PUBLISHED, data) : 0;
    if (taken < 0) {
        return -1;
    }
    if (taken == 0 && pass_on(self, reader, (const unsigned char *)PyBytes_AS_STRING(data), cut) < 0
        && end_by_exception(self, reader) < 0) {
        return -1;
    }
    PyObject *call = Py_XNewRef(of_reader(self, reader, ON_SLICE));
    PyObject *done = call == NULL ? NULL : call == Py_None ? Py_NewRef(call) : PyObject_CallNoArgs(call);
    Py_XDECREF(call);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Bytes have come, perhaps behind a rest: takes their reference. */
static int
take_bytes(Reading *self, PyObject *reader, PyObject *decoder, PyObject *data)
{
    Cut cut;
    long limit = get_number(decoder, self->decoder[LIMIT]);
    if (limit == -1 && PyErr_Occurred()) {
        Py_DECREF(data);
        return -1;
    }
    int found = cut_frame((const unsigned char *)PyBytes_AS_STRING(data), 0, PyBytes_GET_SIZE(data), self->kinds, limit, &cut);
    if (found == WHOLE_FRAME && cut.begin + cut.size == PyBytes_GET_SIZE(data)) {
        int outcome = pass_on_only(self, reader, data, &cut);
        Py_DECREF(data);
        return outcome;
    }
    if (set_slot(reader, self->reader[FRAMES], new_slice(data)) < 0) {
        return -1;
    }
    return call_method(reader, go_on_name, NULL);
}

/* Leave bytes that came with descriptors to Python. */
static int
leave_with_descriptors(PyObject *reader, const char *bytes, Py_ssize_t size, struct cmsghdr *first)
{
    PyObject *done = PyObject_CallMethod(reader, "came", "y#[(iiy#)]", bytes, size, first->cmsg_level, first->cmsg_type,
                                         (char *)CMSG_DATA(first), (Py_ssize_t)(first->cmsg_len - CMSG_LEN(0)));
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Put bytes behind the beginning of a frame that came before, and take both. */
static int
take_behind_rest(Reading *self, PyObject *reader, PyObject *decoder, const char *bytes, Py_ssize_t size)
{
    PyObject *rest = get_slot(decoder, self->decoder[REST]);
    if (rest == NULL || !PyBytes_CheckExact(rest)) {
        if (rest != NULL) {
            PyErr_BadInternalCall();
        }
        return -1;
    }
    Py_ssize_t before = PyBytes_GET_SIZE(rest);
    PyObject *data = PyBytes_FromStringAndSize(NULL, before + size);
    if (data == NULL) {
        return -1;
    }
    memcpy(PyBytes_AS_STRING(data), PyBytes_AS_STRING(rest), (size_t)before);
    memcpy(PyBytes_AS_STRING(data) + before, bytes, (size_t)size);
    if (before != 0 && set_slot(decoder, self->decoder[REST], PyBytes_FromStringAndSize(NULL, 0)) < 0) {
        Py_DECREF(data);
        return -1;
    }
    return take_bytes(self, reader, decoder, data);
}

/* Note that the other side has spoken, and whether there may be more. */
static int
note_arrival(Reading *self, PyObject *reader, Py_ssize_t size)
{
    PyObject *burst = of_reader(self, reader, BURST);
    return burst == NULL || set_slot(burst, self->burst, PyLong_FromLong(0)) < 0
                   || set_slot(reader, self->reader[IS_FULL], PyBool_FromLong(size == SLICE_BYTES)) < 0
               ? -1
               : 0;
}

/* Receive one slice from the kernel. */
static int
receive(Reading *self, PyObject *reader, PyObject *decoder, int fd)
{
    static char bytes[SLICE_BYTES];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec where = {bytes, SLICE_BYTES};
    struct msghdr message = {
        .msg_iov = &where, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    Py_ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    if (size <= 0) {
        return call_method(reader, readable_name, NULL);
    }
    if (note_arrival(self, reader, size) < 0) {
        return -1;
    }
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    return first != NULL ? leave_with_descriptors(reader, bytes, size, first)
                         : take_behind_rest(self, reader, decoder, bytes, size);
}

static int
fileno_of(PyObject *sock)
{
    PyObject *number = PyObject_CallMethodNoArgs(sock, fileno_name);
    int fd = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    return fd;
}

/* Whether nothing is under way that Python has begun. */
static int
is_ordinary(Reading *self, PyObject *reader, PyObject *decoder)
{
    return of_reader(self, reader, FRAMES) == Py_None && of_reader(self, reader, ONLY) == Py_None
           && of_reader(self, reader, HAS_STOPPED) == Py_False
           && get_slot(decoder, self->decoder[PAYLOAD]) == Py_None;
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
    if (!is_ordinary(self, reader, decoder)) {
        outcome = PyErr_Occurred() ? -1 : call_method(reader, readable_name, NULL);
    }
    else {
        int fd = fileno_of(sock);
        outcome = fd < 0 && PyErr_Occurred() ? -1 : receive(self, reader, decoder, fd);
    }
    Py_DECREF(decoder);
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- its life ------------------------------------------------------------------------------------ */

static void
free_reading(Reading *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_fields(self->kinds, MOST_KINDS);
    Py_XDECREF(self->frame);
    Py_XDECREF(self->error);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
traverse(Reading *self, visitproc visit, void *arg)
{
    Py_VISIT(self->frame);
    Py_VISIT(self->error);
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
        "_sock", "_on_frame", "on_message", "on_published", "_on_slice", "_burst", "_decoder", "_only", "_frames", "_is_full", "_has_stopped",
    };
    static const char *const of_decoder[DECODER_SLOTS] = {"_rest", "_payload", "missing", "_limit", "_large", "_kind"};
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
    static char *names[] = {"reader", "decoder", "burst", "frame", "error", "kinds", "carrying", "frames", "seconds", NULL};
    PyObject *reader, *decoder, *burst, *frame, *error, *kinds, *carrying;
    long most_frames;
    double seconds;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "OOOOOO!Old:Reading", names, &reader, &decoder, &burst, &frame, &error,
                                        &PyTuple_Type, &kinds, &carrying, &most_frames, &seconds)) {
        return NULL;
    }
    Reading *self = (Reading *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->frame = Py_NewRef(frame);
    self->error = Py_NewRef(error);
    self->most_frames = most_frames;
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
