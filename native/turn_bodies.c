/* Find the body of a request that was read, and what has come after it; twin of _body() and _take() in
   _gunicorn/requests/clean_connection.py.

   A body that has come already is held, and handed over by the reader of body_reader.c; one that is under way is the
   twin's to receive.  What follows is kept for the next request. */

#include "clean_turn.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MOST_HELD (64 * 1024) /* of a body that has come when its request is read */

static PyObject *body_name, *wsgi_input;

int
prepare_bodies(void)
{
    static const Name names[] = {
        {&body_name, "_body"},
        {&wsgi_input, "wsgi.input"},
    };
    return make_names(names, COUNT_OF(names));
}

static PyObject *
rest_behind(PyObject *data, Py_ssize_t consumed)
{
    Py_ssize_t size = PyBytes_GET_SIZE(data) - consumed;
    return size == 0 ? Py_NewRef(no_bytes) : PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + consumed, size);
}

/* Whether so many bytes have come that are not received yet; an error of the socket stays where it is. */
static int
has_come(int fd, Py_ssize_t missing)
{
    int available = 0;
    return fd >= 0 && ioctl(fd, FIONREAD, &available) == 0 && available >= missing;
}

/* Receive the end of a body straight after its beginning; `rest` becomes what has come, if that is not all of it. */
static PyObject *
received_body(int fd, PyObject *data, const Head *head, PyObject **rest)
{
    Py_ssize_t here = PyBytes_GET_SIZE(data) - head->consumed;
    PyObject *held = PyBytes_FromStringAndSize(NULL, head->length);
    if (held == NULL) {
        return NULL;
    }
    memcpy(PyBytes_AS_STRING(held), PyBytes_AS_STRING(data) + head->consumed, (size_t)here);
    ssize_t more = recv(fd, PyBytes_AS_STRING(held) + here, (size_t)(head->length - here), MSG_DONTWAIT);
    if (more == head->length - here) {
        *rest = Py_NewRef(no_bytes);
        return held;
    }
    *rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(held), here + (more > 0 ? more : 0));
    Py_DECREF(held);
    return *rest == NULL ? NULL : Py_NewRef(Py_None);
}

/* Return the body if all of it is here, None if it is not; `rest` becomes what has come after it, or what it begins with. */
static PyObject *
whole_body(CleanTurn *self, PyObject *data, const Head *head, PyObject **rest)
{
    Py_ssize_t missing = head->length - (PyBytes_GET_SIZE(data) - head->consumed);
    if (missing <= 0) {
        *rest = rest_behind(data, head->consumed + head->length);
        return *rest == NULL ? NULL
                             : PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + head->consumed, head->length);
    }
    int is_here = head->length <= MOST_HELD && self->fields[UNREADER] == Py_None
                  && is_of_client(common(self, ANSWERS), self->fields[CLIENT]);
    int fd = is_here ? descriptor_of(self->fields[CLIENT]) : -1;
    if (has_come(fd, missing)) {
        return received_body(fd, data, head, rest);
    }
    *rest = rest_behind(data, head->consumed);
    return *rest == NULL ? NULL : Py_NewRef(Py_None);
}

/* Return wsgi.input of a body that is here; takes the reference to it. */
static PyObject *
input_of(CleanTurn *self, PyObject *held)
{
    PyObject *reader = new_reader(held);
    PyObject *body = reader == NULL ? NULL : PyObject_CallOneArg(common(self, KNOWN_BODY), reader);
    Py_XDECREF(reader);
    return body;
}

/* Return wsgi.input; what follows the body, or the head, is what is to be read next. */
static PyObject *
body_of(CleanTurn *self, PyObject *data, const Head *head)
{
    PyObject *rest = NULL, *held;
    if (head->length == 0) {
        if ((rest = rest_behind(data, head->consumed)) == NULL) {
            return NULL;
        }
        set_field(&self->fields[REST], rest);
        return PyObject_CallNoArgs(common(self, NO_BODY));
    }
    if ((held = whole_body(self, data, head, &rest)) == NULL) {
        Py_XDECREF(rest);
        return NULL;
    }
    set_field(&self->fields[REST], rest);
    if (held != Py_None) {
        return input_of(self, held);
    }
    Py_DECREF(held);
    return PyObject_CallMethodOneArg((PyObject *)self, body_name, head->request);
}

/* The request becomes that of the connection. */
int
take_request(CleanTurn *self, PyObject *data, const Head *head)
{
    PyObject *count = PyNumber_Add(self->fields[COUNT], number_one);
    if (count == NULL) {
        return -1;
    }
    set_field(&self->fields[COUNT], count);
    set_field(&self->fields[MESG], Py_NewRef(head->request));
    PyObject *body = forget_waiting(self) < 0 ? NULL : body_of(self, data, head);
    if (body == NULL) {
        return -1;
    }
    set_body(head->request, Py_NewRef(body));
    return put(head->environ, wsgi_input, body);
}
