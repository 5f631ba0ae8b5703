/* Count requests into a worker's memory; twin of operations/metrics/request_stores.py.

   The memory is as operations/metrics/layout.py has it, which is the only place that knows: its numbers come with the
   constructor, and are checked there once, so that no later call can write beyond the memory.

   The primary reads the same memory at any moment, from another process.  So every number is eight bytes, aligned, and
   written by one atomic store; and a request is counted before it is no longer in flight, which release order keeps. */

#include "native.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#define NUMBER ((Py_ssize_t)sizeof(uint64_t))
#define MOST_BOUNDS 64

/* What a row has, in numbers; layout.Row. */
enum { ROW_KEY, ROW_SECONDS, ROW_BYTES, ROW_BUCKETS };

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    PyObject *clock;    /* NULL: CLOCK_MONOTONIC, as time.monotonic */
    PyObject *rows;     /* {method: {status: number of a row}} */
    PyObject *find_row; /* find_row(method, status) -> number of a row */
    Py_ssize_t rows_at, row_bytes, row_count;
    Py_ssize_t since_at, lines_at, slot_bytes, line_bytes, slot_count;
    Py_ssize_t unlisted_at;
    Py_ssize_t bound_count;
    double bounds[MOST_BOUNDS];
} Stores;

/* --- numbers in the memory ------------------------------------------------------------------ */

static uint64_t *
number_at(Stores *self, Py_ssize_t offset)
{
    return (uint64_t *)((char *)self->memory.buf + offset);
}

static void
add_number(uint64_t *at, uint64_t more)
{
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + more, __ATOMIC_RELEASE);
}

static void
put_float(uint64_t *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    __atomic_store_n(at, bits, __ATOMIC_RELEASE);
}

static void
add_float(uint64_t *at, double more)
{
    uint64_t bits = __atomic_load_n(at, __ATOMIC_RELAXED);
    double value;
    memcpy(&value, &bits, sizeof value);
    put_float(at, value + more);
}

/* --- arguments ------------------------------------------------------------------------------ */

static int
slot_of(Stores *self, PyObject *given, Py_ssize_t *slot)
{
    *slot = PyLong_AsSsize_t(given);
    if (*slot == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*slot >= self->slot_count) {
        PyErr_Format(PyExc_IndexError, "expected a slot below %zd, got %zd", self->slot_count, *slot);
        return -1;
    }
    return 0;
}

static int
check_arguments(Stores *self, const char *name, Py_ssize_t given, Py_ssize_t expected)
{
    if (self->rows == NULL) { /* the garbage collector has been here */
        PyErr_SetString(PyExc_RuntimeError, "these stores are finalised");
        return -1;
    }
    if (given != expected) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, expected, given);
        return -1;
    }
    return 0;
}

