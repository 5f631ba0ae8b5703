/* Share what the files of reading a clean request need: clean_reader.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_CLEAN_READER_H
#define NODECLUSTER_CLEAN_READER_H

#include "native.h"

#include "picohttpparser.h"

#define MOST_FIELDS 100
#define KNOWN 512 /* a power of two */

/* --- requests: plain_request.c ----------------------------------------------------------------- */

enum { LINE, MINOR, LENGTH, BODY, ENDS, STARTED, MUST_CLOSE, REQUEST_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[REQUEST_FIELDS];
} PlainRequest;

/* --- what reads them: clean_reader.c --------------------------------------------------------- */

typedef struct {
    PyObject *spelling; /* bytes */
    PyObject *known;    /* str */
} Known;

typedef struct {
    PyObject_HEAD
    PyObject *keys;        /* {name: key}, filled by the twin */
    PyObject *verdicts[2]; /* by minor version: {value of Connection: whether the connection ends} */
    PyObject *unquote;
    PyObject *schemes;     /* keys in which a proxy says the scheme */
    PyObject *tell_scheme; /* is asked where one of them is there */
    PyTypeObject *request;
    Py_ssize_t line, count, size; /* limits */
    Known names[KNOWN];
} CleanHeads;

/* What the parser has found. */
typedef struct {
    const char *method, *target;
    size_t method_size, target_size, path_size;
    int minor, is_escaped;
    struct phr_header fields[MOST_FIELDS];
    size_t count;
} Parsed;

static inline PyObject *
text_of(const char *begin, size_t size)
{
    return PyUnicode_DecodeLatin1(begin, (Py_ssize_t)size, NULL);
}

/* Put text into an environ; takes the reference to it, NULL is an exception that was raised. */
static inline int
put(PyObject *environ, PyObject *key, PyObject *text)
{
    int result = text == NULL ? -1 : PyDict_SetItem(environ, key, text);
    Py_XDECREF(text);
    return result;
}

/* --- the first line: clean_line.c -------------------------------------------------------------- */

int prepare_clean_line(void);
int is_ordinary_line(CleanHeads *self, Parsed *parsed, const char *begin);
int put_line(CleanHeads *self, PyObject *environ, const Parsed *parsed);

/* --- fields: clean_fields.c -------------------------------------------------------------------- */

int prepare_clean_fields(void);
int put_fields(CleanHeads *self, PyObject *environ, const Parsed *parsed);
int read_length(PyObject *environ, Py_ssize_t *length);
PyObject *verdict_of(CleanHeads *self, PyObject *environ, int minor);

#endif
