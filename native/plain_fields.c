/* Take what an application says of a plain answer; twin of start_response() in _gunicorn/requests/responses.py.

   A status is plain when its text is known (`statuses`), a field when the spelling of its name is (`names`), and both are
   printable ASCII, as nearly all are.  Whatever is not plain has changed nothing, and is the twin's to take or refuse. */

#include "plain_answers.h"

#include <stdint.h>
#include <string.h>

#define MOST_DIGITS 18
#define MOST_FIELDS 64 /* of a plain answer */

/* --- a field ----------------------------------------------------------------------------------- */

/* What a field says. */
typedef struct {
    const char *name, *value;
    Py_ssize_t name_size, value_size;
    int is_length;
} Field;

/* Whether eight characters of ASCII are printable. */
static int
are_printable(const char *begin)
{
    uint64_t word, highest = 0x8080808080808080;
    memcpy(&word, begin, sizeof word);
    return ((word + 0x6060606060606060) & ~(word + 0x0101010101010101) & highest) == highest;
}

/* The characters of text that is printable ASCII; NULL: it is not. */
static const char *
printable(PyObject *text, Py_ssize_t *size)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return NULL;
    }
    const char *begin = (const char *)PyUnicode_1BYTE_DATA(text);
    *size = PyUnicode_GET_LENGTH(text);
    Py_ssize_t at = 0;
    while (at + 8 <= *size && are_printable(begin + at)) {
        at += 8;
    }
    for (; at < *size; at++) {
        if (begin[at] < ' ' || begin[at] > '~') {
            return NULL;
        }
    }
    return begin;
}

static int
is_number(const Field *field)
{
    for (Py_ssize_t at = 0; at < field->value_size; at++) {
        if (field->value[at] < '0' || field->value[at] > '9') {
            return 0;
        }
    }
    return field->value_size > 0 && field->value_size <= MOST_DIGITS;
}

