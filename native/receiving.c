/* Receive a slice of a channel from the kernel, and take what is in it; twin of readable() in messages/reader.py.

   Nearly always one frame has come alone, and is passed on without a slice around it.  An end and an error are left to
   Python. */

#include "reading.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOM_BYTES (2 * SLICE_BYTES) /* the rest is shorter than a large frame */

static PyObject *readable_name, *go_on_name, *append_name, *check_name;

int
prepare_receiving_frames(void)
{
    static const Name names[] = {
        {&readable_name, "readable"},
        {&go_on_name, "go_on"},
        {&append_name, "append"},
        {&check_name, "check_descriptors"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- bytes ------------------------------------------------------------------------------------- */

/* All that has come together was passed on. */
int
end_slice(Reading *self, PyObject *reader)
{
    PyObject *call = Py_XNewRef(of_reader(self, reader, ON_SLICE));
    PyObject *done = call == NULL ? NULL : call == Py_None ? Py_NewRef(call) : PyObject_CallNoArgs(call);
    Py_XDECREF(call);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* A frame has come alone. */
static int
pass_on_only(Reading *self, PyObject *reader, PyObject *data, const Cut *cut)
{
    int taken = cut->kind == PUBLISH_KIND ? offer_bytes(self, reader, ON_PUBLISHED, data) : 0;
    if (taken < 0) {
        return -1;
    }
    if (taken == 0 && pass_on(self, reader, (const unsigned char *)PyBytes_AS_STRING(data), cut, NULL) < 0
        && end_by_exception(self, reader) < 0) {
        return -1;
    }
    return end_slice(self, reader);
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
    if (set_slot(reader, self->reader[FRAMES], new_slice(Py_NewRef(data))) < 0) {
        set_slot(decoder, self->decoder[REST], data); /* what comes next brings it with it */
        return -1;
    }
    Py_DECREF(data);
    return call_method(reader, go_on_name, NULL);
}

/* --- descriptors --------------------------------------------------------------------------------- */

/* Keep a descriptor until its frame is there.  Where that cannot be noted it is closed, and the frame has None. */
static void
keep_descriptor(PyObject *kept, int fd)
{
    PyObject *number = PyLong_FromLong(fd), *one = number == NULL ? Py_None : number;
    PyErr_Clear();
    PyObject *done = PyObject_CallMethodOneArg(kept, append_name, one);
    if (number == NULL || done == NULL) {
        close(fd);
        PyErr_Clear();
    }
    Py_XDECREF(number);
    Py_XDECREF(done);
}

/* Keep all that came; too many end the channel. */
int
keep_descriptors(Reading *self, PyObject *reader, struct msghdr *message)
{
    PyObject *kept = Py_XNewRef(of_reader(self, reader, DESCRIPTORS));
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); kept != NULL && one != NULL; one = CMSG_NXTHDR(message, one)) {
        size_t count = one->cmsg_level == SOL_SOCKET && one->cmsg_type == SCM_RIGHTS ? (one->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t number = 0; number < count; number++) {
            int fd;
            memcpy(&fd, CMSG_DATA(one) + number * sizeof fd, sizeof fd);
            keep_descriptor(kept, fd);
        }
    }
    Py_ssize_t count = kept == NULL ? -1 : PyObject_Size(kept);
    Py_XDECREF(kept);
    return count > self->most_descriptors ? call_method(reader, check_name, NULL) : count < 0 ? -1 : 0;
}

/* --- from the kernel --------------------------------------------------------------------------- */

/* Behind the rest of what came before, the kernel writes into bytes that were made before: so nothing that has come is
   lost where there is no memory for it. */
static PyObject *room;

static int
has_room(Py_ssize_t before)
{
    room = room != NULL ? room : PyBytes_FromStringAndSize(NULL, ROOM_BYTES);
    return room != NULL && before <= ROOM_BYTES - SLICE_BYTES;
}

/* Return so many bytes of the room: a copy, or itself where there is no memory for one. */
static PyObject *
take_from_room(Py_ssize_t size)
{
    PyObject *data = PyBytes_FromStringAndSize(PyBytes_AS_STRING(room), size);
    if (data == NULL) {
        PyErr_Clear();
        data = room;
        room = NULL;
        Py_SET_SIZE(data, size);
        PyBytes_AS_STRING(data)[size] = '\0';
    }
    return data;
}

/* Note that the other side has spoken, and whether there may be more. */
int
note_arrival(Reading *self, PyObject *reader, Py_ssize_t size)
{
    PyObject *burst = of_reader(self, reader, BURST);
    return burst == NULL || set_slot(burst, self->burst, PyLong_FromLong(0)) < 0
                   || set_slot(reader, self->reader[IS_FULL], PyBool_FromLong(size == SLICE_BYTES)) < 0
               ? -1
               : 0;
}

/* Take what has come out of the room, with the rest before it. */
static PyObject *
take_with_rest(Reading *self, PyObject *decoder, PyObject *rest, Py_ssize_t size)
{
    Py_ssize_t before = PyBytes_GET_SIZE(rest);
    memcpy(PyBytes_AS_STRING(room), PyBytes_AS_STRING(rest), (size_t)before);
    PyObject *data = take_from_room(before + size);
    if (before != 0 && set_slot(decoder, self->decoder[REST], PyBytes_FromStringAndSize(NULL, 0)) < 0) {
        Py_CLEAR(data);
    }
    return data;
}

/* Receive one slice from the kernel, behind the rest of what came before. */
static int
receive_behind(Reading *self, PyObject *reader, PyObject *decoder, PyObject *rest, int fd)
{
    Control control;
    struct iovec where = {PyBytes_AS_STRING(room) + PyBytes_GET_SIZE(rest), SLICE_BYTES};
    struct msghdr message = {
        .msg_iov = &where, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    Py_ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    if (size <= 0) {
        return call_method(reader, readable_name, NULL);
    }
    PyObject *data = take_with_rest(self, decoder, rest, size); /* first: nothing else is to read meanwhile */
    if (CMSG_FIRSTHDR(&message) != NULL && keep_descriptors(self, reader, &message) < 0) {
        Py_XDECREF(data);
        return end_by_exception(self, reader);
    }
    if (data == NULL || note_arrival(self, reader, size) < 0) {
        Py_XDECREF(data);
        return -1;
    }
    return take_bytes(self, reader, decoder, data);
}

/* Receive one slice. */
int
receive_slice(Reading *self, PyObject *reader, PyObject *decoder, int fd)
{
    PyObject *rest = get_slot(decoder, self->decoder[REST]);
    if (rest == NULL || !PyBytes_CheckExact(rest)) {
        if (rest != NULL) {
            PyErr_BadInternalCall();
        }
        return -1;
    }
    if (!has_room(PyBytes_GET_SIZE(rest))) {
        return PyErr_Occurred() ? -1 : call_method(reader, readable_name, NULL);
    }
    Py_INCREF(rest);
    int outcome = receive_behind(self, reader, decoder, rest, fd);
    Py_DECREF(rest);
    return outcome;
}
