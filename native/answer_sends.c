/* Send a plain answer: its head and what there is of its body, in one call; twin of _send_head() and of the end of an
   answer in _gunicorn/requests/responses.py.

   The attributes `headers_sent` and `sent` of the answer are set before anything is sent, since other greenlets may read
   them while this one waits; if nothing was sent, they are set back. */

#include "plain_answers.h"

static PyObject *look;

int
prepare_answer_sends(void)
{
    static const Name names[] = {
        {&look, "look"},
    };
    return make_names(names, COUNT_OF(names));
}

/* What is sent at once. */
typedef struct {
    PyObject *sock, *plain; /* new references */
    PyObject **pieces;
    Py_ssize_t count, length; /* length: of the body, as its head says; -1: it does not */
    int is_chunked, is_all;   /* is_all: there are no other pieces */
} Sending;

/* A stream looks at its client before its answer begins; -1: an exception. */
static int
let_look(PlainAnswer *self, Py_ssize_t sent, Py_ssize_t length)
{
    PyObject *stream = self->fields[STREAM];
    if (stream == Py_None || sent == length) {
        return 0;
    }
    PyObject *done = PyObject_CallMethodNoArgs(stream, look);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Find the length that the head says, -1 if it does not; -1 is returned with an exception. */
static int
find_length(PlainAnswer *self, Py_ssize_t *length)
{
    *length = is_none(self, RESPONSE_LENGTH) ? -1 : PyLong_AsSsize_t(self->fields[RESPONSE_LENGTH]);
    return *length == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Put head and body together; return how many bytes of the body there are. */
static Py_ssize_t
put_together(Parts *parts, const Sending *sending, PyObject *start)
{
    begin_parts(parts);
    add_bytes(parts, start);
    add_bytes(parts, sending->plain);
    add_part(parts, "\r\n", 2);
    Py_ssize_t sent = add_body(parts, sending->pieces, sending->count, sending->length, sending->is_chunked);
    if (sending->is_all && sending->is_chunked) {
        add_part(parts, "0\r\n\r\n", 5);
    }
    return sent;
}

/* Note what is about to be sent. */
static int
note_sending(PlainAnswer *self, Py_ssize_t sent, Py_ssize_t length)
{
    PyObject *number = let_look(self, sent, length) < 0 ? NULL : PyLong_FromSsize_t(sent);
    if (number == NULL) {
        return -1;
    }
    set_field(&self->fields[SENT], number);
    set_field(&self->fields[HEADERS_SENT], Py_NewRef(Py_True));
    return 0;
}

/* Send it, and take back what was noted where nothing has gone. */
static int
send_noted(PlainAnswer *self, PyObject *sock, Parts *parts)
{
    Py_ssize_t done = send_first(sock, (Answers *)self->fields[ANSWERS], parts);
    if (done < 0 && PyErr_ExceptionMatches(PyExc_OSError)) {
        set_field(&self->fields[HEADERS_SENT], Py_NewRef(Py_False));
        set_field(&self->fields[SENT], PyLong_FromLong(0));
    }
    return done < 0 ? -1 : (size_t)done == parts->size ? 0 : send_rest(sock, parts, (size_t)done);
}

/* Send all that is there, after the beginning of its head. */
static int
send_with_head(PlainAnswer *self, const Sending *sending)
{
    Parts parts;
    int is_last = note_whether_last(self);
    PyObject *start = is_last < 0 ? NULL : start_of(self, (Answers *)self->fields[ANSWERS], is_last);
    if (start == NULL) {
        return -1;
    }
    Py_ssize_t sent = put_together(&parts, sending, start);
    int result = note_sending(self, sent, sending->length);
    parts.ends = result == 0 && is_last && sending->is_all && is_ended_by_us(sending->sock);
    result = result < 0 ? -1 : send_noted(self, sending->sock, &parts);
    Py_DECREF(start);
    return result;
}

/* Send the head and pieces of the body of an answer that is whole and has answers_of(); `is_all`: there are no others.
   -1: an exception. */
int
send_answer(PlainAnswer *self, PyObject **pieces, Py_ssize_t count, int is_all)
{
    Sending sending = {.pieces = pieces, .count = count, .is_all = is_all, .is_chunked = is_set(self, CHUNKED)};
    if (find_length(self, &sending.length) < 0) {
        return -1;
    }
    sending.sock = Py_NewRef(self->fields[SOCK]);
    sending.plain = Py_NewRef(self->fields[PLAIN]);
    int result = send_with_head(self, &sending);
    Py_DECREF(sending.plain);
    Py_DECREF(sending.sock);
    return result;
}

/* Whether a list that the application has returned can be sent with its head, all of it at once. */
int
can_send_all(PyObject *answer, PyObject *pieces)
{
    PlainAnswer *self = (PlainAnswer *)answer;
    if (!is_whole_answer(self) || !PyBytes_CheckExact(self->fields[PLAIN]) || self->fields[HEADERS_SENT] != Py_False
        || answers_of(self) == NULL || PyList_GET_SIZE(pieces) > MOST_PIECES) {
        return 0;
    }
    for (Py_ssize_t number = 0; number < PyList_GET_SIZE(pieces); number++) {
        if (!PyBytes_CheckExact(PyList_GET_ITEM(pieces, number))) {
            return 0;
        }
    }
    return 1;
}

int
send_all(PyObject *answer, PyObject *pieces)
{
    Py_ssize_t count = PyList_GET_SIZE(pieces);
    PyObject *kept[MOST_PIECES]; /* a list can be changed while others run */
    for (Py_ssize_t number = 0; number < count; number++) {
        kept[number] = Py_NewRef(PyList_GET_ITEM(pieces, number));
    }
    int result = send_answer((PlainAnswer *)answer, kept, count, 1);
    for (Py_ssize_t number = 0; number < count; number++) {
        Py_DECREF(kept[number]);
    }
    return result;
}