/* Read a field; 0: it is not plain; -1: an exception. */
static int
read_field(Answers *answers, PyObject *name, PyObject *value, Field *field)
{
    if (!PyUnicode_CheckExact(name)) {
        return 0;
    }
    PyObject *is_length = PyDict_GetItemWithError(answers->names, name);
    if (is_length == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    field->name = printable(name, &field->name_size);
    field->value = printable(value, &field->value_size);
    if (field->name == NULL || field->value == NULL) {
        return 0;
    }
    if (field->value_size && (field->value[0] == ' ' || field->value[field->value_size - 1] == ' ')) {
        return 0;
    }
    field->is_length = is_length == Py_True;
    return !field->is_length || is_number(field);
}

/* --- all of them ------------------------------------------------------------------------------- */

/* What an answer has in its head after what the server says. */
typedef struct {
    Field fields[MOST_FIELDS + 1];
    Py_ssize_t count, size; /* size: in bytes, as they are sent */
    PyObject *length;       /* that the last one says; NULL: none does */
} Fields;

/* Read one more field; 0: it is not plain; -1: an exception. */
static int
add_field(Answers *answers, Fields *fields, PyObject *name, PyObject *value)
{
    Field *field = &fields->fields[fields->count++];
    int outcome = read_field(answers, name, value, field);
    fields->size += outcome > 0 ? field->name_size + field->value_size + 4 : 0;
    if (outcome > 0 && field->is_length) {
        set_field(&fields->length, PyLong_FromUnicodeObject(value, 10));
        return fields->length == NULL ? -1 : 1;
    }
    return outcome;
}

/* Read those of the application; 0: one is not plain, or there are too many; -1: an exception. */
static int
add_fields(Answers *answers, Fields *fields, PyObject *headers)
{
    int outcome = PyList_GET_SIZE(headers) <= MOST_FIELDS;
    for (Py_ssize_t number = 0; outcome > 0 && number < PyList_GET_SIZE(headers); number++) {
        PyObject *pair = PyList_GET_ITEM(headers, number);
        int is_pair = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2;
        outcome = is_pair ? add_field(answers, fields, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) : 0;
    }
    return outcome;
}

/* Read the id, unless the application says one; 0: that is not for C to find out, or it is not plain; -1: an exception. */
static int
add_id(PlainAnswer *self, Answers *answers, Fields *fields, PyObject *headers, int *is_added)
{
    PyObject *ids = self->fields[IDS];
    int is_said = ids == NULL ? 1 : has_id(ids, headers);
    *is_added = is_said == 0;
    return is_said ? is_said > 0 : add_field(answers, fields, header_of(ids), self->fields[ID]);
}

/* --- as they are sent -------------------------------------------------------------------------- */

static char *
put_text(char *at, const char *text, Py_ssize_t size)
{
    memcpy(at, text, (size_t)size);
    return at + size;
}

static char *
put_field(char *at, const Field *field)
{
    at = put_text(put_text(at, field->name, field->name_size), ": ", 2);
    return put_text(put_text(at, field->value, field->value_size), "\r\n", 2);
}

/* Return the fields as they are sent. */
static PyObject *
sent_fields(const Fields *fields)
{
    PyObject *plain = PyBytes_FromStringAndSize(NULL, fields->size);
    char *at = plain == NULL ? NULL : PyBytes_AS_STRING(plain);
    for (Py_ssize_t number = 0; at != NULL && number < fields->count; number++) {
        at = put_field(at, &fields->fields[number]);
    }
    return plain;
}

/* --- the answer is plain ----------------------------------------------------------------------- */

/* Keep what a plain answer says. */
static int
keep(PlainAnswer *self, PyObject *status, PyObject *code, PyObject *headers, const Fields *fields)
{
    PyObject *plain = sent_fields(fields), *copied = plain == NULL ? NULL : PyList_GetSlice(headers, 0, PyList_GET_SIZE(headers));
    if (copied == NULL) {
        Py_XDECREF(plain);
        return -1;
    }
    set_field(&self->fields[STATUS], Py_NewRef(status));
    set_field(&self->fields[CODE], Py_NewRef(code));
    set_field(&self->fields[HEADERS], copied);
    set_field(&self->fields[PLAIN], plain);
    if (fields->length == NULL) {
        set_field(&self->fields[CHUNKED], PyBool_FromLong(minor_of(self->fields[REQ]) == 1));
    }
    else {
        set_field(&self->fields[RESPONSE_LENGTH], Py_NewRef(fields->length));
    }
    return 1;
}

/* Read all fields and keep the answer; 0: it is not plain, and nothing was changed; -1: an exception. */
static int
read_and_keep(PlainAnswer *self, Answers *answers, PyObject *status, PyObject *code, PyObject *headers)
{
    Fields fields;
    fields.count = fields.size = 0;
    fields.length = NULL;
    int is_added, outcome = add_fields(answers, &fields, headers);
    if (outcome > 0) {
        outcome = add_id(self, answers, &fields, headers, &is_added);
    }
    if (outcome > 0) {
        outcome = keep(self, status, code, headers, &fields);
    }
    if (outcome > 0) {
        self->lacks_id = is_added;
    }
    Py_XDECREF(fields.length);
    return outcome;
}

/* Take a plain answer; 0: it is not plain, and nothing was changed; -1: an exception. */
int
take_plain(PlainAnswer *self, PyObject *status, PyObject *headers)
{
    Answers *answers = answers_of(self);
    if (answers == NULL || minor_of(self->fields[REQ]) < 0 || !PyUnicode_CheckExact(status) || !PyList_CheckExact(headers)
        || self->fields[IS_HEAD] != Py_False) {
        return 0;
    }
    PyObject *code = PyDict_GetItemWithError(answers->statuses, status);
    if (code == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return read_and_keep(self, answers, status, code, headers);
}
