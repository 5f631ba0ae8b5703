/* Check and write the heads of an ASGI application's answers; twin of what gunicorn's ASGI protocol does.

   _gunicorn/worker/asgi/answer_heads.py says which of gunicorn's functions these are.  What is written is gunicorn's to the
   byte.  Whatever is not as nearly all applications have it, a list of pairs of bytes that may be sent, is left to
   gunicorn, which says what is wrong with it: then the answer here is None. */

#include "native.h"

#include <stdint.h>
#include <string.h>

#define IS(name, size, text) ((size) == sizeof(text) - 1 && is_spelt(name, text))

typedef struct {
    PyObject *name, *value;
} Field;

/* Whether a name is this one, which is of lower-case letters and "-", however it is spelt; no locale has a say in it. */
static int
is_spelt(const char *name, const char *text)
{
    for (; *text != 0; name++, text++) {
        if (*name != *text && (*text == '-' || (*name ^ *text) != 0x20)) {
            return 0;
        }
    }
    return 1;
}

/* RFC 9110 5.6.2: what a token has, a bit for each character up to 127. */
static const uint32_t token_characters[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};

static int
is_token(PyObject *name)
{
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(name), *end = at + PyBytes_GET_SIZE(name);
    for (const unsigned char *one = at; one < end; one++) {
        if (*one > 127 || !(token_characters[*one / 32] >> (*one % 32) & 1)) {
            return 0;
        }
    }
    return at < end;
}

static int
is_value(PyObject *value)
{
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(value), *end = at + PyBytes_GET_SIZE(value);
    for (; at < end; at++) {
        if ((*at < ' ' && *at != '\t') || *at == 127) {
            return 0;
        }
    }
    return 1;
}

/* Look at one of the fields, which have no code of their own; whether it is a pair of bytes. */
static int
field_at(PyObject *fields, Py_ssize_t number, Field *field)
{
    PyObject *pair = PySequence_Fast_GET_ITEM(fields, number);
    if (!(PyTuple_CheckExact(pair) || PyList_CheckExact(pair)) || PySequence_Fast_GET_SIZE(pair) != 2) {
        return 0;
    }
    field->name = PySequence_Fast_GET_ITEM(pair, 0);
    field->value = PySequence_Fast_GET_ITEM(pair, 1);
    return PyBytes_CheckExact(field->name) && PyBytes_CheckExact(field->value);
}

static int
is_listed(PyObject *fields)
{
    return PyList_CheckExact(fields) || PyTuple_CheckExact(fields);
}

static const char scan_doc[] =
    "scan_fields(fields)\n--\n\n"
    "Return whether there is a content-length, its value, and whether there is a transfer-encoding; None: ask gunicorn.";

static PyObject *
scan_fields(PyObject *module, PyObject *fields)
{
    Field field;
    PyObject *length = NULL;
    int has_encoding = 0;
    if (!is_listed(fields)) {
        Py_RETURN_NONE;
    }
    for (Py_ssize_t number = 0; number < PySequence_Fast_GET_SIZE(fields); number++) {
        if (!field_at(fields, number, &field) || !is_token(field.name) || !is_value(field.value)) {
            Py_RETURN_NONE;
        }
        const char *name = PyBytes_AS_STRING(field.name);
        if (IS(name, PyBytes_GET_SIZE(field.name), "content-length")) {
            length = field.value;
        }
        has_encoding |= IS(name, PyBytes_GET_SIZE(field.name), "transfer-encoding");
    }
    PyObject *has_length = length == NULL ? Py_False : Py_True;
    return PyTuple_Pack(3, has_length, length == NULL ? Py_None : length, has_encoding ? Py_True : Py_False);
}

/* --- the head ------------------------------------------------------------------------------------ */

/* What comes before and after the fields of the application, and how long all of it is. */
typedef struct {
    PyObject *line, *server, *date;
    int ends;
    Py_ssize_t size;
} Plan;

static const char closes[] = "Connection: close\r\n";

/* Whether the fields can be written; leave out of `plan` what the application says itself. */
static int
plan_head(PyObject *fields, Plan *plan)
{
    Field field;
    plan->size = PyBytes_GET_SIZE(plan->line) + 2;
    for (Py_ssize_t number = 0; number < PySequence_Fast_GET_SIZE(fields); number++) {
        if (!field_at(fields, number, &field)) {
            return 0;
        }
        const char *name = PyBytes_AS_STRING(field.name);
        Py_ssize_t size = PyBytes_GET_SIZE(field.name);
        plan->size += size + PyBytes_GET_SIZE(field.value) + 4;
        plan->date = IS(name, size, "date") ? NULL : plan->date;
        plan->server = IS(name, size, "server") ? NULL : plan->server;
        plan->ends = IS(name, size, "connection") ? 0 : plan->ends;
    }
    plan->size += plan->server == NULL ? 0 : PyBytes_GET_SIZE(plan->server);
    plan->size += plan->date == NULL ? 0 : PyBytes_GET_SIZE(plan->date);
    plan->size += plan->ends ? (Py_ssize_t)sizeof closes - 1 : 0;
    return 1;
}

static char *
put(char *at, const char *data, Py_ssize_t size)
{
    memcpy(at, data, (size_t)size);
    return at + size;
}

static char *
put_bytes(char *at, PyObject *data)
{
    return data == NULL ? at : put(at, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data));
}

static void
fill_head(char *at, PyObject *fields, Plan *plan)
{
    Field field;
    at = put_bytes(at, plan->line);
    for (Py_ssize_t number = 0; number < PySequence_Fast_GET_SIZE(fields); number++) {
        field_at(fields, number, &field);
        at = put(put_bytes(at, field.name), ": ", 2);
        at = put(put_bytes(at, field.value), "\r\n", 2);
    }
    at = put_bytes(put_bytes(at, plan->server), plan->date);
    at = plan->ends ? put(at, closes, sizeof closes - 1) : at;
    put(at, "\r\n", 2);
}

static const char write_doc[] =
    "write_head(line, fields, server, date, ends)\n--\n\n"
    "Return the head of an answer; None: ask gunicorn.\n\n"
    "Args:\n"
    "    line: of its status.\n"
    "    fields: of the application.\n"
    "    server: the field that says who answers, unless the application does.\n"
    "    date: likewise.\n"
    "    ends: whether its connection ends with it.";

static PyObject *
write_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 5 || !PyBytes_CheckExact(args[0]) || !PyBytes_CheckExact(args[2]) || !PyBytes_CheckExact(args[3])) {
        PyErr_SetString(PyExc_TypeError, "write_head() takes a line, fields, two more fields as bytes, and whether it ends");
        return NULL;
    }
    Plan plan = {args[0], args[2], args[3], PyObject_IsTrue(args[4]), 0};
    if (plan.ends < 0) {
        return NULL;
    }
    if (!is_listed(args[1]) || !plan_head(args[1], &plan)) {
        Py_RETURN_NONE;
    }
    PyObject *head = PyBytes_FromStringAndSize(NULL, plan.size);
    if (head != NULL) {
        fill_head(PyBytes_AS_STRING(head), args[1], &plan);
    }
    return head;
}

PyMethodDef answer_heads_functions[] = {
    {"scan_fields", scan_fields, METH_O, scan_doc},
    {"write_head", (PyCFunction)(void (*)(void))write_head, METH_FASTCALL, write_doc},
    {NULL, NULL, 0, NULL},
};
