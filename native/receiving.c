/* Receive a slice of a channel from the kernel, and take what is in it; twin of readable() in messages/reader.py.

   Nearly always one frame has come alone, and is passed on without a slice around it.  Descriptors, an end and an error are
   left to Python. */

#include "reading.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static PyObject *readable_name, *go_on_name;

int
prepare_receiving_frames(void)
{
    static const Name names[] = {
        {&readable_name, "readable"},
        {&go_on_name, "go_on"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- bytes ------------------------------------------------------------------------------------- */

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

/* --- from the kernel --------------------------------------------------------------------------- */

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
int
receive_slice(Reading *self, PyObject *reader, PyObject *decoder, int fd)
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
