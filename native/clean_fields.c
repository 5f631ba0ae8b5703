/* Put the fields of a head into an environ, and judge those that say how it goes on; twin of what
   _gunicorn/requests/clean_reader.py does with fields.

   The name of every field has been met before, so Python has found it ordinary (`keys`), and none occurs twice.  Where in
   `keys` a spelling was found is remembered, in a table of a fixed size. */

#include "clean_reader.h"

#include <stdint.h>
#include <string.h>

#define MOST_DIGITS 18

static PyObject *http_connection, *content_length;

int
prepare_clean_fields(void)
{
    static const Name names[] = {
        {&http_connection, "HTTP_CONNECTION"},
        {&content_length, "CONTENT_LENGTH"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- names ------------------------------------------------------------------------------------- */

static size_t
place_of(const char *name, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a: whoever makes names collide is served as slowly as with new ones */
    for (size_t at = 0; at < size; at++) {
        hash = (hash ^ (unsigned char)name[at]) * 16777619u;
    }
    return (hash ^ (hash >> 16)) & (KNOWN - 1);
}

/* Return the key of a name, borrowed; NULL: it is not known, or an exception. */
static PyObject *
key_of(CleanHeads *self, const char *name, size_t size)
{
    Known *place = &self->names[place_of(name, size)];
    if (place->spelling != NULL && (size_t)PyBytes_GET_SIZE(place->spelling) == size
        && memcmp(PyBytes_AS_STRING(place->spelling), name, size) == 0) {
        return place->known;
    }
    PyObject *spelling = PyBytes_FromStringAndSize(name, (Py_ssize_t)size);
    PyObject *key = spelling == NULL ? NULL : PyDict_GetItemWithError(self->keys, spelling);
    if (key == NULL || !PyUnicode_CheckExact(key)) {
        Py_XDECREF(spelling);
        return NULL;
    }
    set_field(&place->spelling, spelling);
    set_field(&place->known, Py_NewRef(key));
    return key;
}

/* Put a field into an environ; 0: it is not known, or is there already. */
static int
put_field(CleanHeads *self, PyObject *environ, const struct phr_header *field)
{
    PyObject *key = key_of(self, field->name, field->name_len);
    if (key == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject *text = text_of(field->value, field->value_len);
    PyObject *found = text == NULL ? NULL : PyDict_SetDefault(environ, key, text);
    Py_XDECREF(text);
    return found == NULL ? -1 : PyDict_GET_SIZE(environ) != before;
}

/* Put the fields into an environ; 0: one of them is not known, or is there already. */
int
put_fields(CleanHeads *self, PyObject *environ, const Parsed *parsed)
{
    int outcome = 1;
    for (size_t number = 0; outcome > 0 && number < parsed->count; number++) {
        const struct phr_header *field = &parsed->fields[number];
        int is_field = field->name != NULL && (Py_ssize_t)(field->name_len + field->value_len + 4) <= self->size;
        outcome = is_field ? put_field(self, environ, field) : 0;
    }
    return outcome;
}

/* --- what they say of the request -------------------------------------------------------------- */

/* Read the length of the body; 0: it is not only digits, or too many. */
int
read_length(PyObject *environ, Py_ssize_t *length)
{
    *length = 0;
    PyObject *text = PyDict_GetItemWithError(environ, content_length);
    if (text == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    if (!PyUnicode_IS_COMPACT_ASCII(text) || size < 1 || size > MOST_DIGITS) {
        return 0;
    }
    const char *digits = (const char *)PyUnicode_1BYTE_DATA(text);
    for (Py_ssize_t at = 0; at < size; at++) {
        if (digits[at] < '0' || digits[at] > '9') {
            return 0;
        }
        *length = *length * 10 + (digits[at] - '0');
    }
    return 1;
}

/* Find out what Connection says, borrowed; NULL: nobody has judged it yet, or an exception. */
PyObject *
verdict_of(CleanHeads *self, PyObject *environ, int minor)
{
    PyObject *said = PyDict_GetItemWithError(environ, http_connection);
    if (said == NULL && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *verdict = PyDict_GetItemWithError(self->verdicts[minor], said == NULL ? Py_None : said);
    return verdict == Py_True || verdict == Py_False ? verdict : NULL;
}
