/* Write a small frame, or what was collected, in one call; twin of what ChannelWriter in messages/writer.py does for them.

   Whatever the kernel does not take at once is Python's to go on with. */

#include "writing.h"

#include <string.h>
#include <sys/socket.h>

static PyObject *written_name, *fileno_name, *write_name, *put_name;

int
prepare_write_calls(void)
{
    static const Name names[] = {
        {&written_name, "written"},
        {&fileno_name, "fileno"},
        {&write_name, "write_now"},
        {&put_name, "put"},
    };
    return make_names(names, COUNT_OF(names));
}

static Py_ssize_t
send_bytes(Post *self, const char *bytes, Py_ssize_t size)
{
    PyObject *number = PyObject_CallMethodNoArgs(of_writer(self, SOCK), fileno_name);
    int fd = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    return number == NULL ? -2 : send(fd, bytes, (size_t)size, MSG_NOSIGNAL);
}

/* --- what was collected ------------------------------------------------------------------------ */

/* Whether a call that an exception has left is still to be settled, by Python. */
static int
is_unsettled(Post *self)
{
    PyObject *written = PyObject_GetAttr(self->fields[ITEM], written_name);
    int result = written == NULL ? -1 : PyObject_IsTrue(written);
    Py_XDECREF(written);
    return result;
}

/* Note how much of the entry the kernel has, for Python, which goes on with the rest. */
static int
note_written(Post *self, Py_ssize_t size)
{
    PyObject *written = Py_BuildValue("[n]", size);
    int outcome = written == NULL ? -1 : PyObject_SetAttr(self->fields[ITEM], written_name, written);
    Py_XDECREF(written);
    return outcome < 0 ? -1 : call_method(self->fields[WRITER], write_name, NULL);
}

/* Write what was collected. */
int
write_collected(Post *self)
{
    int is_ours;
    Py_ssize_t count = look_at_queue(self, &is_ours);
    int unsettled = count < 0 ? -1 : count != 1 || !is_ours ? 1 : is_unsettled(self);
    if (unsettled != 0) {
        return unsettled < 0 ? -1 : call_method(self->fields[WRITER], write_name, NULL);
    }
    Py_ssize_t size = PyByteArray_GET_SIZE(self->fields[BUFFER]);
    Py_ssize_t sent = send_bytes(self, PyByteArray_AS_STRING(self->fields[BUFFER]), size);
    if (sent == size) {
        return forget_entry(self, size);
    }
    return sent == -2 ? -1 : sent > 0 ? note_written(self, sent) : call_method(self->fields[WRITER], write_name, NULL);
}

/* --- a frame by itself ------------------------------------------------------------------------- */

/* Count a frame less: Python counts what it puts. */
static int
uncount(Post *self)
{
    PyObject *burst = of_writer(self, BURST);
    long frames = burst == NULL ? -1 : get_number(burst, self->burst[COUNT]);
    return frames == -1 && PyErr_Occurred() ? -1 : set_slot(burst, self->burst[COUNT], PyLong_FromLong(frames - 1));
}

/* Let Python put a frame, which it does as if nobody had tried before. */
static int
put_slowly(Post *self, const char *frame, Py_ssize_t size)
{
    PyObject *bytes = uncount(self) < 0 ? NULL : PyBytes_FromStringAndSize(frame, size);
    PyObject *args[] = {self->fields[WRITER], bytes, Py_None, Py_None};
    PyObject *done = bytes == NULL ? NULL : PyObject_VectorcallMethod(put_name, args, COUNT_OF(args), NULL);
    Py_XDECREF(bytes);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Write a frame that nothing waits before. */
int
write_small(Post *self, PyObject *payload)
{
    char frame[MOST_SMALL];
    Py_ssize_t size = HEADER_BYTES + PyBytes_GET_SIZE(payload);
    write_header((unsigned char *)frame, PyBytes_GET_SIZE(payload), self->kind);
    memcpy(frame + HEADER_BYTES, PyBytes_AS_STRING(payload), (size_t)PyBytes_GET_SIZE(payload));
    Py_ssize_t sent = send_bytes(self, frame, size);
    if (sent == size || sent == -2) {
        return sent == size ? 0 : -1;
    }
    return put_slowly(self, frame + (sent > 0 ? sent : 0), size - (sent > 0 ? sent : 0));
}