static int
read_clock(Stores *self, double *now)
{
    if (self->clock != NULL) {
        PyObject *said = PyObject_CallNoArgs(self->clock);
        *now = said == NULL ? -1.0 : PyFloat_AsDouble(said);
        Py_XDECREF(said);
        return PyErr_Occurred() ? -1 : 0;
    }
    struct timespec moment;
    if (clock_gettime(CLOCK_MONOTONIC, &moment) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    *now = (double)((int64_t)moment.tv_sec * 1000000000 + moment.tv_nsec) / 1e9;
    return 0;
}

/* --- begin ---------------------------------------------------------------------------------- */

static void
write_line(Stores *self, Py_ssize_t slot, PyObject *line)
{
    char *at = (char *)self->memory.buf + self->lines_at + slot * self->slot_bytes;
    Py_ssize_t size = PyBytes_GET_SIZE(line);
    if (size > self->line_bytes) {
        size = self->line_bytes;
    }
    memcpy(at, PyBytes_AS_STRING(line), (size_t)size);
    memset(at + size, 0, (size_t)(self->line_bytes - size));
}

static PyObject *
begin(Stores *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t slot;
    double now;
    if (check_arguments(self, "begin", count, 2) < 0 || slot_of(self, args[0], &slot) < 0) {
        return NULL;
    }
    if (!PyBytes_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "expected a line of bytes, got %.80s", Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    if (read_clock(self, &now) < 0) {
        return NULL;
    }
    if (slot >= 0) {
        write_line(self, slot, args[1]);
        put_float(number_at(self, self->since_at + slot * NUMBER), now);
    }
    else {
        add_number(number_at(self, self->unlisted_at), 1);
    }
    return PyFloat_FromDouble(now);
}

/* --- end ------------------------------------------------------------------------------------ */

/* Return the number of a row that is known, as a new reference; NULL without an exception: it is not. */
static PyObject *
known_row(Stores *self, PyObject *method, PyObject *status)
{
    PyObject *row = NULL, *of_method = PyDict_GetItemWithError(self->rows, method);
    if (of_method != NULL && PyDict_Check(of_method)) {
        Py_INCREF(of_method); /* a status of the application's may compare itself by code of its own */
        row = Py_XNewRef(PyDict_GetItemWithError(of_method, status));
        Py_DECREF(of_method);
    }
    if (row == NULL && PyErr_Occurred()
        && (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_KeyError))) {
        PyErr_Clear(); /* it cannot be hashed */
    }
    return row;
}

static int
row_of(Stores *self, PyObject *method, PyObject *status, Py_ssize_t *number)
{
    PyObject *row = known_row(self, method, status);
    if (row == NULL) {
        if (PyErr_Occurred()) {
            return -1;
        }
        PyObject *arguments[] = {method, status};
        PyObject *find_row = Py_NewRef(self->find_row);
        row = PyObject_Vectorcall(find_row, arguments, 2, NULL);
        Py_DECREF(find_row);
        if (row == NULL) {
            return -1;
        }
    }
    *number = PyLong_AsSsize_t(row);
    Py_DECREF(row);
    if (*number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*number < 0 || *number >= self->row_count) {
        PyErr_Format(PyExc_IndexError, "expected a row below %zd, got %zd", self->row_count, *number);
        return -1;
    }
    return 0;
}

static Py_ssize_t
bucket_of(Stores *self, double seconds)
{
    Py_ssize_t bucket = 0;
    while (bucket < self->bound_count && self->bounds[bucket] < seconds) {
        bucket++;
    }
    return bucket;
}

static void
count_request(Stores *self, Py_ssize_t number, double seconds, uint64_t sent)
{
    uint64_t *row = number_at(self, self->rows_at + number * self->row_bytes);
    add_number(row + ROW_BUCKETS + bucket_of(self, seconds), 1);
    add_float(row + ROW_SECONDS, seconds);
    if (sent) {
        add_number(row + ROW_BYTES, sent);
    }
}

static PyObject *
end(Stores *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t slot, number;
    double started, now;
    if (check_arguments(self, "end", count, 5) < 0 || slot_of(self, args[0], &slot) < 0) {
        return NULL;
    }
    started = PyFloat_AsDouble(args[1]);
    if (started == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    unsigned long long sent = PyLong_AsUnsignedLongLong(args[4]);
    if (sent == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    if (row_of(self, args[2], args[3], &number) < 0 || read_clock(self, &now) < 0) {
        return NULL;
    }
    count_request(self, number, now - started, sent);
    if (slot >= 0) {
        put_float(number_at(self, self->since_at + slot * NUMBER), 0.0);
    }
    else {
        add_number(number_at(self, self->unlisted_at), (uint64_t)-1);
    }
    Py_RETURN_NONE;
}

/* --- its life ------------------------------------------------------------------------------- */

static int
take_bounds(Stores *self, PyObject *bounds)
{
    self->bound_count = PyTuple_GET_SIZE(bounds);
    if (self->bound_count > MOST_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "expected at most %d bounds, got %zd", MOST_BOUNDS, self->bound_count);
        return -1;
    }
    for (Py_ssize_t index = 0; index < self->bound_count; index++) {
        self->bounds[index] = PyFloat_AsDouble(PyTuple_GET_ITEM(bounds, index));
        if (self->bounds[index] == -1.0 && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

/* Whether `count` pieces of `bytes` each, `step` apart from `offset` on, lie in the memory. */
static int
fits(Stores *self, Py_ssize_t offset, Py_ssize_t count, Py_ssize_t step, Py_ssize_t bytes)
{
    Py_ssize_t size = self->memory.len;
    return offset >= 0 && count > 0 && bytes > 0 && step >= bytes && offset <= size && bytes <= size - offset
           && count - 1 <= (size - offset - bytes) / step;
}

static int
is_aligned(Stores *self)
{
    Py_ssize_t all = self->rows_at | self->row_bytes | self->since_at | self->unlisted_at;
    return ((uintptr_t)self->memory.buf | (uintptr_t)all) % NUMBER == 0;
}

static int
check_layout(Stores *self)
{
    Py_ssize_t row = (ROW_BUCKETS + self->bound_count + 1) * NUMBER;
    if (fits(self, self->rows_at, self->row_count, self->row_bytes, row)
        && fits(self, self->since_at, self->slot_count, NUMBER, NUMBER)
        && fits(self, self->lines_at, self->slot_count, self->slot_bytes, self->line_bytes)
        && fits(self, self->unlisted_at, 1, NUMBER, NUMBER) && is_aligned(self)) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "expected memory in which the layout fits and is aligned, got %zd bytes",
                 self->memory.len);
    return -1;
}

/* The memory is not visited: the collector would clear a memoryview that still has our export, and crash.  No tp_clear:
   all is set once (records.c). */
static int
traverse(Stores *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->clock);
    Py_VISIT(self->rows);
    Py_VISIT(self->find_row);
    return 0;
}

static void
deallocate(Stores *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->clock);
    Py_XDECREF(self->rows);
    Py_XDECREF(self->find_row);
    PyBuffer_Release(&self->memory);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"view",      "clock",    "rows",       "find_row",   "rows_at",    "row_bytes",   "row_count",
                            "since_at",  "lines_at", "slot_bytes", "line_bytes", "slot_count", "unlisted_at", "bounds",
                            NULL};
    PyObject *view, *clock, *rows, *find_row, *bounds;
    Stores *self = (Stores *)type->tp_alloc(type, 0); /* all of it zero */
    if (self == NULL) {
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOO!O$nnnnnnnnnO!:RequestStores", names, &view, &clock, &PyDict_Type,
                                     &rows, &find_row, &self->rows_at, &self->row_bytes, &self->row_count,
                                     &self->since_at, &self->lines_at, &self->slot_bytes, &self->line_bytes,
                                     &self->slot_count, &self->unlisted_at, &PyTuple_Type, &bounds)
        || PyObject_GetBuffer(view, &self->memory, PyBUF_WRITABLE) < 0 || take_bounds(self, bounds) < 0
        || check_layout(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->clock = clock == Py_None ? NULL : Py_NewRef(clock);
    self->rows = Py_NewRef(rows);
    self->find_row = Py_NewRef(find_row);
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"begin", (PyCFunction)(void (*)(void))begin, METH_FASTCALL,
     "begin(slot, line)\n--\n\nNote that a request was read; return the moment."},
    {"end", (PyCFunction)(void (*)(void))end, METH_FASTCALL,
     "end(slot, started, method, status, sent)\n--\n\nCount a request that has ended."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "The stores of one request meter."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec request_stores_spec = {
    .name = "nodecluster_compat._native.RequestStores",
    .basicsize = sizeof(Stores),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};
