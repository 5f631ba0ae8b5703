/* Say the addresses of clients as the standard library says them: tuples of IPv4 and IPv6, text or bytes of AF_UNIX. */

#include "dealing.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

/* Write a number of at most five digits; return where it ends.  sprintf() takes the time of a system call. */
char *
write_number(char *where, unsigned number)
{
    unsigned least = 1;
    while (number / least >= 10) {
        least *= 10;
    }
    for (; least > 0; least /= 10) {
        *where++ = (char)('0' + number / least % 10);
    }
    return where;
}

static PyObject *
ip_address(const struct sockaddr_in *address)
{
    char text[INET_ADDRSTRLEN], *end = text;
    const unsigned char *bytes = (const unsigned char *)&address->sin_addr;
    for (int number = 0; number < 4; number++) {
        end = write_number(end, bytes[number]);
        *end++ = '.';
    }
    PyObject *host = PyUnicode_FromStringAndSize(text, end - text - 1), *port = PyLong_FromLong(ntohs(address->sin_port));
    PyObject *pair = host == NULL || port == NULL ? NULL : PyTuple_Pack(2, host, port);
    Py_XDECREF(host);
    Py_XDECREF(port);
    return pair;
}

static PyObject *
ip6_address(const struct sockaddr_in6 *address)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(siII)", text, ntohs(address->sin6_port), (unsigned)ntohl(address->sin6_flowinfo),
                         (unsigned)address->sin6_scope_id);
}

static PyObject *
unix_address(const struct sockaddr_un *address, socklen_t size)
{
    size_t length = size <= offsetof(struct sockaddr_un, sun_path) ? 0 : size - offsetof(struct sockaddr_un, sun_path);
    if (length > 0 && address->sun_path[0] == '\0') {
        return PyBytes_FromStringAndSize(address->sun_path, (Py_ssize_t)length);
    }
    return PyUnicode_DecodeFSDefaultAndSize(address->sun_path, (Py_ssize_t)strnlen(address->sun_path, length));
}

PyObject *
address_of(const SocketAddress *address, socklen_t size)
{
    switch (address->any.sa_family) {
    case AF_INET:
        return ip_address(&address->ip);
    case AF_INET6:
        return ip6_address(&address->ip6);
    case AF_UNIX:
        return unix_address(&address->local, size);
    default:
        PyErr_Format(PyExc_ValueError, "expected an address of IPv4, IPv6 or AF_UNIX, got family %d",
                     address->any.sa_family);
        return NULL;
    }
}

/* Return the address of whoever is connected. */
PyObject *
peer_of(int fd)
{
    SocketAddress address = {.room = {0}};
    socklen_t size = sizeof address;
    if (getpeername(fd, &address.any, &size) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return address_of(&address, size);
}
