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
int
channel_of(Dealings *self, PyObject *end)
{
    PyObject *is_open = get_slot(end, self->end[IS_OPEN]), *has_left = get_slot(end, self->end[HAS_LEFT]);
    PyObject *near = get_slot(end, self->end[NEAR]);
    if (is_open == NULL || has_left == NULL || near == NULL || is_open != Py_True || has_left != Py_False) {
        return -1;
    }
    return descriptor_in(near);
}

/* Send a packet with a descriptor beside it; 0: the kernel does not take it. */
int
send_descriptor(int channel, const char *packet, size_t size, int fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {(char *)packet, size};
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

/* What is to be noted of an offer: references. */
typedef struct {
    PyObject *offered, *handed, *looks, *age;
} Offered;

static void
forget_offered(Offered *made)
{
    Py_XDECREF(made->offered);
    Py_XDECREF(made->handed);
    Py_XDECREF(made->looks);
    Py_XDECREF(made->age);
}

/* Make it, before anything is sent. */
static int
make_offered(Dealings *self, PyObject *end, Accepting *accepting, const Place *place, Offered *made)
{
    long had = get_number(end, self->end[HANDED]);
    if (PyErr_Occurred()) {
        return -1;
    }
    made->age = PyLong_FromLong(0);
    made->handed = PyLong_FromLong(had + 1);
    made->looks = PyTuple_New(0);
    made->offered = PyTuple_Pack(3, accepting->fields[LISTENER_ID], place->peer, place->target);
    if (made->age != NULL && made->handed != NULL && made->looks != NULL && made->offered != NULL) {
        return 0;
    }
    forget_offered(made);
    return -1;
}

/* Note that something lies in the channel; takes the references. */
static void
note(Dealings *self, PyObject *end, Offered *made)
{
    set_field(slot_at(end, self->end[OFFERED]), made->offered);
    set_field(slot_at(end, self->end[HANDED]), made->handed);
    set_field(slot_at(end, self->end[LOOKS]), made->looks);
    set_field(slot_at(end, self->end[AGE]), made->age);
    set_field(slot_at(end, self->end[IS_BUSY]), Py_NewRef(Py_True));
}

/* Note a connection that lies in the channel already. */
int
note_offered(Dealings *self, PyObject *end, Accepting *accepting, const Place *place)
{
    Offered made;
    if (make_offered(self, end, accepting, place, &made) < 0) {
        return -1;
    }
    note(self, end, &made);
    return 0;
}

/* Send a connection; 1: it lies in the channel, 0: nothing has happened.  The descriptor stays the caller's. */
int
offer(Dealings *self, PyObject *end, Accepting *accepting, const Place *place)
{
    PyObject *packet = accepting->fields[PACKET];
    Offered made;
    int same = is_same(self, offer_name, OFFER_METHOD);
    int channel = same <= 0 ? -1 : channel_of(self, end);
    if (channel < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (make_offered(self, end, accepting, place, &made) < 0) {
        return -1;
    }
    if (send_descriptor(channel, PyBytes_AS_STRING(packet), (size_t)PyBytes_GET_SIZE(packet), place->fd)) {
        note(self, end, &made);
        return 1;
    }
    forget_offered(&made);
    return 0;
}
