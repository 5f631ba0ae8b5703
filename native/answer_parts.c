/* Put the parts of an answer together, and give them to the kernel in one call.

   The parts stay where they are, and little is copied into one place, which costs less than telling the kernel of several.
   The socket never blocks; what the kernel does not take at once is given to the socket object's sendall, which lets other
   greenlets run. */

#include "plain_answers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define JOINED 4096             /* up to so many bytes are copied into one place */
#define MOST_COPIED (64 * 1024) /* of what the kernel does not take at once */

static PyObject *sendall, *send_name;

int
prepare_answer_parts(void)
{
    static const Name names[] = {
        {&sendall, "sendall"},
        {&send_name, "send"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- the parts --------------------------------------------------------------------------------- */

void
begin_parts(Parts *parts)
{
    parts->count = 0;
    parts->size = 0;
    parts->last = NULL;
    parts->ends = 0;
}

void
add_part(Parts *parts, const char *begin, Py_ssize_t size)
{
    if (size) {
        assert(parts->count < MOST_PARTS);
        parts->parts[parts->count++] = (struct iovec){(void *)begin, (size_t)size};
        parts->size += (size_t)size;
    }
}

void
add_bytes(Parts *parts, PyObject *bytes)
{
    add_part(parts, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

static void
add_chunk(Parts *parts, int number, PyObject *piece)
{
    if (PyBytes_GET_SIZE(piece)) { /* an empty one would be the end */
        char *line = parts->size_lines[number];
        add_part(parts, line, PyOS_snprintf(line, SIZE_LINE, "%zX\r\n", (size_t)PyBytes_GET_SIZE(piece)));
        add_bytes(parts, piece);
        add_part(parts, "\r\n", 2);
    }
}

/* Add pieces of the body, not more than its length; return how many bytes of it there are. */
Py_ssize_t
add_body(Parts *parts, PyObject **pieces, Py_ssize_t count, Py_ssize_t length, int is_chunked)
{
    Py_ssize_t sent = 0;
    for (int number = 0; number < count; number++) {
        Py_ssize_t size = PyBytes_GET_SIZE(pieces[number]);
        if (is_chunked) {
            add_chunk(parts, number, pieces[number]);
        }
        else {
            size = length >= 0 && size > length - sent ? length - sent : size;
            add_part(parts, PyBytes_AS_STRING(pieces[number]), size);
            parts->last = size ? pieces[number] : parts->last;
        }
        sent += size;
    }
    return sent;
}

/* --- what the kernel did not take -------------------------------------------------------------- */

/* Copy the end of a part after `*done` bytes, at most so much; `*done` becomes 0 when the part has so many. */
static size_t
copy_part(char *to, const struct iovec *part, size_t *done, size_t most)
{
    if (*done >= part->iov_len) {
        *done -= part->iov_len;
        return 0;
    }
    size_t size = part->iov_len - *done < most ? part->iov_len - *done : most;
    memcpy(to, (const char *)part->iov_base + *done, size);
    *done = 0;
    return size;
}

/* Copy what is left after the first bytes, at most so much. */
static PyObject *
copied(const Parts *parts, size_t done, size_t most)
{
    size_t left = parts->size - done < most ? parts->size - done : most;
    PyObject *copy = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)left);
    char *at = copy == NULL ? NULL : PyBytes_AS_STRING(copy);
    for (int number = 0; at != NULL && left && number < parts->count; number++) {
        size_t size = copy_part(at, &parts->parts[number], &done, left);
        at += size;
        left -= size;
    }
    return copy;
}

/* Return a view of the end of a piece. */
static PyObject *
view_of(PyObject *piece, Py_ssize_t begin, Py_ssize_t end)
{
    PyObject *whole = PyMemoryView_FromObject(piece);
    PyObject *view = whole == NULL ? NULL : PySequence_GetSlice(whole, begin, end);
    Py_XDECREF(whole);
    return view;
}

/* Give the socket object what the kernel did not take; a large piece at the end is not copied. */
int
send_rest(PyObject *sock, const Parts *parts, size_t done)
{
    size_t left = parts->size - done;
    Py_ssize_t end = parts->last == NULL ? 0 : (Py_ssize_t)parts->parts[parts->count - 1].iov_len;
    int is_large = left > MOST_COPIED && left <= (size_t)end;
    PyObject *rest = is_large ? view_of(parts->last, end - (Py_ssize_t)left, end) : copied(parts, done, left);
    PyObject *sent = rest == NULL ? NULL : PyObject_CallMethodOneArg(sock, sendall, rest);
    Py_XDECREF(rest);
    Py_XDECREF(sent);
    return sent == NULL ? -1 : 0;
}

/* --- the first of them ------------------------------------------------------------------------- */

/* The kernel keeps what is the last of a connection, until it knows that the end comes with it. */
static int
flags_of(const Parts *parts)
{
    return MSG_NOSIGNAL | MSG_DONTWAIT | (parts->ends ? MSG_MORE : 0);
}

static ssize_t
send_joined(int fd, const Parts *parts)
{
    char joined[JOINED], *at = joined;
    for (int number = 0; number < parts->count; number++) {
        memcpy(at, parts->parts[number].iov_base, parts->parts[number].iov_len);
        at += parts->parts[number].iov_len;
    }
    return send(fd, joined, parts->size, flags_of(parts));
}

static ssize_t
send_parts(int fd, Parts *parts)
{
    if (parts->size <= JOINED) {
        return send_joined(fd, parts);
    }
    struct msghdr message = {.msg_iov = parts->parts, .msg_iovlen = (size_t)parts->count};
    return sendmsg(fd, &message, flags_of(parts));
}

/* Let the socket object send what it can, and wait until that is something; -1: an exception, and nothing has gone. */
static Py_ssize_t
send_some(PyObject *sock, const Parts *parts)
{
    PyObject *all = copied(parts, 0, MOST_COPIED);
    PyObject *sent = all == NULL ? NULL : PyObject_CallMethodOneArg(sock, send_name, all);
    Py_XDECREF(all);
    Py_ssize_t done = sent == NULL ? -1 : PyLong_AsSsize_t(sent);
    Py_XDECREF(sent);
    if (!PyErr_Occurred() && (done < 0 || done > (Py_ssize_t)parts->size)) {
        PyErr_Format(PyExc_ValueError, "expected send() to take at most %zu bytes, got %zd", parts->size, done);
    }
    return PyErr_Occurred() ? -1 : done;
}

/* Send the first of it; -1: an exception, and nothing has gone.

   Where that is the last of a connection, its end leaves in the same packet, which a close would send by itself.  It is not
   left to the close: one that finds something unread resets the connection, and throws away what the kernel has kept. */
Py_ssize_t
send_first(PyObject *sock, Answers *answers, Parts *parts)
{
    int fd = is_of_client((PyObject *)answers, sock) ? descriptor_of(sock) : -1;
    ssize_t sent = fd < 0 ? -1 : send_parts(fd, parts);
    if (sent >= 0) {
        if (parts->ends && (size_t)sent == parts->size) {
            shutdown(fd, SHUT_WR);
        }
        return sent;
    }
    if (fd >= 0 && errno != EAGAIN && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return send_some(sock, parts);
}
