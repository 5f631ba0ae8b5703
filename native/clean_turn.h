/* Share what the files of a connection's turns need: clean_turn.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_CLEAN_TURN_H
#define NODECLUSTER_CLEAN_TURN_H

#include "native.h"

#define MOST_AT_ONCE 16384

/* --- what the connections of a worker have in common: turns.c ---------------------------------- */

enum {
    HEADS,
    ANSWERS,
    RESPONSE,
    WORKER,
    ALIVE, /* which attribute of it says whether it is alive */
    BEGIN, /* counts a request as begun ... */
    END,   /* ... and as ended */
    ACCESS_LOG, /* None: there is none */
    VARIABLES,  /* of the process, as os.environ has them */
    HINTS,      /* a function with one free variable, the response; None: this gunicorn has no early hints */
    ERRORS,     /* returns wsgi.errors ... */
    CFG,        /* ... for these settings */
    NO_BODY,    /* the class of wsgi.input ... */
    KNOWN_BODY, /* ... and of one that has bytes */
    GONE,       /* the class of ... */
    GONE_KEY,   /* ... what environ has under this key */
    CURRENT,    /* returns the greenlet */
    HUB_OF,     /* returns the hub of this thread */
    SWITCH,     /* greenlet.switch */
    WATCH,      /* looks at the client of a body that is iterated ... */
    UNWATCH,    /* ... until this is called with its socket */
    IDLE_LIMIT,
    BASES, /* {address: what the environs of those who are connected to it have in common} */
    TIMED, /* whether waits are limited */
    TURNS_FIELDS
};

typedef struct CleanTurn CleanTurn;

typedef struct {
    PyObject_HEAD
    PyObject *fields[TURNS_FIELDS];
    Py_ssize_t most; /* bytes that are received at once */
    Py_ssize_t response_of_gone; /* its slot */
    CleanTurn *first, *last; /* of the line of those that are ready: ready_turns.c */
    PyObject *hub;           /* whose greenlets they are */
    int is_line_due;         /* it is to go on with them */
    unsigned long forks;     /* that the process came from when the line was begun */
} Turns;

/* --- a connection: clean_turn.c ---------------------------------------------------------------- */

enum {
    TURNS,
    WAITS,
    APPLICATION,
    SLOT,
    SERVES,
    MESG,
    COUNT,
    BASE,
    UNREADER,
    REST,
    SOCKET,
    CLIENT,
    IS_TIMED,
    WAITING,
    PASSAGE,
    HINT,
    HUB,
    RESUME,
    PEER,
    SERVER,
    CONNECTION_FIELDS
};

struct CleanTurn {
    PyObject_HEAD
    PyObject *fields[CONNECTION_FIELDS];
    CleanTurn *behind; /* in the line, a reference */
    int is_waiting; /* in the hub, for something to come */
    int is_in_line, is_ready;
};

/* A request on its way: all of it new references, or NULL. */
typedef struct {
    PyObject *request, *environ, *response, *started, *gone;
    Py_ssize_t length;
    double began; /* for the access log */
} Served;

/* What has become of a request. */
enum { FAILED = -1, NOT_CLEAN, ANSWERED, LAST, LEFT };

int call_twin(CleanTurn *self, PyObject *name, PyObject *const *args, size_t count);
int is_whole_turn(CleanTurn *self);

/* Return what all connections have in common in one respect, borrowed. */
static inline PyObject *
common(CleanTurn *self, int place)
{
    return ((Turns *)self->fields[TURNS])->fields[place];
}

/* Put a value into an environ; takes the reference to it, NULL is an exception that was raised. */
static inline int
put(PyObject *environ, PyObject *key, PyObject *value)
{
    int result = value == NULL ? -1 : PyDict_SetItem(environ, key, value);
    Py_XDECREF(value);
    return result;
}

/* Whether no request has come on this connection yet. */
static inline int
is_new(CleanTurn *self)
{
    return PyLong_CheckExact(self->fields[COUNT]) && PyLong_AsSsize_t(self->fields[COUNT]) == 0;
}

/* --- numbers and bytes that each request needs: turns.c ---------------------------------------- */

extern PyObject *number_zero, *number_one, *no_bytes;

int prepare_turns(void);

/* --- receiving: turn_receiving.c --------------------------------------------------------------- */

int prepare_receiving(void);
int is_received_here(CleanTurn *self);
PyObject *receive_here(CleanTurn *self);
int forget_waiting(CleanTurn *self);

/* --- those that are ready at the same time: ready_turns.c --------------------------------------- */

int prepare_ready(void);
PyObject *next_ready(Turns *turns, PyObject *hub);
void forget_ready(Turns *turns);
PyObject *call_turn(PyObject *connection, PyObject *args, PyObject *named);
PyObject *resumed_by(PyObject *connection, void *unused);

/* --- whether a request is served here: turn_conditions.c --------------------------------------- */

int prepare_conditions(void);
int is_served_here(CleanTurn *self, PyObject *data);

/* --- bodies of requests: turn_bodies.c --------------------------------------------------------- */

int prepare_bodies(void);
int take_request(CleanTurn *self, PyObject *data, const Head *head);

/* --- what an application is called with: turn_environs.c --------------------------------------- */

int prepare_environs(void);
int complete_environ(CleanTurn *self, Served *served);

/* --- clients of bodies that are iterated: turn_watching.c --------------------------------------- */

int prepare_watching(void);
int watch_client(CleanTurn *self, Served *served);
int unwatch_client(CleanTurn *self, Served *served);

/* --- answering: turn_answering.c --------------------------------------------------------------- */

int prepare_answering(void);
int answer_request(CleanTurn *self, Served *served);

#endif
