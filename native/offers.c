/* Offer a connection to a worker; twin of OfferingEnd.offer in connections/offers.py.

   The packet is the twin's, and so is what is noted.  What the kernel does not take is the twin's to offer: it says why. */

#define _GNU_SOURCE

#include "dealing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static PyObject *offer_name;

int
prepare_offers(void)
{
    static const Name names[] = {{&offer_name, "offer"}};
    return make_names(names, COUNT_OF(names));
}

/* Return the descriptor of a worker's channel; -1: nothing is offered there, with an exception or without. */
static int
channel_of(Dealings *self, PyObject *end)
{
    PyObject *is_open = get_slot(end, self->end[IS_OPEN]), *has_left = get_slot(end, self->end[HAS_LEFT]);
    PyObject *near = get_slot(end, self->end[NEAR]);
    if (is_open == NULL || has_left == NULL || near == NULL || is_open != Py_True || has_left != Py_False) {
        return -1;
    }
    return PyObject_AsFileDescriptor(near);
}

static int
send_descriptor(int channel, PyObject *packet, int fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {PyBytes_AS_STRING(packet), (size_t)PyBytes_GET_SIZE(packet)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    ssize_t sent;
    do {
        sent = sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

/* Note that something lies in the channel; takes the references. */
static void
note(Dealings *self, PyObject *end, PyObject *offered, PyObject *handed, PyObject *none, PyObject *age)
{
    set_field(slot_at(end, self->end[OFFERED]), offered);
    set_field(slot_at(end, self->end[HANDED]), handed);
    set_field(slot_at(end, self->end[LOOKS]), none);
    set_field(slot_at(end, self->end[AGE]), age);
    set_field(slot_at(end, self->end[IS_BUSY]), Py_NewRef(Py_True));
}

/* Send a connection; 1: it lies in the channel, 0: nothing has happened.  The descriptor stays the caller's. */
int
offer(Dealings *self, PyObject *end, Accepting *accepting, const Place *place)
{
    int same = is_same(self, offer_name, OFFER_METHOD);
    if (same <= 0) {
        return same;
    }
    long had = get_number(end, self->end[HANDED]);
    int channel = PyErr_Occurred() ? -1 : channel_of(self, end);
    if (channel < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *age = PyLong_FromLong(0), *handed = PyLong_FromLong(had + 1), *none = PyTuple_New(0);
    PyObject *offered = PyTuple_Pack(3, accepting->fields[LISTENER_ID], place->peer, place->target);
    int result = -1;
    if (age != NULL && offered != NULL && handed != NULL && none != NULL) {
        result = send_descriptor(channel, accepting->fields[PACKET], place->fd);
    }
    if (result > 0) {
        note(self, end, offered, handed, none, age);
        return 1;
    }
    Py_XDECREF(age);
    Py_XDECREF(handed);
    Py_XDECREF(none);
    Py_XDECREF(offered);
    return result;
}
