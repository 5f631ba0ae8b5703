/* Receive what is missing of a large frame; twin of _receive_large() in messages/frame_receiver.py.

   The kernel writes it into the payload itself, behind what has come.  A bytearray may have more room than it shows, so
   there is room for as much again as has come, and for a mebibyte at least, but never for more than was announced: pages
   that nothing was written to take no memory.  Nothing that has come is moved for each slice, and nothing is allocated
   once a slice has come, so none of it is lost where memory is short. */

#include "reading.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LARGE_SLICE_BYTES (256 * 1024)
#define LEAST_ROOM (1024 * 1024)

typedef struct {
    PyObject *payload;
    Py_ssize_t come, missing;
    long kind;
} Large;

static PyObject *readable_name;

int
prepare_receiving_large(void)
{
    static const Name names[] = {
        {&readable_name, "readable"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Where its bytes begin.  PyByteArray_AS_STRING says that of what it shows alone: of nothing, the interpreter's own empty
   text, whatever room there is. */
static char *
bytes_of(const Large *large)
{
    return ((PyByteArrayObject *)large->payload)->ob_start;
}

/* --- room -------------------------------------------------------------------------------------- */

/* How many bytes a payload has room for behind those that have come; the last byte is its end's. */
static Py_ssize_t
room_of(const Large *large)
{
    return ((PyByteArrayObject *)large->payload)->ob_alloc - 1 - large->come;
}

/* Say how much of its room a payload shows. */
static void
show(const Large *large, Py_ssize_t size)
{
    Py_SET_SIZE(large->payload, size);
    bytes_of(large)[size] = '\0';
}

/* Have malloc keep the memory of large messages, as the twin does. */
static int
keep_memory(Reading *self, const Large *large)
{
    if (large->missing < self->least_kept) {
        return 0;
    }
    PyObject *missing = PyLong_FromSsize_t(large->missing);
    PyObject *done = missing == NULL ? NULL : PyObject_CallOneArg(self->keep_memory, missing);
    Py_XDECREF(missing);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
make_room(Reading *self, const Large *large)
{
    if (keep_memory(self, large) < 0) {
        return -1;
    }
    if (room_of(large) > 0) {
        return 0;
    }
    Py_ssize_t more = Py_MIN(large->missing, Py_MAX(large->come, LEAST_ROOM));
    if (PyByteArray_Resize(large->payload, large->come + more) < 0) {
        return -1;
    }
    show(large, large->come);
    return 0;
}

/* --- from the kernel --------------------------------------------------------------------------- */

/* Look at the frame that is under way; 0: it is Python's to read. */
static int
find_large(Reading *self, PyObject *decoder, Large *large)
{
    large->payload = get_slot(decoder, self->decoder[PAYLOAD]);
    long size = get_number(decoder, self->decoder[SIZE_OF_LARGE]);
    large->kind = get_number(decoder, self->decoder[KIND_OF_LARGE]);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!PyByteArray_CheckExact(large->payload) || self->carries[large->kind]) {
        return 0; /* a descriptor is taken when its frame is whole, and not before */
    }
    if (bytes_of(large) != ((PyByteArrayObject *)large->payload)->ob_bytes) {
        return 0; /* somebody has cut off its begin, so its room is another */
    }
    large->come = PyByteArray_GET_SIZE(large->payload);
    large->missing = size - large->come;
    return large->missing > 0;
}

/* Let the kernel write behind what has come. */
static Py_ssize_t
receive_behind(const Large *large, int fd, struct msghdr *message)
{
    Py_ssize_t most = Py_MIN(Py_MIN(room_of(large), large->missing), LARGE_SLICE_BYTES);
    struct iovec where = {bytes_of(large) + large->come, (size_t)most};
    message->msg_iov = &where;
    message->msg_iovlen = 1;
    Py_ssize_t size = recvmsg(fd, message, MSG_CMSG_CLOEXEC);
    message->msg_iov = NULL;
    message->msg_iovlen = 0;
    if (size > 0) {
        show(large, large->come + size);
    }
    return size;
}

/* Pass on a frame that is complete. */
static int
pass_on_large(Reading *self, PyObject *reader, PyObject *decoder, PyObject *frame)
{
    set_slot(decoder, self->decoder[PAYLOAD], Py_NewRef(Py_None));
    if (pass_on_frame(self, reader, frame) < 0 && end_by_exception(self, reader) < 0) {
        return -1;
    }
    return end_slice(self, reader);
}

/* Receive one slice; `frame` is what it may complete. */
static int
receive_part(Reading *self, PyObject *reader, PyObject *decoder, const Large *large, PyObject *frame, int fd)
{
    Control control;
    struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof control.bytes};
    Py_ssize_t size = receive_behind(large, fd, &message);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    if (size <= 0) {
        return call_method(reader, readable_name, NULL);
    }
    if (CMSG_FIRSTHDR(&message) != NULL && keep_descriptors(self, reader, &message) < 0) {
        return end_by_exception(self, reader);
    }
    if (note_arrival(self, reader, 0) < 0) {
        return -1;
    }
    return size < large->missing ? 0 : pass_on_large(self, reader, decoder, frame);
}

/* Receive one slice of the large frame that is under way. */
int
receive_large(Reading *self, PyObject *reader, PyObject *decoder, int fd)
{
    Large large;
    int found = find_large(self, decoder, &large);
    if (found <= 0) {
        return found < 0 ? -1 : call_method(reader, readable_name, NULL);
    }
    PyObject *payload = Py_NewRef(large.payload);
    PyObject *frame = make_room(self, &large) < 0 ? NULL : make_frame(self, reader, (int)large.kind, payload);
    int outcome = frame == NULL ? -1 : receive_part(self, reader, decoder, &large, frame, fd);
    Py_XDECREF(frame);
    Py_DECREF(payload);
    return outcome;
}
