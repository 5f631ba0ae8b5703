/* Collect frames behind what waits, in the writer's own queue; twin of what messages/write_queue.py does for a small frame.

   An entry is a bytearray of Python's that grows, and is written with the rest of the queue.  No signal handler runs between two
   lines of C, so an entry and what is counted of it are always in step. */

#include "writing.h"

#include <string.h>

static PyObject *append_name, *popleft_name;

int
prepare_write_queue(void)
{
    static const Name names[] = {
        {&append_name, "append"},
        {&popleft_name, "popleft"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- what is there ----------------------------------------------------------------------------- */

PyObject *
of_queue(Post *self, int which)
{
    PyObject *queue = of_writer(self, QUEUE);
    return queue == NULL ? NULL : get_slot(queue, self->queue[which]);
}

/* Count bytes in, or out. */
static int
count_bytes(Post *self, Py_ssize_t more)
{
    PyObject *waiting = of_queue(self, BYTES_WAITING);
    long bytes = waiting == NULL ? -1 : PyLong_AsLong(waiting);
    if (bytes == -1 && PyErr_Occurred()) {
        return -1;
    }
    return set_slot(of_writer(self, QUEUE), self->queue[BYTES_WAITING], PyLong_FromLong(bytes + (long)more));
}

/* Return how many entries wait, and whether the last one is ours. */
Py_ssize_t
look_at_queue(Post *self, int *is_ours)
{
    PyObject *frames = of_queue(self, QUEUED);
    Py_ssize_t count = frames == NULL ? -1 : PyObject_Size(frames);
    *is_ours = 0;
    if (count > 0 && self->fields[ITEM] != NULL) {
        PyObject *last = PySequence_GetItem(frames, count - 1);
        *is_ours = last == self->fields[ITEM];
        Py_XDECREF(last);
        return last == NULL ? -1 : count;
    }
    return count;
}

/* Whether so little waits that no frame is refused. */
int
has_room(Post *self, Py_ssize_t count)
{
    long waiting = get_number(of_writer(self, QUEUE), self->queue[BYTES_WAITING]);
    return waiting == -1 && PyErr_Occurred() ? -1 : waiting + count * self->entry_cost <= self->most_waiting;
}

/* --- one more ---------------------------------------------------------------------------------- */

/* Add an entry, whose buffer grows. */
static int
add_entry(Post *self, PyObject *frames)
{
    PyObject *buffer = PyByteArray_FromStringAndSize(NULL, 0);
    PyObject *args[] = {buffer, Py_None};
    PyObject *item = buffer == NULL ? NULL : PyObject_Vectorcall(self->fields[ENTRY], args, 2, NULL);
    if (item == NULL || call_method(frames, append_name, item) < 0) {
        Py_XDECREF(item);
        Py_XDECREF(buffer);
        return -1;
    }
    set_field(&self->fields[ITEM], item);
    set_field(&self->fields[BUFFER], buffer);
    return 0;
}

/* Put a frame behind what waits. */
int
collect(Post *self, PyObject *payload)
{
    int is_ours;
    Py_ssize_t size = PyBytes_GET_SIZE(payload), count = look_at_queue(self, &is_ours);
    if (count < 0 || (!is_ours && add_entry(self, of_queue(self, QUEUED)) < 0)) {
        return -1;
    }
    PyObject *buffer = self->fields[BUFFER];
    Py_ssize_t before = PyByteArray_GET_SIZE(buffer);
    if (PyByteArray_Resize(buffer, before + HEADER_BYTES + size) < 0) {
        return -1;
    }
    char *end = PyByteArray_AS_STRING(buffer) + before;
    write_header((unsigned char *)end, size, self->kind);
    memcpy(end + HEADER_BYTES, PyBytes_AS_STRING(payload), (size_t)size);
    return count_bytes(self, HEADER_BYTES + size);
}

/* --- one less ---------------------------------------------------------------------------------- */

/* The kernel has all that was collected. */
int
forget_entry(Post *self, Py_ssize_t size)
{
    PyObject *frames = of_queue(self, QUEUED), *first = NULL;
    if (frames != NULL) {
        first = PyObject_CallMethodNoArgs(frames, popleft_name);
        Py_XDECREF(first);
    }
    Py_CLEAR(self->fields[ITEM]);
    Py_CLEAR(self->fields[BUFFER]);
    return first == NULL ? -1 : count_bytes(self, -size);
}
