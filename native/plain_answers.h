/* Share what the files of a plain answer need: plain_answers.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_PLAIN_ANSWERS_H
#define NODECLUSTER_PLAIN_ANSWERS_H

#include "native.h"

#include <sys/uio.h>
#include <time.h>

/* --- what all answers of a process have in common: answers.c ----------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *statuses; /* {status: its number} */
    PyObject *names;    /* {name: whether it is Content-Length} */
    PyObject *client;   /* the class of the sockets that are written to here */
    PyObject *process;  /* has `is_child` */
    PyObject *end_if_child;
    PyObject *starts[8]; /* by what else a head says: {status: what comes before the fields, in this second} */
    time_t second;
} Answers;

/* --- an answer: plain_answers.c ---------------------------------------------------------------- */

enum {
    REQ,
    SOCK,
    STATUS,
    CODE,
    CHUNKED,
    MUST_CLOSE,
    HEADERS_SENT,
    IS_WATCHED,
    RESPONSE_LENGTH,
    SENT,
    STREAM,
    IS_LAST,
    IS_HEAD,
    PLAIN,
    HEADERS,
    ANSWERS,
    IDS, /* what has given its request an id; NULL: nothing has */
    ID,
    ANSWER_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[ANSWER_FIELDS];
    int lacks_id; /* its headers have no id yet, which was sent */
} PlainAnswer;

Answers *answers_of(PlainAnswer *self);
int is_whole_answer(PlainAnswer *self);

static inline int
is_set(PlainAnswer *self, int place)
{
    return self->fields[place] == Py_True;
}

static inline int
is_none(PlainAnswer *self, int place)
{
    return self->fields[place] == Py_None;
}

/* --- what the application says of it: plain_fields.c ------------------------------------------- */

int take_plain(PlainAnswer *self, PyObject *status, PyObject *headers);

/* --- the beginning of its head: answer_starts.c ------------------------------------------------ */

int prepare_answer_starts(void);
int note_whether_last(PlainAnswer *self);
PyObject *start_of(PlainAnswer *self, Answers *answers, int is_last);

/* --- what the kernel gets: answer_parts.c ------------------------------------------------------ */

#define MOST_PIECES 32
#define MOST_PARTS (4 + 3 * MOST_PIECES) /* the start, the fields, their end and the last chunk, and three for each piece */
#define SIZE_LINE 20

typedef struct {
    struct iovec parts[MOST_PARTS];
    char size_lines[MOST_PIECES][SIZE_LINE];
    int count;
    size_t size;
    PyObject *last; /* the piece that the last part is the beginning of, if it is of one */
    int ends; /* nothing comes after them: the end of the connection goes with them */
} Parts;

int prepare_answer_parts(void);
void begin_parts(Parts *parts);
void add_part(Parts *parts, const char *begin, Py_ssize_t size);
void add_bytes(Parts *parts, PyObject *bytes);
Py_ssize_t add_body(Parts *parts, PyObject **pieces, Py_ssize_t count, Py_ssize_t length, int is_chunked);
Py_ssize_t send_first(PyObject *sock, Answers *answers, Parts *parts);
int send_rest(PyObject *sock, const Parts *parts, size_t done);

/* --- the answer in one send: answer_sends.c ---------------------------------------------------- */

int prepare_answer_sends(void);
int send_answer(PlainAnswer *self, PyObject **pieces, Py_ssize_t count, int is_all);

#endif
