/* Insert a long string into JSON, and extract one, where there is nothing to escape; for messages/json_strings.py.

   An encoder and a decoder look at one character after another.  A long string mostly has none that JSON escapes, and that
   can be seen for many at once.  Anything else is left to them. */

#include "native.h"

#include <string.h>

#define BLOCK_BYTES 64
#define MOST_BYTES_BEFORE 4096 /* in which a long string is looked for */

/* Whether JSON has a byte as it is, in a text of ASCII. */
static inline unsigned
is_special(unsigned char byte)
{
    return (unsigned)(byte < 0x20) | (unsigned)(byte > 0x7f) | (unsigned)(byte == '"') | (unsigned)(byte == '\\');
}

/* Return where the first byte is that is not as it is, or the end. */
static const unsigned char *
end_of_plain(const unsigned char *at, const unsigned char *end)
{
    for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
        unsigned char found = 0;
        for (int place = 0; place < BLOCK_BYTES; place++) { /* without a branch: the compiler makes vectors of it */
            found |= (unsigned char)is_special(at[place]);
        }
        if (found) {
            break;
        }
    }
    while (at < end && !is_special(*at)) {
        at++;
    }
    return at;
}

/* --- putting in -------------------------------------------------------------------------------- */

/* A text that stands for another one; its first byte is rare. */
typedef struct {
    const char *bytes;
    Py_ssize_t size;
} Mark;

/* Return where a mark is, NULL where it is not. */
static const unsigned char *
find_mark(const Mark *mark, const unsigned char *at, const unsigned char *end)
{
    for (; end - at >= mark->size; at++) {
        at = memchr(at, mark->bytes[0], (size_t)(end - at - mark->size + 1));
        if (at == NULL || memcmp(at, mark->bytes, (size_t)mark->size) == 0) {
            return at;
        }
    }
    return NULL;
}

static PyObject *
needs_no_escape(PyObject *unused, PyObject *text)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return Py_NewRef(Py_False);
    }
    const unsigned char *begin = PyUnicode_DATA(text), *end = begin + PyUnicode_GET_LENGTH(text);
    return PyBool_FromLong(end_of_plain(begin, end) == end);
}

static PyObject *
insert_string(PyObject *unused, PyObject *args)
{
    PyObject *json, *text;
    Mark mark;
    if (!PyArg_ParseTuple(args, "Ss#U:insert_string", &json, &mark.bytes, &mark.size, &text)) {
        return NULL;
    }
    const unsigned char *begin = (const unsigned char *)PyBytes_AS_STRING(json), *end = begin + PyBytes_GET_SIZE(json);
    const unsigned char *place = find_mark(&mark, begin, end);
    if (place == NULL || find_mark(&mark, place + mark.size, end) != NULL || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return Py_NewRef(Py_None);
    }
    size_t before = (size_t)(place - begin), size = (size_t)PyUnicode_GET_LENGTH(text), after = (size_t)(end - place - mark.size);
    PyObject *whole = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(before + size + after));
    if (whole != NULL) {
        char *bytes = PyBytes_AS_STRING(whole);
        memcpy(bytes, begin, before);
        memcpy(bytes + before, PyUnicode_DATA(text), size);
        memcpy(bytes + before + size, place + mark.size, after);
    }
    return whole;
}

/* --- taking out -------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *begin, *end; /* of the message */
    const unsigned char *text, *behind; /* the text, between its quotes */
} Message;

/* Look for a text that is at least half of a message; 0: there is none, or not where it can be seen soon. */
static int
find_text(Message *message)
{
    const unsigned char *at = message->begin, *limit = at + Py_MIN(message->end - at, MOST_BYTES_BEFORE);
    while ((at = memchr(at, '"', (size_t)(limit - at))) != NULL) {
        message->text = at + 1;
        message->behind = end_of_plain(message->text, message->end);
        if (message->behind == message->end || *message->behind != '"') {
            return 0;
        }
        if (message->behind - message->text >= (message->end - message->begin) / 2) {
            return 1;
        }
        at = message->behind + 1;
        if (at >= limit) {
            return 0;
        }
    }
    return 0;
}

/* Return the message with a mark in the place of the text. */
static PyObject *
with_mark(const Message *message, const Mark *mark)
{
    size_t before = (size_t)(message->text - message->begin), after = (size_t)(message->end - message->behind);
    PyObject *rest = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(before + after) + mark->size);
    if (rest != NULL) {
        char *bytes = PyBytes_AS_STRING(rest);
        memcpy(bytes, message->begin, before);
        memcpy(bytes + before, mark->bytes, (size_t)mark->size);
        memcpy(bytes + before + mark->size, message->behind, after);
    }
    return rest;
}

/* Return what is left, and the text. */
static PyObject *
taken_out(const Message *message, const Mark *mark)
{
    PyObject *rest = with_mark(message, mark), *text = NULL, *taken = NULL;
    if (rest != NULL) {
        text = PyUnicode_New(message->behind - message->text, 0x7f);
    }
    if (text != NULL) {
        memcpy(PyUnicode_DATA(text), message->text, (size_t)(message->behind - message->text));
        taken = PyTuple_Pack(2, rest, text);
    }
    Py_XDECREF(rest);
    Py_XDECREF(text);
    return taken;
}

/* Whether what is left has the mark already, or anything that is escaped and could be read as one. */
static int
is_ambiguous(const Message *message, const Mark *mark)
{
    return memchr(message->begin, '\\', (size_t)(message->text - message->begin)) != NULL
           || memchr(message->behind, '\\', (size_t)(message->end - message->behind)) != NULL
           || find_mark(mark, message->begin, message->text) != NULL || find_mark(mark, message->behind, message->end) != NULL;
}

static PyObject *
extract_string(PyObject *unused, PyObject *args)
{
    Py_buffer json;
    Mark mark;
    if (!PyArg_ParseTuple(args, "y*s#:extract_string", &json, &mark.bytes, &mark.size)) {
        return NULL;
    }
    Message message = {.begin = json.buf, .end = (const unsigned char *)json.buf + json.len};
    int is_clear = find_text(&message) && !is_ambiguous(&message, &mark);
    PyObject *taken = is_clear ? taken_out(&message, &mark) : Py_NewRef(Py_None);
    PyBuffer_Release(&json);
    return taken;
}

PyMethodDef json_strings_functions[] = {
    {"needs_no_escape", needs_no_escape, METH_O, "needs_no_escape(text)\n--\n\nReturn whether JSON has a text of ASCII as it is."},
    {"insert_string", insert_string, METH_VARARGS,
     "insert_string(json, mark, text)\n--\n\nReturn JSON with a plain text in the place of a mark; None unless that is there once."},
    {"extract_string", extract_string, METH_VARARGS,
     "extract_string(json, mark)\n--\n\nReturn JSON with a mark in the place of a text that is half of it, and that text; or None."},
    {NULL, NULL, 0, NULL},
};
