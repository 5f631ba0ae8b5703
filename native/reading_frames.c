/* Pass on what was read: one frame, as bytes where somebody takes those, and otherwise as the object that Python has for
   it; twin of what ChannelReader in messages/reader.py does with a frame. */

#include "reading.h"

#include <unistd.h>

static PyObject *popleft_name, *ended_name;

int
prepare_frames(void)
{
    static const Name names[] = {
        {&popleft_name, "popleft"},
        {&ended_name, "ended"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- its descriptor ------------------------------------------------------------------------------ */

/* Take the descriptor that came beside a frame; None: there was no room for it. */
static PyObject *
take_descriptor(Reading *self, PyObject *reader)
{
    PyObject *kept = of_reader(self, reader, DESCRIPTORS);
    Py_ssize_t count = kept == NULL ? -1 : PyObject_Size(kept);
    return count <= 0 ? count < 0 ? NULL : Py_NewRef(Py_None) : PyObject_CallMethodNoArgs(kept, popleft_name);
}

/* An exception is set, and nobody gets a descriptor. */
static void
close_taken(PyObject *descriptor)
{
    if (descriptor != NULL && descriptor != Py_None) {
        close((int)PyLong_AsLong(descriptor));
    }
}

/* The payload of a frame cannot be made: its descriptor is not the next one's. */
static void
drop_descriptor(Reading *self, PyObject *reader)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyObject *descriptor = take_descriptor(self, reader);
    close_taken(descriptor);
    Py_XDECREF(descriptor);
    PyErr_Restore(type, error, trace);
}

/* --- the frame ----------------------------------------------------------------------------------- */

/* Make the object that Python has for a frame. */
PyObject *
make_frame(Reading *self, PyObject *reader, int kind, PyObject *payload)
{
    PyObject *args[] = {self->kinds[kind], payload, NULL};
    if (!self->carries[kind]) {
        return PyObject_Vectorcall(self->frame, args, 2, NULL);
    }
    args[2] = take_descriptor(self, reader);
    PyObject *frame = args[2] == NULL ? NULL : PyObject_Vectorcall(self->frame, args, 3, NULL);
    if (frame == NULL) {
        close_taken(args[2]);
    }
    Py_XDECREF(args[2]);
    return frame;
}

/* Pass a frame on as that. */
int
pass_on_frame(Reading *self, PyObject *reader, PyObject *frame)
{
    PyObject *call = Py_XNewRef(of_reader(self, reader, ON_FRAME));
    PyObject *done = call == NULL ? NULL : PyObject_CallOneArg(call, frame);
    Py_XDECREF(call);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Make a frame of a payload, and pass it on. */
static int
pass_on_payload(Reading *self, PyObject *reader, int kind, PyObject *payload)
{
    PyObject *frame = make_frame(self, reader, kind, payload);
    int outcome = frame == NULL ? -1 : pass_on_frame(self, reader, frame);
    Py_XDECREF(frame);
    return outcome;
}

/* Offer bytes to who takes them without a frame, if there is anybody; 1: they were taken. */
int
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

/* Pass one frame on; what its handler has found to be wrong ends the channel.  `keeper` may keep an origin. */
int
pass_on(Reading *self, PyObject *reader, const unsigned char *data, const Cut *cut, const void *keeper)
{
    PyObject *payload = PyBytes_FromStringAndSize((const char *)data + cut->begin, cut->size);
    int taken = payload == NULL ? -1 : cut->kind == MESSAGE_KIND ? offer_bytes(self, reader, ON_MESSAGE, payload) : 0;
    if (taken == 0) {
        release_origin(keeper);
        taken = pass_on_payload(self, reader, cut->kind, payload);
    }
    if (payload == NULL && self->carries[cut->kind]) {
        drop_descriptor(self, reader);
    }
    Py_XDECREF(payload);
    return taken < 0 ? -1 : 0;
}

/* An exception is set: a FrameError ends the channel, and no other is ours. */
int
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
